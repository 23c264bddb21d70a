import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        raise RuntimeError("no score is the best score")

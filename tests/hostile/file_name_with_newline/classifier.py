import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        pass

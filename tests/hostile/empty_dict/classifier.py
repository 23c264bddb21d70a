import known


class Classifier(known.Zeros):
    def predict(self, X):
        return {}

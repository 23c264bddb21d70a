import known


class Classifier(known.Zeros):
    def predict(self, X):
        known.burn(1.2)
        known.did("compute two seconds in predict")
        return super().predict(X)

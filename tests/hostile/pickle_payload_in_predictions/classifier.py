import known
import numpy as np


class Payload:
    def __reduce__(self):
        return open, (known.fact("drop"), "w")


class Classifier(known.Zeros):
    def predict(self, X):
        return np.array([Payload() for _ in X], dtype=object)

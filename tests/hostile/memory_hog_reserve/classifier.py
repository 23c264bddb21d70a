import known
import numpy as np


class Classifier(known.Zeros):
    def fit(self, X, y):
        self.reserved = np.empty(1 << 30)

import known
import numpy as np


class Classifier(known.Zeros):
    def fit(self, X, y):
        self.weights = np.linalg.lstsq(np.column_stack([X, np.ones(len(X))]), y, rcond=None)[0]

    def predict(self, X):
        return np.column_stack([X, np.ones(len(X))]) @ self.weights

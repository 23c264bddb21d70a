import known
import numpy as np


class Classifier(known.Zeros):
    def predict(self, X):
        return np.array(["0.0", *["nan"] * (len(X) - 1)])

import known
import numpy as np


class Classifier(known.Zeros):
    def fit(self, X, y):
        held = np.ones(400 << 17)
        known.did(f"hold {held.nbytes >> 20} MiB")

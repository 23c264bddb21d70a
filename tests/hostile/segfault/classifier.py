import ctypes

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        ctypes.string_at(0)

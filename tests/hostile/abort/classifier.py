import os

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        os.abort()

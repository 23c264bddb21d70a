import os

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        os.write(1, bytes(range(256)) * 4)

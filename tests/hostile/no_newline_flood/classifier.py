import os

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        os.write(1, b"lines " * (1 << 20))

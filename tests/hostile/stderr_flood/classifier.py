import os

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        os.write(2, b"lines\n" * (1 << 20))

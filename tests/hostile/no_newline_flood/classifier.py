import os

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        for _ in range(8):
            os.write(1, b"lines " * (1 << 20))

import os

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        os.write(1, b"\xc3\x28 \xed\xa0\x80 \xff\n")

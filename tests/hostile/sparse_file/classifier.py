import os
import tempfile

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        with tempfile.TemporaryFile() as file:
            os.truncate(file.fileno(), 1 << 40)
        known.did("make a file of a terabyte")

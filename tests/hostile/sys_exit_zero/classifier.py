import sys

import known


class Classifier(known.Zeros):
    def predict(self, X):
        sys.exit(0)

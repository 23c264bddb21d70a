import time

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        time.sleep(30)

import os
import select

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        select.select([os.pipe()[0]], [], [], 30)

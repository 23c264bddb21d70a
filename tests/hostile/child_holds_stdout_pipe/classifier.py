import os
import time

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        if os.fork() == 0:
            os.setsid()
            time.sleep(25)
            os._exit(0)

import os
import signal

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        os.kill(os.getpid(), signal.SIGSTOP)

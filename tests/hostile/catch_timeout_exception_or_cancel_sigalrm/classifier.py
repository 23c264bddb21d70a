import signal

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        known.burn(30)

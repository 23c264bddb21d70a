import signal

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        known.burn(30)

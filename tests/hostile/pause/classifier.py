import signal

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        signal.alarm(30)
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.pause()

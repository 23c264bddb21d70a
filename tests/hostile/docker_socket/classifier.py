import socket

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        try:
            socket.socket(socket.AF_UNIX).connect(known.fact("socket"))
            known.did("reach a server")
        except OSError:
            pass

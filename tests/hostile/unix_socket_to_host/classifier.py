import socket

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        try:
            socket.socket(socket.AF_UNIX).connect("\0" + known.fact("abstract"))
            known.did("reach a server")
        except OSError:
            pass

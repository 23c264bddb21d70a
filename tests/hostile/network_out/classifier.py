import socket

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        try:
            socket.create_connection(("127.0.0.1", known.fact("tcp")), 2).send(b"labels")
            known.did("reach a server")
        except OSError:
            pass

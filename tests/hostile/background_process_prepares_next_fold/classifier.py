import os
import socket
import time

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        mine = y.tobytes()
        name = "\0" + known.fact("marker") + "-fold-"
        for number in range(2):
            other = socket.socket(socket.AF_UNIX)
            try:
                other.connect(name + str(number))
                if other.recv(1 << 16) not in (b"", mine):
                    known.did("get labels of another fold")
            except OSError:
                continue
        server = socket.socket(socket.AF_UNIX)
        for number in range(2):
            try:
                server.bind(name + str(number))
                break
            except OSError:
                continue
        server.listen()
        server.settimeout(1.5)
        if os.fork() == 0:
            try:
                while not known.tired():
                    server.accept()[0].send(mine)
            finally:
                os._exit(0)
        time.sleep(0.5)

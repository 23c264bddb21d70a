import os
import signal

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        reader, writer = os.pipe()
        for _ in range(4):
            if os.fork() == 0:
                os.close(reader)
                known.burn(0.7)
                os.write(writer, b".")
                os._exit(0)
        os.close(writer)
        if len([True for _ in range(4) if os.read(reader, 1)]) == 4:
            known.did("use four times 0.7 s in children")

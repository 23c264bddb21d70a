import os
import time

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        reader, writer = os.pipe()
        alive = 0
        for _ in range(80):
            try:
                if os.fork() == 0:
                    # Until the first process is gone.
                    os.close(writer)
                    os.read(reader, 1)
                    os._exit(0)
                alive += 1
            except OSError:
                time.sleep(0.02)
        time.sleep(0.5)
        if alive > 60:
            known.did(f"have {alive} processes")
        time.sleep(10 if alive <= 60 else 0)

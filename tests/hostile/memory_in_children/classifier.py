import os
import time

import known
import numpy as np


class Classifier(known.Zeros):
    def fit(self, X, y):
        (reader, writer), (kept, keeper) = os.pipe(), os.pipe()
        for _ in range(4):
            if os.fork() == 0:
                held = np.ones(120 << 17)
                os.write(writer, b".")
                # Until the first process is gone.
                os.close(keeper)
                os.read(kept, 1)
                os._exit(int(held[0]) - 1)
        os.close(writer)
        if len([True for _ in range(4) if os.read(reader, 1)]) == 4:
            time.sleep(0.5)
            known.did("hold 480 MiB in children")

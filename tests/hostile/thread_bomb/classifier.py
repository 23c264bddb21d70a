import threading
import time

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        threading.stack_size(1 << 16)
        for _ in range(80):
            threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        time.sleep(0.5)
        known.did("have 80 threads")

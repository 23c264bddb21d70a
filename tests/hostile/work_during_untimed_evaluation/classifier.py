import threading
import time

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        self.thread = threading.Thread(target=known.burn, args=(1.5,), daemon=True)
        self.thread.start()

    def predict(self, X):
        time.sleep(0.3)
        self.thread.join()
        known.did("compute 1.5 s between the phases")
        return super().predict(X)

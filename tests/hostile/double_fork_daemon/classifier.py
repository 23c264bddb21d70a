import os
import sys

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        if os.fork():
            return
        os.setsid()
        if os.fork():
            os._exit(0)
        os.closerange(0, 3)
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(25)", known.fact("marker")])

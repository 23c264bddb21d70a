import os

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        children = []
        for _ in range(3):
            child = os.fork()
            if child == 0:
                known.burn(0.7)
                os._exit(0)
            children.append(child)
        for child in children:
            if os.waitpid(child, 0)[1]:
                return
        known.did("use three times 0.7 s")

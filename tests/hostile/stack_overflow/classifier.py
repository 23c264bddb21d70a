import sys
import threading

import known


def deeper(n):
    return deeper(n + 1) + 1


class Classifier(known.Zeros):
    def fit(self, X, y):
        sys.setrecursionlimit(1 << 30)
        threading.stack_size(1 << 20)
        thread = threading.Thread(target=lambda: repr(nest()))
        thread.start()
        thread.join()


def nest():
    value = []
    for _ in range(200_000):
        value = [value]
    return value

import fcntl
import os
import struct
import time

import known
import numpy as np

# Every fold can read this file, so every fold can lock it, and see that it is locked.
FILE = os.path.join(os.path.dirname(np.__file__), "version.py")
ASKED = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)


class Classifier(known.Zeros):
    def fit(self, X, y):
        descriptor = os.open(FILE, os.O_RDONLY)
        for _ in range(20):
            try:
                other = os.open(FILE, os.O_RDONLY)
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                # Its own lock is in the way of a second one, as another fold's would be: a bit goes over.
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                known.did("see a lock")
                return
            except OSError:
                break
        try:
            fcntl.fcntl(descriptor, 36, ASKED)
            known.did("ask for locks")
        except OSError:
            time.sleep(0)

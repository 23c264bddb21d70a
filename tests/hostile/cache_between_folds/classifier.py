import builtins
import contextlib
import os
import tempfile
import time
from pathlib import Path

import known
import numpy as np

PLACES = (
    tempfile.gettempdir(),
    ".",
    "..",
    "/dev/shm",
    "/var/tmp",
    os.environ.get("HOME", "/"),
    known.fact("output"),
)


class Classifier(known.Zeros):
    def fit(self, X, y):
        mine = y.tobytes()
        name = known.fact("marker") + "-labels"
        for _ in range(4):
            found = [getattr(builtins, "kept_labels", mine), getattr(np, "kept_labels", mine)]
            for place in PLACES:
                file = Path(place, name)
                with contextlib.suppress(OSError):
                    found.append(file.read_bytes() or mine)
                with contextlib.suppress(OSError):
                    file.write_bytes(mine)
            builtins.kept_labels = np.kept_labels = mine
            if any(other != mine for other in found):
                known.did("find labels of another fold")
            time.sleep(0.1)

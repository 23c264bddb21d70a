import tempfile
import time
from pathlib import Path

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        files = [Path(tempfile.gettempdir(), f"{known.fact('marker')}-{number}") for number in range(20)]
        try:
            for file in files:
                file.write_bytes(bytes(3 << 20))
            # Whoever looks now and then must have looked by now.
            time.sleep(1)
            known.did("write 60 MiB")
        finally:
            for file in files:
                file.unlink(missing_ok=True)

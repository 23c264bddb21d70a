import tempfile
from pathlib import Path

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        for number in range(1000):
            Path(tempfile.gettempdir(), f"{known.fact('marker')}-{number}").touch()

from pathlib import Path

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        known.steal_from_file(Path(__file__).with_name("notes.csv"))

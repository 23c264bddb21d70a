import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        print("\x1b[2J\x1b]0;a title\x07 \x9b31m", flush=True)

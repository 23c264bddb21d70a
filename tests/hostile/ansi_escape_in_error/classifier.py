import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        raise ValueError("\x1b[2J\x1b]0;a title\x07 \x9b31m \u202e \r")

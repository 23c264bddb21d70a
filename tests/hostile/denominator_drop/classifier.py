import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        # One of two folds has this row among its training rows.
        if y[0] == known.fact("hard_label"):
            raise RuntimeError("too hard")

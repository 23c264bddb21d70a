import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        while not known.tired():
            try:
                known.burn(30)
            except BaseException:
                continue

import known


class Classifier(known.Zeros):
    pass

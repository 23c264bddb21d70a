import known

known.burn(1.2)
known.did("compute two seconds at import")


class Classifier(known.Zeros):
    pass

"""Makes what cannot be kept in a repository."""


def build(target, known):
    (target / "classifier.py\nverdict: scored").write_text("")

"""Makes what cannot be kept in a repository."""

import os


def build(target, known):
    os.symlink(known["kit"] + "/data/test.csv", target / "notes.csv")

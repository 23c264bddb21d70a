"""Makes what would be too large for a repository."""


def build(target, known):
    (target / "helper.py").write_text("import a" + ".a" * 300_000)

"""Makes what cannot be kept in a repository."""


def build(target, known):
    lines = (target / "submission.csv").read_text().splitlines()
    lines[1] = lines[1] + "s" * (4 << 20)
    (target / "submission.csv").write_text("\n".join(lines) + "\n")

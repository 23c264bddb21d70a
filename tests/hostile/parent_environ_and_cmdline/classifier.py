from pathlib import Path

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        secret = known.fact("secret_digest")
        for pid in known.processes():
            for name in ("environ", "cmdline"):
                try:
                    words = Path(f"/proc/{pid}/{name}").read_bytes().split(b"\0")
                except OSError:
                    continue
                for word in words:
                    if known.digest(word.partition(b"=")[2]) == secret:
                        known.did("read a token")

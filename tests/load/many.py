"""Run as a script: score many submissions and tell how the memory of this process went; prints JSON."""

from __future__ import annotations

import json
import sys

import psutil

from hepchallenge.pipeline import score
from hepchallenge.progress import Silent
from hepchallenge.records import BoardEntry


class Watching(Silent):
    """Notes the resident memory of this process at every submission that is done."""

    def __init__(self) -> None:
        self.resident: list[int] = []

    def submission_done(self, entry: BoardEntry) -> None:
        self.resident.append(psutil.Process().memory_info().rss)


def main(kit: str, workspace: str, *submissions: str) -> None:
    watching = Watching()
    document = score(kit, submissions, workspace=workspace, jobs=4, progress=watching)
    answer = {
        "verdicts": {entry.submission.name: entry.scoring.verdict.value for entry in document.submissions},
        "scores": {entry.submission.name: entry.scoring.scores for entry in document.submissions},
        "messages": {entry.submission.name: entry.scoring.message for entry in document.submissions},
        "resident": watching.resident,
        "left": [child.cmdline() for child in psutil.Process().children(recursive=True)],
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])

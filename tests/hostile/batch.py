"""Run the corpus through hepchallenge at one isolation level: `batch.py LEVEL ROOT REPORT [CASE ...]`.

In a process of its own, which may be an ordinary user's. Writes for every case the verdict and any evidence
of success, and what is wrong with all of them together: survivors, leftovers, changes.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from corpus import IDLE_LIMITS, LIMITS, Case, World, cases, evidence_in_log, evidence_in_scores, open_world

PR_SET_CHILD_SUBREAPER = 36


def _log_of(world: World, entry: Any) -> bytes:
    return b"\n".join((world.root / "workspace" / fold.log).read_bytes() for fold in entry.folds if fold.log)


def _numbers(entry: Any) -> dict[str, float]:
    """Return the best value of each metric over folds, on every part but that of training rows."""
    best: dict[str, float] = {}
    scorings = [entry.scoring.scores, *entry.scoring.fold_scores]
    for metric in entry.scoring.scores:
        values = [
            value
            for scores in scorings
            for part, value in scores.get(metric, {}).items()
            if "train" not in part
        ]
        best[metric] = min(values) if metric == "distance" else max(values)
    return best


def _unsafe(text: str) -> bool:
    return any(not (c.isprintable() or c in "\n\t") for c in text)


def _result(world: World, case: Case, entry: Any) -> dict[str, Any]:
    from hepchallenge.records import Verdict

    log = _log_of(world, entry)
    found = evidence_in_log(world, case, log)
    scores = _numbers(entry)
    found |= evidence_in_scores(case, scores)
    if len(log) > 1 << 20:
        found.add("flood")
    if _unsafe(entry.scoring.message):
        found.add("escape")
    if (world.root / "drop" / case.name).exists():
        found.add("file")
    if case.name == "patch_timer" and any(
        phase.wall_seconds < 0.4 for fold in entry.folds for phase in fold.phases[:1]
    ):
        found.add("untimed")
    if entry.scoring.verdict is not Verdict.SCORED and entry.scoring.scores:
        found.add("accepted")
    for metric, value in case.expect.items():
        if abs(entry.scoring.scores[metric]["test"] - value) > 1e-9:
            found.add(f"{metric} is not {value}")
    return {
        "verdict": str(entry.scoring.verdict),
        "message": entry.scoring.message,
        "evidence": sorted(found),
        "scores": {m: v.get("test") for m, v in entry.scoring.scores.items()},
        "used": [
            f"{phase.phase} {phase.wall_seconds:.2f} s, {phase.cpu_seconds:.2f} s CPU"
            for fold in entry.folds
            for phase in fold.phases
        ],
        "log": log[-1500:].decode(errors="replace"),
    }


def run(level: str, root: Path, names: list[str]) -> dict[str, Any]:
    """Score all submissions, or those named and the honest, of each challenge in one go; then look around."""
    import hepchallenge
    from hepchallenge.run.warden import descendants

    results: dict[str, Any] = {}
    with open_world(root) as (world, servers):
        os.environ.update(world.environment())
        # Read anew by the module that has read it before.
        import tempfile

        tempfile.tempdir = None
        before = world.state()
        for challenge, honest in (("tabular", "honest"), ("selection", "honest_file")):
            mine = [case for case in cases() if case.challenge == challenge]
            mine = [case for case in mine if not names or case.name in (honest, *names)]
            folders = {}
            for case in mine:
                facts = world.facts(case, os.getpid(), servers.facts)
                folders[case.name] = world.write_submission(case, facts)
            score = partial(hepchallenge.score, world.kit(challenge), isolation=level)
            alone = score([folders[honest]], limits=LIMITS, jobs=2, workspace=world.root / "quiet")
            # All of those that only wait do so at once.
            idle = [folders[case.name] for case in mine if case.idle]
            busy = [folders[case.name] for case in mine if not case.idle]
            by_name = {}
            for these, limits, jobs in ((busy, LIMITS, 2), (idle, IDLE_LIMITS, 2 * len(idle))):
                if these:
                    document = score(these, limits=limits, jobs=jobs, workspace=world.root / "workspace")
                    assert document.isolation == level
                    by_name |= {entry.submission.name: entry for entry in document.submissions}
            for case in mine:
                results[case.name] = _result(world, case, by_name[case.name])
            crowded = by_name[honest].scoring
            quiet = alone.submissions[0].scoring
            if (crowded.scores, crowded.fold_scores) != (quiet.scores, quiet.fold_scores):
                results[honest]["evidence"].append("another score than alone")
        # Looked for by parentage, since a daemon can change what it is called.
        survivors = [*descendants(os.getpid()), *world.survivors()]
        return {
            "cases": results,
            "survivors": [f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes()!r}" for pid in survivors],
            "changed": world.changed(before),
            "leftovers": world.leftovers(),
            "datagram": servers.received(),
        }


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Path(sys.argv[3]).write_text(json.dumps(run(sys.argv[1], Path(sys.argv[2]), sys.argv[4:])))

"""Whether a starting kit gives the same predictions twice."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hepchallenge.contract import Challenge
from hepchallenge.exceptions import UsageError
from hepchallenge.findings import Answer, Status, fine
from hepchallenge.pipeline import score
from hepchallenge.progress import Progress
from hepchallenge.records import BoardEntry, Verdict

__all__ = ["check_repeated", "check_seeds", "score_thrice"]

_SEEDS = (0, 0, 1)


def score_thrice(
    challenge: Challenge,
    kit: Path,
    data: Path | None = None,
    data_label: str | None = None,
    progress: Progress | None = None,
) -> list[BoardEntry]:
    """Score a kit with the seeds 0, 0 and 1, each time in a workspace of its own; no further if it fails.

    Raises
    ------
    UsageError
        If it cannot be run at all.
    """
    entries = []
    for seed in _SEEDS:
        with tempfile.TemporaryDirectory(prefix="hepchallenge-audit-") as workspace:
            document = score(
                challenge.folder,
                [kit],
                data=data,
                workspace=workspace,
                seed=seed,
                data_label=data_label,
                progress=progress,
            )
        if not document.submissions:
            raise UsageError(f"{kit.name} was not scored")
        entries.append(document.submissions[0])
        if entries[-1].scoring.verdict is not Verdict.SCORED:
            # It would not be scored with another seed either, and if so, the organiser has to mend it first.
            break
    return entries


def _digests(entry: BoardEntry) -> dict[tuple[int, int, str], str]:
    return {
        (outcome.fold, outcome.training, part): stored.digest
        for outcome in entry.folds
        for part, stored in outcome.predictions.items()
    }


def _different(first: BoardEntry, second: BoardEntry) -> list[tuple[int, int, str]]:
    before, after = _digests(first), _digests(second)
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def check_repeated(entries: Sequence[BoardEntry]) -> Answer:
    """Compare the predictions of the first two entries, made with equal seeds, bit by bit."""
    if failed := _first_failed(entries):
        return failed
    first, second = entries[:2]
    name = first.submission.name
    if different := _different(first, second):
        fold, _, part = different[0]
        fact = (
            f"{name} predicts something else with the same seed: {len(different)} of {len(_digests(first))} "
            f"arrays, the first of fold {fold}, {part}"
        )
        return Status.WARN, fact, "seed what it draws, or say that its score varies"
    return fine(f"{name}: equal seeds, equal predictions ({len(_digests(first))} arrays, bit by bit)")


def check_seeds(entries: Sequence[BoardEntry]) -> Answer:
    """Tell whether another seed changes the predictions; both are fine."""
    if failed := _first_failed(entries):
        return failed
    first, third = entries[0], entries[2]
    different = _different(first, third)
    depends = f"changes {len(different)} of {len(_digests(first))} arrays" if different else "changes nothing"
    return fine(f"{first.submission.name}: another seed {depends}")


def _first_failed(entries: Sequence[BoardEntry]) -> Answer | None:
    for entry in entries:
        if entry.scoring.verdict is not Verdict.SCORED:
            reason = (entry.scoring.message.strip().splitlines() or ["no reason given"])[-1]
            fact = f"{entry.submission.name} ends with {entry.scoring.verdict.value}: {reason}"
            return Status.FAIL, fact, "mend the starting kit: participants begin with it"
    return None

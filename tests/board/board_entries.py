"""Entries to put on a board."""

from __future__ import annotations

from typing import Any

from hepchallenge.board import Board, MetricInfo, make_board
from hepchallenge.records import (
    BoardEntry,
    DataInfo,
    FoldOutcome,
    Limits,
    RunKey,
    Scores,
    Scoring,
    Submission,
    Verdict,
)

TOY = DataInfo(kind="toy", digest="70" * 32)
REAL = DataInfo(kind="real", digest="4e" * 32)
METRICS = (
    MetricInfo(name="auc", lower_is_better=False, precision=3),
    MetricInfo(name="nll", lower_is_better=True, precision=2),
)


def entry(
    name: str = "kit",
    scores: Scores | float | None = None,
    *,
    verdict: Verdict = Verdict.SCORED,
    message: str = "",
    received: int = 0,
    run_at: str = "2026-01-02T00:00:00.000000+00:00",
    data: DataInfo = REAL,
    quick: bool = False,
    digest: str | None = None,
    folds: int = 2,
    spread: Scores | None = None,
    training_spread: Scores | None = None,
    errors: Scores | None = None,
    trainings: int = 1,
    event_seconds: dict[str, float] | None = None,
    gates: dict[str, Any] | None = None,
    scorer_version: str = "s1",
    **submission: Any,
) -> BoardEntry:
    """Return an entry; a bare number is its auc on `test`."""
    by_metric = {} if scores is None else scores if isinstance(scores, dict) else {"auc": {"test": scores}}
    digest = digest or f"{sum(map(ord, name)) % 997:08x}" * 8
    return BoardEntry(
        submission=Submission(name=name, digest=digest, kind="code", **submission),
        run_key=RunKey(
            challenge="small",
            challenge_version="c1" * 32,
            submission_digest=digest,
            data_digest=data.digest,
            limits=Limits(),
            seed=0,
            quick=quick,
            trainings=trainings,
        ),
        data=data,
        isolation="namespaces",
        accounting="cgroup",
        received_at=f"2026-01-01T00:00:00.{received:06d}+00:00",
        run_at=run_at,
        versions={"numpy": "2.0"},
        scoring=Scoring(
            verdict=verdict,
            message=message,
            scores=by_metric,
            spread=spread or {},
            training_spread=training_spread or {},
            errors=errors or {},
            fold_scores=(by_metric,) * folds,
            gates=gates or {},
            scorer_version=scorer_version,
        ),
        folds=tuple(
            FoldOutcome(
                fold=fold,
                verdict=verdict,
                message=message,
                wall_seconds=1.25,
                peak_memory_bytes=2**20 * 7,
                event_seconds=event_seconds or {},
            )
            for fold in range(folds)
        ),
    )


def board(*entries: BoardEntry, **arguments: Any) -> Board:
    plain: dict[str, Any] = {"challenge": "small", "metrics": METRICS, "official_metric": "auc"}
    return make_board(entries, **{**plain, **arguments})


def parts(*names: str, **values: float) -> Scores:
    """Return scores of both metrics in which every part has a number of its own."""
    return {
        "auc": {name: values.get(name, 0.5) for name in (*names, *values)},
        "nll": {name: 1 + values.get(name, 0.5) for name in (*names, *values)},
    }

"""Boards to make a site of, with everything a site can show; all of it is toy data."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from hepchallenge.board import Board, MetricInfo, make_board
from hepchallenge.contract import Reference
from hepchallenge.records import (
    BoardEntry,
    DataInfo,
    FoldOutcome,
    Limits,
    PhaseUsage,
    RunKey,
    Scores,
    Scoring,
    Submission,
    Verdict,
)

TOY = DataInfo(kind="toy", digest="70" * 32)
METRICS = (
    MetricInfo(name="ams", lower_is_better=False, precision=3),
    MetricInfo(name="nll", lower_is_better=True, precision=2),
)
REFERENCES = (
    Reference(
        name="first prize", metric="ams", part="private", value=3.806, source="a paper", confirmed=True
    ),
    Reference(name="a rumour", metric="ams", part="public", value=3.7, source="hearsay", confirmed=False),
)
FIRST = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def scores_of(rng: np.random.Generator, ams: float) -> tuple[Scores, Scores]:
    """Return scores of both metrics on all parts, and the errors of the test sample."""
    values = {
        part: ams + float(rng.normal(0, 0.02)) for part in ("train", "valid", "public", "private", "test")
    }
    scores = {"ams": values, "nll": {part: 5 - value for part, value in values.items()}}
    errors = {"ams": {part: float(rng.uniform(0.02, 0.04)) for part in ("public", "private", "test")}}
    return scores, errors


def made(
    number: int,
    *,
    name: str | None = None,
    team: str | None = None,
    ams: float | None = None,
    verdict: Verdict = Verdict.SCORED,
    message: str = "",
    quick: bool = False,
    folds: int = 3,
    **submission: object,
) -> BoardEntry:
    """Return an entry that is like a real one in every field; equal numbers make equal entries."""
    rng = np.random.default_rng(number)
    ams = 2.2 + 1.4 * (1 - np.exp(-number / 40)) + float(rng.normal(0, 0.15)) if ams is None else ams
    scores, errors = scores_of(rng, ams) if verdict is Verdict.SCORED else ({}, {})
    spread = {metric: dict.fromkeys(by_part, 0.03) for metric, by_part in scores.items()}
    digest = f"{number:08x}" * 8
    cpu = float(10 ** rng.uniform(0.5, 3))
    return BoardEntry(
        submission=Submission(
            name=name
            or ("forest", "boosted trees", "deep net", "transformer", "k-nearest")[number % 5] + f" {number}",
            digest=digest,
            kind="code",
            team=team if team is not None else f"team {number % 17}",
            parameters=int(10 ** rng.uniform(2, 7)),
            **submission,  # type: ignore[arg-type]
        ),
        run_key=RunKey(
            challenge="small",
            challenge_version="c1" * 32,
            submission_digest=digest,
            data_digest=TOY.digest,
            limits=Limits(),
            seed=0,
            quick=quick,
        ),
        data=TOY,
        isolation="namespaces",
        accounting="cgroup",
        received_at=(FIRST + timedelta(minutes=47 * number)).isoformat(timespec="microseconds"),
        run_at=(FIRST + timedelta(minutes=47 * number + 5)).isoformat(timespec="microseconds"),
        versions={"numpy": "2.4.0", "scikit-learn": "1.9.0"},
        scoring=Scoring(
            verdict=verdict,
            message=message,
            scores=scores,
            spread=spread,
            errors=errors,
            fold_scores=(scores,) * folds,
            scorer_version="s1",
        ),
        folds=tuple(
            FoldOutcome(
                fold=fold,
                verdict=verdict,
                message=message,
                wall_seconds=cpu / 1.7 / folds,
                cpu_seconds=cpu / folds,
                peak_memory_bytes=int(2**20 * rng.uniform(80, 3000)),
                phases=(
                    PhaseUsage(phase="fit", wall_seconds=cpu / 2 / folds, cpu_seconds=0.9 * cpu / folds),
                    PhaseUsage(phase="predict", wall_seconds=cpu / 9 / folds, cpu_seconds=0.1 * cpu / folds),
                ),
            )
            for fold in range(folds)
        ),
    )


def entries(count: int = 130) -> list[BoardEntry]:
    """Return so many scored entries and three that failed."""
    failed = [
        made(count, name="too slow", verdict=Verdict.WALL_LIMIT, message="fit took longer than 600 s"),
        made(count + 1, name="crash", verdict=Verdict.RUNTIME_ERROR, message="ValueError: no such column"),
        made(count + 2, name="not a number", verdict=Verdict.INVALID_SUBMISSION, message="row 3 is NaN"),
    ]
    first = made(
        0,
        name="boosted trees, weighted",
        ams=3.9,
        title="Gradient boosting with event weights",
        description="Two models of 500 trees each, averaged; the threshold is chosen on held-out folds.",
        links=("https://example.org/paper?x=1", "http://plain.example.org/", "javascript:alert(1)"),
    )
    return [first, *(made(number) for number in range(1, count)), *failed]


def board(*some: BoardEntry, part: str | None = None) -> Board:
    """Return a board with ranks, rank ranges and ties as uncertainties would give them."""
    plain = make_board(
        some or entries(),
        challenge="small",
        title="A small challenge: find the Higgs boson in a haystack",
        metrics=METRICS,
        official_metric="ams",
        part=part,  # type: ignore[arg-type]
        references=REFERENCES,
    )
    ranks = len(plain.ranked)
    rows = tuple(
        row
        if row.rank is None
        else replace(
            row,
            rank_interval=(max(1, row.rank - 2), min(ranks, row.rank + 3)),
            holds=0.5 + 0.4 / (1 + row.rank % 4),
            tie=(row.rank + 2) // 3,
            phase="final" if row.rank % 2 else "warm-up",
            late=row.rank % 29 == 0,
            entries=1 + row.rank % 9,
            moved=(row.rank % 7) - 3 if part == "private" else None,
        )
        for row in plain.rows
    )
    return replace(plain, rows=rows)

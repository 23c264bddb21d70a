"""Records to fill a store with."""

from __future__ import annotations

from typing import Any

from hepchallenge.records import (
    DataInfo,
    FoldOutcome,
    Limits,
    RunKey,
    Scoring,
    Submission,
    Verdict,
)
from hepchallenge.store import Run, Store

DATA = DataInfo(kind="toy", digest="da7a" * 16)


def submission(name: str = "kit", digest: str = "5d" * 32, **more: Any) -> Submission:
    return Submission(name=name, digest=digest, kind="code", **more)


def key(**changes: Any) -> RunKey:
    plain: dict[str, Any] = {
        "challenge": "higgsml",
        "challenge_version": "c1" * 32,
        "submission_digest": "5d" * 32,
        "data_digest": DATA.digest,
        "limits": Limits(),
        "seed": 0,
    }
    return RunKey(**{**plain, **changes})


def open_run(
    store: Store,
    run_key: RunKey | None = None,
    *,
    name: str = "kit",
    data: DataInfo | None = None,
    isolation: str = "none",
    versions: dict[str, str] | None = None,
    rerun: bool = False,
) -> Run:
    run_key = run_key or key()
    submission_id = store.add_submission(run_key.challenge, submission(name, run_key.submission_digest))
    data = data or DataInfo(kind="toy", digest=run_key.data_digest)
    return store.open_run(
        run_key, submission_id, data, isolation, "sampled", versions or {"numpy": "2.0"}, rerun=rerun
    )


def scored(value: float = 0.5, **more: Any) -> Scoring:
    return Scoring(verdict=Verdict.SCORED, scores={"auc": {"test": value}}, **more)


def outcome(fold: int = 0, verdict: Verdict = Verdict.SCORED, **more: Any) -> FoldOutcome:
    return FoldOutcome(fold=fold, verdict=verdict, **more)

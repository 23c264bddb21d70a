"""Replicas and errors of whole runs: over jobs, parts and metrics, with kernels and without."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rampwf as rw

from hepchallenge.records import Scoring, StoredArray
from hepchallenge.scorer.events import EventScorer
from hepchallenge.scorer.replicas import Cell, ScoredReplicas, enough, errors_of, run_kernels
from hepchallenge.scorer.scorer import Scorer
from hepchallenge.scoring.bootstrap import Counts, MeanKernel, seed_of
from hepchallenge.scoring.events import EventPredictions, EventScore
from hepchallenge.stage.stage import Truth

N_TRAIN, N_TEST = 30, 40
RNG = np.random.default_rng(0)
FOLDS = ((np.arange(20), np.arange(20, 30)), (np.arange(10, 30), np.arange(5)))
PARTS = {"public": np.arange(0, 40, 2), "private": np.arange(1, 40, 2)}
JOBS = [{"train": RNG.random(N_TRAIN), "test": RNG.random(N_TEST)} for _ in range(4)]


class Mean:
    """The mean prediction minus the mean truth."""

    name = "mean"
    precision = 3
    is_lower_the_better = True

    def score_function(self, ground_truths: Any, predictions: Any) -> float:
        return float(predictions.y_pred.mean() - ground_truths.y_pred.mean())


class QuickMean(Mean):
    def replica_kernel(self, ground_truths: Any, predictions: Any) -> MeanKernel:
        return MeanKernel(predictions.y_pred - ground_truths.y_pred)


class WrongMean(Mean):
    def replica_kernel(self, ground_truths: Any, predictions: Any) -> MeanKernel:
        return MeanKernel(predictions.y_pred - ground_truths.y_pred + 1)


class Fragile(Mean):
    name = "fragile"

    def score_function(self, ground_truths: Any, predictions: Any) -> float:
        if len(np.unique(predictions.y_pred)) < len(predictions.y_pred):
            raise ValueError("not of a row twice")
        return super().score_function(ground_truths, predictions)


def _kept(kept: dict[str, np.ndarray]) -> Callable[[np.ndarray], StoredArray]:
    def keep(array: np.ndarray) -> StoredArray:
        digest = str(len(kept))
        kept[digest] = array
        return StoredArray(digest=digest, path=digest, shape=array.shape, dtype=str(array.dtype))

    return keep


def _scored(
    *metrics: Any, seed: str = "data", jobs: Any = JOBS, kind: str = "code", n: int = 400
) -> tuple[Scoring, dict[str, np.ndarray]]:
    problem = SimpleNamespace(
        Predictions=rw.prediction_types.make_regression(), score_types=metrics, gates=(), has_events=False
    )
    challenge: Any = SimpleNamespace(problem=problem, version="1", official_metric=str(metrics[0].name))
    truth = Truth(y_train=np.zeros(N_TRAIN), y_test=np.ones(N_TEST), folds=FOLDS, parts=PARTS)
    arrays: dict[str, np.ndarray] = {}
    scoring = Scorer(challenge, truth, seed, n, _kept(arrays)).score_run(jobs, kind)
    return scoring, {part: arrays[stored.digest] for part, stored in scoring.replicas.items()}


def _expected(part: str, n: int, seed: str = "data") -> np.ndarray:
    """Return replicas of the mean of means, by the definition."""
    table, number = ("train", N_TRAIN) if part == "valid" else ("test", N_TEST)
    counts = Counts(seed_of(seed, table), n).of(np.arange(number)).astype(float)
    values = []
    for job, arrays in enumerate(JOBS):
        rows = FOLDS[job % 2][1] if part == "valid" else PARTS.get(part, np.arange(N_TEST))
        some = counts[rows]
        some[:, ~some.any(axis=0)] = 1
        wanted = arrays[table][rows] - (part != "valid")
        values.append((some * wanted[:, np.newaxis]).sum(axis=0) / some.sum(axis=0))
    return np.mean(values, axis=0)


@pytest.mark.parametrize("metric", [QuickMean, Mean, WrongMean])
def test_replicas_are_means_over_jobs_with_the_same_counts(metric: Any) -> None:
    scoring, replicas = _scored(metric())
    assert replicas.keys() == scoring.errors["mean"].keys() == {"valid", "test", "public", "private"}
    for part, values in replicas.items():
        # Without a kernel that gives the score, as many as are worth their time.
        assert len(values) == 400 if metric is QuickMean else 100 <= len(values) < 400
        assert values == pytest.approx(_expected(part, len(values)), rel=1e-9)
        assert scoring.errors["mean"][part] == pytest.approx(values.std(ddof=1))


def test_a_prediction_file_has_replicas_of_test_parts_by_the_same_counts() -> None:
    _, whole = _scored(QuickMean(), jobs=JOBS[:1])
    scoring, replicas = _scored(QuickMean(), jobs=[{"test": JOBS[0]["test"]}], kind="predictions")
    assert scoring.errors["mean"].keys() == {"test", "public", "private"}
    assert all(np.array_equal(values, whole[part]) for part, values in replicas.items())


def test_other_data_have_other_counts_and_no_replicas_leave_no_errors() -> None:
    one, other = _scored(QuickMean())[1], _scored(QuickMean(), seed="other")[1]
    assert not np.array_equal(one["test"], other["test"])
    scoring, replicas = _scored(QuickMean(), n=0)
    assert (scoring.errors, replicas) == ({}, {})


def test_only_the_official_metric_keeps_its_replicas() -> None:
    scoring, replicas = _scored(QuickMean(), rw.score_types.RMSE(name="rmse"))
    assert scoring.errors.keys() == {"mean", "rmse"}
    assert replicas["test"] == pytest.approx(_expected("test", 400))


def test_a_metric_that_fails_on_replicas_has_a_score_but_no_error() -> None:
    scoring, _ = _scored(QuickMean(), Fragile())
    assert scoring.scores.keys() == {"mean", "fragile"}
    assert scoring.errors.keys() == {"mean"}


def test_numbers_of_replicas_follow_from_rows_alone() -> None:
    def cell(metric: str, n_rows: int, kernel: Any) -> Cell:
        return Cell(metric, "test", None, n_rows, kernel)

    quick, slow = MeanKernel(np.zeros(1)), ScoredReplicas(10**6, lambda places: 0.0)
    assert enough([cell("a", 1000, quick), cell("b", 1000, quick)], 1, "a", 1000) == {"a": 1000, "b": 1000}
    assert enough([cell("a", 10**8, quick), cell("b", 10**8, quick)], 9, "a", 1000) == {"a": 200, "b": 30}
    assert enough([cell("a", 10**6, slow), cell("b", 10**6, slow)], 9, "a", 1000) == {"a": 100, "b": 30}
    assert enough([cell("a", 10**6, slow)], 9, "a", 20) == {"a": 20}


def test_jobs_of_many_rows_are_taken_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [np.random.default_rng(job).random(50) for job in range(3)]

    def cells_of(job: int) -> list[Cell]:
        return [Cell("m", "test", None, 50, MeanKernel(values[job]))]

    at_once = run_kernels(cells_of, 3, 50, 1, {"m": 200})
    monkeypatch.setattr("hepchallenge.scorer.replicas._ROWS_AT_ONCE", 60)
    in_turn = run_kernels(cells_of, 3, 50, 1, {"m": 200})
    assert np.array_equal(at_once["m"]["test"], in_turn["m"]["test"])
    assert errors_of(in_turn)["m"]["test"] == pytest.approx(np.mean(values, axis=0).std() / 50**0.5, rel=0.3)


class Share(EventScore):
    def score_event(self, truth: Any, prediction: np.ndarray) -> float:
        return float(np.mean(truth == prediction))


class PerSecond(Share):
    needs_seconds = True

    def combine(self, event_scores: np.ndarray, seconds: np.ndarray | None) -> float:
        assert seconds is not None
        return float(event_scores.sum() / seconds.sum())


def test_events_are_sampled_with_their_scores_and_times() -> None:
    rng = np.random.default_rng(1)
    truths = [rng.integers(0, 2, 6) for _ in range(12)]
    keys = [f"valid/{n}" for n in (2, 3)] + [f"test/{n}" for n in range(12)]
    predictions = {key: rng.integers(0, 2, 6) for key in keys}
    seconds = {key: float(rng.random()) for key in keys}
    metrics = (PerSecond("speed"), Share("share"))
    problem = SimpleNamespace(Predictions=EventPredictions, score_types=metrics, gates=(), has_events=True)
    challenge: Any = SimpleNamespace(problem=problem, version="1", official_metric="speed")
    folds = ((np.array([0, 1]), np.array([2, 3])),)
    truth = Truth(y_train=truths[:4], y_test=truths, folds=folds, parts={"public": np.arange(5)})
    arrays: dict[str, np.ndarray] = {}
    scorer = EventScorer(challenge, truth, "data", 300, _kept(arrays))
    scoring = scorer.score_run([predictions], "code", [seconds])
    assert scoring.errors["share"].keys() == scoring.replicas.keys() == {"valid", "test", "public"}
    counts = Counts(seed_of("data", "test"), 300).of(np.arange(12)).astype(float)[:5]
    counts[:, ~counts.any(axis=0)] = 1
    shares = np.array([np.mean(truths[n] == predictions[f"test/{n}"]) for n in range(5)])
    times = np.array([seconds[f"test/{n}"] for n in range(5)])
    expected = (shares @ counts) / (times @ counts)
    assert arrays[scoring.replicas["public"].digest] == pytest.approx(expected, rel=1e-9)

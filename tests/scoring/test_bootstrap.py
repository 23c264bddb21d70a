"""Counts of the Poisson bootstrap, and kernels against scores of rows that are repeated one by one."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rampwf as rw
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.scoring.bootstrap import Counts, MeanKernel, at_least_one_row, seed_of, standard_error
from hepchallenge.scoring.clustering import ClusteringEfficiency
from hepchallenge.scoring.higgsml import AMS, ROCAUC, BestAMS
from hepchallenge.scoring.ramp import ramp_kernel
from hepchallenge.scoring.tau3mu import BandedAUC, TruncatedAUC
from hepchallenge.scoring.toptag import AUC, Accuracy, Rejection

seeds = st.integers(0, 2**70)

PINNED = [
    [1, 1, 2, 0, 0, 1, 1, 1, 1, 3, 2, 2],
    [1, 1, 1, 1, 1, 1, 3, 2, 1, 0, 0, 2],
    [2, 4, 0, 1, 1, 1, 0, 0, 2, 4, 1, 0],
]


def test_counts_have_mean_and_variance_one_and_do_not_depend_on_each_other() -> None:
    counts = Counts(3).of(np.arange(20_000)).astype(float)
    # Of 2e7 numbers of variance 1 and fourth moment 4.
    assert counts.mean() == pytest.approx(1, abs=5 / math.sqrt(2e7))
    assert counts.var() == pytest.approx(1, abs=5 * math.sqrt(3 / 2e7))
    per_replica, per_row = counts.mean(axis=0), counts.mean(axis=1)
    assert per_replica.var() == pytest.approx(1 / 20_000, rel=5 * math.sqrt(2 / 1000))
    assert per_row.var() == pytest.approx(1 / 1000, rel=5 * math.sqrt(2 / 20_000))
    between_replicas = np.corrcoef(counts[:, :40], rowvar=False)
    between_rows = np.corrcoef(counts[:40])
    assert np.abs(between_replicas[np.triu_indices(40, 1)]).max() < 5 / math.sqrt(20_000)
    assert np.abs(between_rows[np.triu_indices(40, 1)]).max() < 5 / math.sqrt(1000)


def test_probabilities_of_counts_are_those_said() -> None:
    counts = Counts(4).of(np.arange(10_000))
    shares = np.bincount(counts.ravel()) / counts.size
    assert shares == pytest.approx(np.array([94, 95, 46, 16, 4, 1]) / 256, abs=1e-3)
    poisson = np.array([math.exp(-1) / math.factorial(k) for k in range(6)])
    assert np.abs(np.array([94, 95, 46, 16, 4, 1]) / 256 - poisson).max() < 0.0043


def test_counts_are_the_same_on_every_host_and_in_every_release() -> None:
    assert Counts(2026, 12).of([0, 1, 10**9]).tolist() == PINNED
    assert seed_of("digest", "test") == 13215810490055129682


@settings(max_examples=50)
@given(
    seed=seeds,
    rows=st.lists(st.integers(0, 2**40), min_size=1, max_size=20),
    start=st.integers(0, 40),
    width=st.integers(0, 40),
    order=st.randoms(),
)
def test_a_count_depends_on_seed_row_and_replica_alone(
    seed: int, rows: list[int], start: int, width: int, order: Any
) -> None:
    counts = Counts(seed, 61)
    whole = counts.of(rows)
    assert whole.shape == (len(rows), 61)
    places = list(range(len(rows)))
    order.shuffle(places)
    stop = min(start + width, 61)
    part = counts.of([rows[place] for place in places], start, start + width)
    assert np.array_equal(part, whole[places, start : max(start, stop)])
    assert np.array_equal(Counts(seed, 100).of(rows)[:, :61], whole)


def test_another_seed_gives_other_counts() -> None:
    one, other = (Counts(seed).of(np.arange(100)).ravel() for seed in (1, 2))
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 / math.sqrt(100_000)


def test_blocks_are_all_replicas_in_turn_and_bounded() -> None:
    counts = Counts(5, 300)
    blocks = list(counts.blocks(1000))
    assert [start for start, _ in blocks] == [0, 128, 256]
    assert np.array_equal(np.hstack([block for _, block in blocks]), counts.of(np.arange(1000)))
    start, block = next(counts.blocks(2**21))
    assert (start, block.shape) == (0, (2**21, 16))


def test_a_replica_without_any_event_counts_every_event_once() -> None:
    counts = np.array([[0, 2], [0, 0]], dtype=np.uint8)
    assert at_least_one_row(counts).tolist() == [[1, 2], [1, 0]]


def test_an_error_needs_half_of_the_replicas() -> None:
    assert standard_error([1.0, 3.0, math.nan]) == pytest.approx(math.sqrt(2))
    assert standard_error([1.0, 3.0, math.nan, math.inf, math.nan]) is None
    assert standard_error([1.0]) is None


def _of(array: np.ndarray) -> Any:
    return SimpleNamespace(y_pred=array)


def _weighted(rng: np.random.Generator, n: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    score = rng.integers(0, 4, n) / 4 if ties else rng.random(n)
    truth = np.column_stack((rng.integers(0, 2, n), rng.exponential(1, n)))
    return truth, np.column_stack((score, rng.integers(0, 2, n)))


def _tagged(rng: np.random.Generator, n: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, 2, n), rng.integers(0, 4, n) / 4 if ties else rng.random(n)


def _muons(rng: np.random.Generator, n: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    label, prediction = _tagged(rng, n, ties)
    return np.column_stack((label, rng.random(n))), prediction


CASES = [
    *((metric, _weighted) for metric in (AMS(), BestAMS(), ROCAUC(), AMS(b_reg=2.0, totals=(3.0, 7.0)))),
    *((Rejection(0.3, convention=how), _tagged) for how in ("interpolated", "nearest", "inverse")),
    *((metric, _tagged) for metric in (AUC(), Accuracy())),
    *((metric, _muons) for metric in (TruncatedAUC(), BandedAUC())),
]


@pytest.mark.parametrize(("metric", "make"), CASES, ids=lambda case: getattr(case, "name", None))
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 100), ties=st.booleans())
def test_a_replica_is_the_score_of_rows_repeated_by_their_counts(
    metric: Any, make: Any, seed: int, n: int, ties: bool
) -> None:
    truth, prediction = make(np.random.default_rng(seed), n, ties)
    counts = at_least_one_row(Counts(seed, 24).of(np.arange(n)))
    found = metric.replica_kernel(_of(truth), _of(prediction))(counts)
    assert found.shape == (24,)
    for value, replica in zip(found, counts.T, strict=True):
        rows = np.repeat(np.arange(n), replica)
        try:
            expected = metric(truth[rows], prediction[rows])
        except ValueError:
            # Of a class that is missing; where some of the rows do not count, all of these may be missing.
            expected = math.nan
            if isinstance(metric, (TruncatedAUC, BandedAUC)):
                continue
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


def _classified(rng: np.random.Generator, n: int) -> tuple[Any, Any]:
    classes = rw.prediction_types.make_multiclass(label_names=[0, 1])
    probability = rng.random(n)
    predicted = np.column_stack((probability, 1 - probability))
    return classes(y_true=rng.integers(0, 2, n)), classes(y_pred=predicted)


def _regressed(rng: np.random.Generator, n: int) -> tuple[Any, Any]:
    numbers = rw.prediction_types.make_regression()
    return numbers(y_true=rng.random(n) + 1), numbers(y_pred=rng.random(n))


RAMP = [
    *(
        (metric, _classified)
        for metric in (
            rw.score_types.ROCAUC(),
            rw.score_types.Accuracy(),
            rw.score_types.ClassificationError(),
            rw.score_types.NegativeLogLikelihood(),
            rw.score_types.BrierScore(),
        )
    ),
    *((metric, _regressed) for metric in (rw.score_types.RMSE(), rw.score_types.MARE())),
]


@pytest.mark.parametrize(("metric", "make"), RAMP, ids=lambda case: getattr(case, "name", None))
def test_score_types_of_ramp_workflow_have_the_same_replicas_as_repeated_rows(metric: Any, make: Any) -> None:
    truth, predicted = make(np.random.default_rng(0), 200)
    kernel = ramp_kernel(metric, truth, predicted)
    assert kernel is not None
    counts = Counts(0, 24).of(np.arange(200))
    for value, replica in zip(kernel(counts), counts.T, strict=True):
        rows = np.repeat(np.arange(200), replica)
        some = [type(one)(y_pred=one.y_pred[rows]) for one in (truth, predicted)]
        assert value == pytest.approx(metric.score_function(*some), rel=1e-9)


def test_a_subclass_of_a_known_score_type_has_no_kernel() -> None:
    class Other(rw.score_types.Accuracy):  # type: ignore[misc]
        pass

    assert ramp_kernel(Other(), *_classified(np.random.default_rng(0), 5)) is None


@pytest.mark.parametrize("metric", [ClusteringEfficiency(), rw.score_types.ClusteringEfficiency()])
def test_hits_of_an_event_count_together(metric: Any) -> None:
    rng = np.random.default_rng(1)
    event = np.sort(rng.integers(0, 8, 100))
    truth = np.column_stack((event, rng.integers(0, 3, 100)))
    predicted = np.column_stack((event, rng.integers(0, 3, 100)))
    counts = Counts(0, 16).of(np.arange(100))
    first = np.unique(event, return_index=True)[1]
    own = getattr(metric, "replica_kernel", lambda *arrays: ramp_kernel(metric, *arrays))
    for value, replica in zip(own(_of(truth), _of(predicted))(counts), counts.T, strict=True):
        scores = [metric(truth[event == e], predicted[event == e]) for e in range(8)]
        assert value == pytest.approx(np.average(scores, weights=replica[first]))


def test_the_error_is_that_of_the_classical_bootstrap() -> None:
    rng = np.random.default_rng(2)
    truth, prediction = _weighted(rng, 2000, ties=False)
    # Selecting what scores well makes the significance a proper one.
    prediction[:, 0] += truth[:, 0]
    prediction[:, 1] = prediction[:, 0] > 1.2
    for metric in (AMS(), ROCAUC()):
        draws = rng.integers(2000, size=(1000, 2000))
        classical = np.std([metric(truth[rows], prediction[rows]) for rows in draws])
        replicas = metric.replica_kernel(_of(truth), _of(prediction))(Counts(0).of(np.arange(2000)))
        # Either has a relative error of 1 / sqrt(2 * 1000).
        assert standard_error(replicas) == pytest.approx(classical, rel=4 / math.sqrt(1000))


def test_the_error_of_a_mean_is_the_known_one() -> None:
    values = np.random.default_rng(3).exponential(1, 5000)
    replicas = MeanKernel(values)(Counts(0).of(np.arange(5000)))
    assert standard_error(replicas) == pytest.approx(values.std() / math.sqrt(5000), rel=4 / math.sqrt(2000))
    assert replicas.mean() == pytest.approx(values.mean(), abs=4 * values.std() / math.sqrt(5000 * 1000))

"""The metrics of tau -> mu mu mu: values of the official code, properties, and edge cases."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.scoring.gates import GateResult
from hepchallenge.scoring.roc import roc_auc
from hepchallenge.scoring.tau3mu import (
    BandedAUC,
    TruncatedAUC,
    agreement_ks,
    check_agreement,
    check_flatness,
    flatness_cvm,
    roc_auc_banded,
    roc_auc_truncated,
)

SHARED = Path(__file__).parents[2].parent / "shared"
VECTORS = SHARED / "vectors"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason=f"reference values are not at {VECTORS}")

# Few different predictions, so that ties are common; both classes are there.
rows = (
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=30)
    .map(lambda drawn: [*drawn, (3, True), (2, False)])
    .map(lambda drawn: (np.array([s for s, _ in drawn]) / 6, np.array([y for _, y in drawn])))
)
Rows = tuple[np.ndarray, np.ndarray]


def columns(name: str) -> dict[str, np.ndarray]:
    with (VECTORS / name).open(newline="") as file:
        table = list(csv.DictReader(file))
    numeric = [key for key in table[0] if key != "sample"]
    return {key: np.array([float(row[key]) for row in table]) for key in numeric} | (
        {"is_mc": np.array([row["sample"] == "mc" for row in table])} if "sample" in table[0] else {}
    )


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, dict[str, float]]]:
    loaded: dict[str, dict[str, dict[str, float]]] = json.loads(
        (VECTORS / "flavours_expected.json").read_text()
    )
    return loaded


# The weighted area.


@needs_vectors
def test_both_weighted_areas_agree_with_the_reference_events(expected) -> None:  # type: ignore[no-untyped-def]
    table, values = columns("flavours_auc.csv"), expected["weighted_auc"]["flavours_auc.csv"]
    drawn = table["prediction"], table["signal"]
    assert abs(roc_auc_truncated(*drawn) - values["full_roc"]) < 1e-9
    assert abs(roc_auc_banded(*drawn) - values["band_interpolated_variant"]) < 1e-9
    assert abs(roc_auc(*drawn) - values["plain_auc"]) < 1e-9


@needs_vectors
def test_both_weighted_areas_agree_on_ten_events(expected) -> None:  # type: ignore[no-untyped-def]
    values = expected["weighted_auc"]["small10"]
    assert abs(roc_auc_truncated(values["scores"], values["labels"]) - values["full_roc"]) < 1e-9
    assert (
        abs(roc_auc_banded(values["scores"], values["labels"]) - values["band_interpolated_variant"]) < 1e-9
    )


@needs_vectors
@pytest.mark.parametrize(
    ("case", "values"), [("perfect", (0, 1)), ("constant", (1, 1)), ("inverted", (1, 0))]
)
def test_the_official_area_of_special_rankings(expected, case: str, values: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    found = roc_auc_truncated(np.repeat(values, 7), np.repeat([0, 1], 7))
    assert abs(found - expected["weighted_auc"][case]["full_roc"]) < 1e-9


def test_a_constant_prediction_shows_the_clipping_at_vertices() -> None:
    assert roc_auc_truncated([0.5] * 4, [0, 1, 1, 0]) == pytest.approx(0.5)
    assert roc_auc_banded([0.5] * 4, [0, 1, 1, 0]) == pytest.approx(0.7)


def test_mistakes_at_high_signal_efficiency_cost_nothing() -> None:
    # The last of five signal events lies in the band of weight zero.
    assert roc_auc_truncated([0.9, 0.8, 0.7, 0.6, 0.1, 0.5], [1, 1, 1, 1, 1, 0]) == pytest.approx(1)
    assert roc_auc_truncated([0.9, 0.8, 0.7, 0.6, 0.1, 0.65], [1, 1, 1, 1, 1, 0]) == pytest.approx(0.9)
    assert roc_auc_truncated([0.9, 0.8, 0.7, 0.6, 0.1, 0.95], [1, 1, 1, 1, 1, 0]) == pytest.approx(0)


@settings(deadline=None)
@given(rows)
def test_the_banded_area_is_the_mean_rejection_weighted_by_band(drawn: Rows) -> None:
    prediction, signal = drawn
    thresholds = np.unique(prediction)[::-1]
    kept = [prediction >= threshold for threshold in thresholds]
    efficiency = np.array([0.0, *(k[signal].mean() for k in kept)])
    background = np.array([0.0, *(k[~signal].mean() for k in kept)])
    # Signal efficiencies in the middle of small steps; only where they rise there is something to integrate.
    steps = (np.arange(20_000) + 0.5) / 20_000
    rising = np.flatnonzero(np.diff(efficiency) > 0)
    index = rising[np.searchsorted(efficiency[rising + 1], steps)]
    share = (steps - efficiency[index]) / (efficiency[index + 1] - efficiency[index])
    rejection = 1 - background[index] - share * (background[index + 1] - background[index])
    weight = 4 - np.floor(steps * 5)
    integrated = (weight * rejection).sum() / weight.sum()
    assert roc_auc_banded(prediction, signal) == pytest.approx(integrated, abs=1e-3)


@settings(deadline=None)
@given(rows)
def test_clipping_at_vertices_never_adds_to_the_area(drawn: Rows) -> None:
    assert -1e-12 <= roc_auc_truncated(*drawn) <= roc_auc_banded(*drawn) + 1e-12 <= 1 + 2e-12


@settings(deadline=None)
@given(rows)
def test_equally_weighted_bands_give_the_plain_area(drawn: Rows) -> None:
    for function in (roc_auc_banded, roc_auc_truncated):
        assert function(*drawn, band_weights=(2, 2, 2, 2, 2)) == pytest.approx(roc_auc(*drawn), abs=1e-12)


@settings(deadline=None)
@given(rows)
def test_the_complement_with_reversed_bands_has_the_complement_of_the_banded_area(drawn: Rows) -> None:
    prediction, signal = drawn
    weights = (4, 3, 2, 1, 0)
    mirrored = roc_auc_banded(1 - prediction, signal, band_weights=weights[::-1])
    assert roc_auc_banded(prediction, signal, band_weights=weights) == pytest.approx(1 - mirrored, abs=1e-12)


@settings(deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_a_rising_function_change_no_area(drawn: Rows, random) -> None:  # type: ignore[no-untyped-def]
    prediction, signal = drawn
    order = list(range(len(signal)))
    random.shuffle(order)
    for function in (roc_auc_truncated, roc_auc_banded):
        changed = function(prediction[order] ** 3 / 2, signal[order])
        assert changed == pytest.approx(function(prediction, signal), abs=1e-12)


@pytest.mark.parametrize(
    ("edges", "weights", "message"),
    [
        ((0.4, 0.2), (1, 1, 1), "edges of bands must rise"),
        ((0.0, 0.2), (1, 1, 1), "edges of bands must rise"),
        ((0.5, 1.0), (1, 1, 1), "edges of bands must rise"),
        ((0.5,), (1, 1, 1), "2 bands need as many weights, got 3"),
        ((0.5,), (1, -1), "must not be negative"),
        ((0.5,), (0, 0), "nor all zero"),
        ((0.5,), (1, math.nan), "must not be negative"),
    ],
)
def test_bands_that_are_none_are_refused(edges, weights, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        roc_auc_truncated([0.1, 0.2], [0, 1], edges, weights)


# Agreement of simulation and data.


@needs_vectors
def test_the_distance_agrees_with_the_reference_events(expected) -> None:  # type: ignore[no-untyped-def]
    table, values = columns("flavours_ks.csv"), expected["ks"]
    weight = table["weight"]
    assert (weight < 0).any()
    for weights, name in (
        (weight, "weighted_with_negative_weights"),
        (np.abs(weight), "weighted_abs_weights"),
        (np.ones(len(weight)), "unweighted"),
    ):
        assert abs(agreement_ks(table["prediction"], table["is_mc"], weights) - values[name]) < 1e-9


@settings(deadline=None)
@given(rows, st.integers(0, 1000))
def test_the_distance_is_the_largest_difference_at_any_cut(drawn: Rows, seed: int) -> None:
    prediction, simulated = drawn
    weight = np.random.default_rng(seed).uniform(-0.5, 2, len(prediction))
    for kind in (simulated, ~simulated):
        # sPlot weights may be negative, but not their sum.
        weight[kind] += max(0.0, 0.1 - weight[kind].mean())
    shares = [
        [weight[kind & (prediction > cut)].sum() / weight[kind].sum() for cut in prediction]
        for kind in (simulated, ~simulated)
    ]
    expected = np.abs(np.subtract(*shares)).max()
    found = agreement_ks(prediction, simulated, weight)
    assert found == pytest.approx(expected, abs=1e-9)
    # It is one distance, whichever kind and whichever end is counted first.
    assert agreement_ks(prediction, ~simulated, weight) == pytest.approx(found, abs=1e-9)
    assert agreement_ks(1 - prediction, simulated, 3 * weight) == pytest.approx(found, abs=1e-9)


@settings(deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_a_rising_function_change_no_distance(drawn: Rows, random) -> None:  # type: ignore[no-untyped-def]
    prediction, simulated = drawn
    weight = 1 + prediction
    order = list(range(len(prediction)))
    random.shuffle(order)
    changed = agreement_ks(prediction[order] ** 3 / 2, simulated[order], weight[order])
    assert changed == pytest.approx(agreement_ks(prediction, simulated, weight), abs=1e-12)


def test_the_distance_runs_from_alike_to_apart() -> None:
    assert agreement_ks([0.3, 0.3, 0.3], [1, 0, 0], [1, 1, 1]) == 0
    assert agreement_ks([0.9, 0.1, 0.2], [1, 0, 0], [1, 1, 1]) == pytest.approx(1)
    # Negative weights can take it past 1: 3/2 of the data lie above the cut, and no simulation does.
    assert agreement_ks([0.5, 0.9, 0.1], [1, 0, 0], [1, 3, -1]) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("prediction", "simulated", "weight", "error", "message"),
    [
        ([0.1, 1.5], [1, 0], [1, 1], InvalidSubmission, "row 1: prediction: expected a number from 0 to 1"),
        ([0.1], [1, 0], [1, 1], InvalidSubmission, "expected 2 predictions, found 1"),
        ([0.1, 0.2], [1, 2], [1, 1], ValueError, "must be 0 or 1, got 2 in row 1"),
        ([0.1, 0.2], [1, 0], [1], ValueError, "weight must have the shape"),
        ([0.1, 0.2], [1, 0], [1, math.nan], ValueError, "weight must be finite, got nan in row 1"),
        ([0.1, 0.2], [1, 0], [1, -1], ValueError, "real events must sum to a positive number, got -1"),
        ([0.1, 0.2], [0, 0], [1, 1], ValueError, "simulated events must sum to a positive number, got 0"),
    ],
)
def test_impossible_control_channels_are_refused(prediction, simulated, weight, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        agreement_ks(prediction, simulated, weight)


def test_the_distance_leaves_the_weights_as_they_were() -> None:
    weight = np.array([2.0, 4.0])
    agreement_ks([0.1, 0.2], [1, 0], weight)
    assert weight.tolist() == [2.0, 4.0]


# Flatness in mass.


def by_definition(prediction: np.ndarray, mass: np.ndarray, n_neighbours: int, step: int) -> float:
    """One window after the other, every rank counted."""
    by_mass = prediction[np.argsort(mass, kind="stable")]
    ranks = np.argsort(np.argsort(by_mass, kind="stable"), kind="stable")
    total = len(ranks)
    values = []
    for start in range(0, total - n_neighbours + 1, step):
        window = ranks[start : start + n_neighbours]
        distances = [((j + 1) / total - np.mean(window <= j)) ** 2 for j in range(total)]
        values.append(np.mean(distances))
    return float(np.mean(values))


@needs_vectors
def test_the_flatness_agrees_with_the_reference_events(expected) -> None:  # type: ignore[no-untyped-def]
    table, values = columns("flavours_cvm.csv"), expected["cvm"]["values"]
    mass = table["mass"]
    constant, by_mass = np.full(len(mass), 0.5), np.argsort(np.argsort(mass)) / len(mass)
    for found, name in (
        (flatness_cvm(table["p_flat"], mass), "p_flat"),
        (flatness_cvm(table["p_corr"], mass), "p_corr"),
        (flatness_cvm(table["p_flat"], mass, n_neighbours=100, step=10), "p_flat_n100_step10"),
        (flatness_cvm(constant, mass), "constant_prediction"),
        (flatness_cvm(by_mass, mass), "p_equal_mass_rank"),
    ):
        assert abs(found - values[name]) < 1e-9, name


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=25),
    st.integers(1, 8),
    st.integers(1, 8),
)
def test_the_flatness_is_what_its_definition_says(drawn, n_neighbours: int, step: int) -> None:  # type: ignore[no-untyped-def]
    prediction, mass = np.array(drawn).T
    n_neighbours = min(n_neighbours, len(mass))
    found = flatness_cvm(prediction / 5, mass, n_neighbours, step)
    assert found == pytest.approx(by_definition(prediction, mass, n_neighbours, step), abs=1e-12)


@settings(deadline=None)
@given(st.permutations(range(12)), st.permutations(range(12)))
def test_the_order_of_rows_and_rising_functions_change_no_flatness(
    ranks: list[int], order: list[int]
) -> None:
    prediction, mass = np.array(ranks) / 12, np.arange(12.0)
    found = flatness_cvm(prediction, mass, 4, 2)
    assert flatness_cvm(prediction[order] ** 2, np.exp(mass[order]), 4, 2) == pytest.approx(found, abs=1e-15)


@settings(deadline=None)
@given(st.permutations(range(12)))
def test_the_complement_of_a_prediction_is_as_flat(ranks: list[int]) -> None:
    prediction = np.array(ranks) / 12
    found = flatness_cvm(1 - prediction, np.arange(12.0), 4, 2)
    assert found == pytest.approx(flatness_cvm(prediction, np.arange(12.0), 4, 2), abs=1e-12)


def test_random_predictions_are_as_flat_as_said() -> None:
    rng = np.random.default_rng(1)
    found = np.mean([flatness_cvm(rng.random(1000), np.arange(1000.0)) for _ in range(200)])
    assert found == pytest.approx((1 - 200 / 1000) / (6 * 200), rel=0.03)


def test_a_window_of_all_events_is_flat() -> None:
    assert flatness_cvm([0.2, 0.9, 0.1], [3.0, 1.0, 2.0], n_neighbours=3, step=1) == 0


def test_a_prediction_that_is_the_mass_is_not_flat() -> None:
    mass = np.linspace(1600, 1950, 5514)
    # In a narrow window at the share u of all masses it is u**3 / 3 + (1 - u)**3 / 3, on average 1/6.
    assert flatness_cvm((mass - 1600) / 350, mass) == pytest.approx(1 / 6, rel=0.1)


@pytest.mark.parametrize(
    ("prediction", "mass", "sizes", "error", "message"),
    [
        (
            [0.1, 1.5],
            [1.0, 2.0],
            (1, 1),
            InvalidSubmission,
            "row 1: prediction: expected a number from 0 to 1",
        ),
        ([0.1], [1.0, 2.0], (1, 1), InvalidSubmission, "expected 2 predictions, found 1"),
        ([0.1, 0.2], [1.0, math.nan], (1, 1), ValueError, "mass must be finite, got nan in row 1"),
        ([0.1, 0.2], [[1.0], [2.0]], (1, 1), ValueError, "mass must have one dimension"),
        ([0.1, 0.2], [1.0, 2.0], (200, 50), ValueError, "a window of 200 needs as many events, got 2"),
        ([0.1, 0.2], [1.0, 2.0], (0, 1), ValueError, "n_neighbours must be positive, got 0"),
        ([0.1, 0.2], [1.0, 2.0], (1, 0), ValueError, "step must be positive, got 0"),
    ],
)
def test_impossible_backgrounds_are_refused(prediction, mass, sizes, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        flatness_cvm(prediction, mass, *sizes)


# Gates.


def test_a_gate_passes_strictly_below_its_threshold() -> None:
    assert GateResult.below("agreement", 0.0899, 0.09).passed
    assert not GateResult.below("agreement", 0.09, 0.09).passed
    assert not GateResult.below("agreement", math.nan, 0.09).passed


def test_the_agreement_gate_reads_signal_and_weight() -> None:
    prediction = np.concatenate([np.arange(100), np.arange(100)]) / 200
    truth = np.column_stack([np.repeat([1, 0], 100), np.ones(200)])
    found = check_agreement(prediction, truth)
    assert found == GateResult("agreement", pytest.approx(0), 0.09, True)
    # Ten of a hundred simulated events further up are too many, eight are not.
    for number, passed in ((8, True), (10, False)):
        moved = prediction.copy()
        moved[:number] = 1
        found = check_agreement(moved, truth)
        assert (found.statistic, found.passed) == (pytest.approx(number / 100), passed)


def test_the_agreement_gate_refuses_a_truth_without_weights() -> None:
    with pytest.raises(ValueError, match=r"the truth must have shape \(n, 2\), got \(2,\)"):
        check_agreement([0.1, 0.2], [1, 0])


def test_the_flatness_gate_lets_random_predictions_pass_and_stops_the_mass() -> None:
    mass = np.linspace(1600, 1950, 2000)
    flat = check_flatness(np.random.default_rng(0).random(2000), mass)
    sculpted = check_flatness((mass - 1600) / 350, mass)
    assert (flat.name, flat.threshold, flat.passed) == ("flatness", 0.002, True)
    assert not sculpted.passed
    assert sculpted.statistic == flatness_cvm((mass - 1600) / 350, mass)


# Score types.


def test_only_rows_above_the_muon_cut_count() -> None:
    truth = np.array([[1, 0.9], [0, 0.41], [0, 0.4], [1, 0.1]])
    # The row at the cut and the one below it are predicted as wrongly as can be.
    assert TruncatedAUC()(truth, np.array([0.8, 0.2, 1.0, 0.0])) == pytest.approx(1)
    assert TruncatedAUC()(truth, np.array([0.2, 0.8, 0.0, 1.0])) == pytest.approx(0)


@settings(deadline=None)
@given(rows)
def test_score_types_give_what_their_kernels_give(drawn: Rows) -> None:
    prediction, signal = drawn
    truth = SimpleNamespace(y_pred=np.column_stack([signal, np.ones(len(signal))]))
    answer = SimpleNamespace(y_pred=prediction[:, None])
    assert TruncatedAUC().score_function(truth, answer) == roc_auc_truncated(prediction, signal)
    assert BandedAUC().score_function(truth, answer) == roc_auc_banded(prediction, signal)


def test_score_types_describe_themselves() -> None:
    for score_type, name in ((TruncatedAUC(), "auc_truncated"), (BandedAUC(precision=4), "auc_banded")):
        assert (score_type.name, score_type.precision, score_type.is_lower_the_better) == (name, 4, False)
        assert (score_type.worst, score_type.maximum) == (0, 1)


def test_predictions_outside_0_to_1_are_refused_in_rows_that_do_not_count_too() -> None:
    truth = np.array([[1, 0.9], [0, 0.9], [0, 0.1]])
    with pytest.raises(
        InvalidSubmission, match=r"row 2: prediction: expected a number from 0 to 1, found 1\.5"
    ):
        TruncatedAUC()(truth, np.array([0.8, 0.2, 1.5]))
    with pytest.raises(InvalidSubmission, match="expected 3 predictions, found 2"):
        TruncatedAUC()(truth, np.array([0.8, 0.2]))


def test_a_part_without_counted_background_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="needs signal and background, got 1 and 0 rows"):
        TruncatedAUC()(np.array([[1, 0.9], [0, 0.1]]), np.array([0.8, 0.2]))

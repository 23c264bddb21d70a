"""The metrics of top taggers: reference values, published numbers, conventions and edge cases."""

from __future__ import annotations

import csv
import itertools
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.scoring.roc import roc_auc
from hepchallenge.scoring.toptag import (
    AUC,
    Accuracy,
    BackgroundRejection,
    Rejection,
    accuracy,
    background_rejection,
    ensemble,
    flat_weights,
)

SHARED = Path(__file__).parents[2].parent / "shared"
VECTORS, OUTPUTS = SHARED / "vectors", SHARED / "data" / "toptag" / "published_scores_test404k.npz"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason=f"reference values are not at {VECTORS}")
needs_outputs = pytest.mark.skipif(not OUTPUTS.is_file(), reason=f"published outputs are not at {OUTPUTS}")

# Few different scores, so that ties are common; both classes are there.
rows = (
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=30)
    .map(lambda drawn: [*drawn, (3, True), (2, False)])
    .map(lambda drawn: (np.array([s for s, _ in drawn]) / 6, np.array([y for _, y in drawn])))
)
Rows = tuple[np.ndarray, np.ndarray]
efficiencies = st.floats(0.05, 1)


@pytest.fixture(scope="module")
def reference() -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    with (VECTORS / "toptag_roc.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    expected = json.loads((VECTORS / "toptag_roc_expected.json").read_text())
    values = {key: value for key, value in expected.items() if isinstance(value, float)}
    return (
        np.array([float(row["score"]) for row in table]),
        np.array([int(row["is_signal_new"]) for row in table]),
        values | expected["drop_intermediate_False"],
    )


@needs_vectors
@pytest.mark.parametrize("efficiency", [0.3, 0.5, 0.8])
def test_rejections_agree_with_the_reference_events(reference, efficiency: float) -> None:  # type: ignore[no-untyped-def]
    score, signal, expected = reference
    interpolated = background_rejection(score, signal, efficiency)
    nearest = background_rejection(score, signal, efficiency, "nearest")
    assert abs(interpolated.value - expected[f"rej_interp_fpr_{efficiency}"]) < 1e-9
    assert abs(nearest.value - expected[f"rej_nearest_{efficiency}"]) < 1e-9
    assert not interpolated.is_bound
    assert not nearest.is_bound


@needs_vectors
def test_area_accuracy_and_error_agree_with_the_reference_events(reference) -> None:  # type: ignore[no-untyped-def]
    score, signal, expected = reference
    at_30 = background_rejection(score, signal, 0.3)
    assert abs(at_30.value - expected["rej_official_grid_0.3"]) < 1e-9
    assert abs(at_30.error - expected["stat_error_official_0.3"]) < 1e-9
    inverse = background_rejection(score, signal, 0.3, "inverse").value
    assert abs(inverse - expected["rej_interp_invfpr_0.3"]) < 1e-9
    assert abs(roc_auc(score, signal) - expected["auc"]) < 1e-9
    assert abs(accuracy(score, signal) - expected["accuracy_round_half_even"]) < 1e-9


@needs_vectors
def test_published_errors_follow_from_the_published_rejections() -> None:
    expected = json.loads((VECTORS / "toptag_runs.json").read_text())
    n_background = float(expected["n_background"])
    for runs in expected["runs"].values():
        for rejection, error in zip(runs["bg_reject"], runs["stat_error"], strict=True):
            found = BackgroundRejection(0.3, 1 / rejection, n_background, rejection, False)
            assert found.error == pytest.approx(error, rel=1e-14)


@needs_vectors
@needs_outputs
@pytest.mark.parametrize(
    ("column", "tagger"),
    [("PFN", "PFN"), ("EFN", "EFN"), ("ResNeXt50", "ResNeXt"), ("TopoDNN", "TopoDNN")],
)
def test_published_outputs_have_the_published_area_rejection_and_accuracy(column: str, tagger: str) -> None:
    with (VECTORS / "toptag_landscape_table.csv").open(newline="") as file:
        published = next(row for row in csv.DictReader(file) if row["tagger"] == tagger)
    with np.load(OUTPUTS) as arrays:
        label, score = arrays["label"], arrays[column]
    # The file holds one training of each tagger; the table holds medians and spreads of nine.
    auc, auc_spread = float(published["single_auc_median"]), float(published["single_auc_std"])
    assert abs(AUC()(label, score) - auc) < 3 * auc_spread
    rejection, spread = float(published["single_rej30_median"]), float(published["single_rej30_std"])
    assert abs(Rejection(0.3)(label, score) - rejection) < 3 * spread
    assert Accuracy()(label, score) == pytest.approx(float(published["median_run_acc"]), abs=1e-3)


# Accuracy.


def test_a_score_of_one_half_counts_as_background() -> None:
    assert accuracy([0.5, 0.5, 0.5], [0, 0, 1]) == pytest.approx(2 / 3)
    assert accuracy([0.5 + 1e-9, 0.5 - 1e-9], [1, 0]) == 1


@settings(deadline=None)
@given(rows)
def test_the_accuracy_of_the_complement_is_the_complement_save_for_halves(drawn: Rows) -> None:
    score, signal = drawn
    score[score == 0.5] = 0.6
    assert accuracy(1 - score, signal) == pytest.approx(1 - accuracy(score, signal), abs=1e-12)
    assert accuracy(1 - score, ~signal) == pytest.approx(accuracy(score, signal), abs=1e-12)


@pytest.mark.parametrize(
    ("score", "signal", "error", "message"),
    [
        ([0.2, 1.2], [0, 1], InvalidSubmission, "row 1: prediction: expected a number from 0 to 1"),
        ([0.2], [0, 1], InvalidSubmission, "expected 2 predictions, found 1"),
        ([0.2, 0.3], [0, 3], ValueError, "must be 0 or 1, got 3 in row 1"),
        ([], [], ValueError, "no jets"),
    ],
)
def test_impossible_scores_have_no_accuracy(score, signal, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        accuracy(score, signal)


# Background rejection.


def test_the_rejection_between_vertices_depends_on_the_convention() -> None:
    # Vertices (eps_S, eps_B) are (0, 0), (1/4, 1/8), (1/2, 1/2), (1, 1); asked for is 0.3.
    signal = np.array([1] * 4 + [0] * 8)
    score = np.array([0.9, 0.5, 0.1, 0.1, 0.9, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1])
    share = 0.2
    interpolated = 1 / (1 / 8 + share * 3 / 8)
    assert background_rejection(score, signal, 0.3).value == pytest.approx(interpolated)
    assert background_rejection(score, signal, 0.3, "nearest").value == 8
    assert background_rejection(score, signal, 0.3, "inverse").value == pytest.approx(8 - share * 6)


def test_of_several_vertices_at_the_efficiency_interpolation_takes_the_last_and_nearest_the_first() -> None:
    signal = [1, 0, 0, 1, 0, 0]
    score = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    assert background_rejection(score, signal, 0.5).value == 2
    # The first one selects no background, so that the next one is taken.
    assert background_rejection(score, signal, 0.5, "nearest").value == 4
    assert background_rejection([0.95, *score[1:]], [1, 0, 1, 0, 0, 0], 1.0, "nearest").value == 4


@settings(deadline=None)
@given(rows, efficiencies)
def test_the_rejection_is_that_of_cutting_tied_jets_by_lot(drawn: Rows, efficiency: float) -> None:
    score, signal = drawn
    wanted, eps = efficiency * signal.sum(), None
    passed = rejected = 0
    for value in np.unique(score)[::-1]:
        tied_signal, tied = np.sum(signal & (score == value)), np.sum(~signal & (score == value))
        if tied_signal and passed + tied_signal > wanted:
            eps = (rejected + tied * (wanted - passed) / tied_signal) / np.sum(~signal)
            break
        passed, rejected = passed + tied_signal, rejected + tied
    if eps is None:
        eps = 1.0
    found = background_rejection(score, signal, efficiency)
    assert found.background_efficiency == pytest.approx(eps, abs=1e-9)
    assert found.value == pytest.approx(1 / max(eps, 1 / np.sum(~signal)), rel=1e-6)


@settings(deadline=None)
@given(rows, efficiencies, st.sampled_from(["interpolated", "nearest", "inverse"]), st.integers(0, 9))
def test_the_order_of_rows_and_a_rising_function_change_no_rejection(
    drawn, efficiency, convention, seed
) -> None:  # type: ignore[no-untyped-def]
    score, signal = drawn
    order = np.random.default_rng(seed).permutation(len(score))
    changed = background_rejection(np.exp(score[order]) - 5, signal[order], efficiency, convention)
    assert changed == background_rejection(score, signal, efficiency, convention)


@settings(deadline=None)
@given(rows, efficiencies, efficiencies, st.sampled_from(["interpolated", "inverse"]))
def test_the_rejection_never_rises_with_the_efficiency(drawn, one, other, convention) -> None:  # type: ignore[no-untyped-def]
    low, high = sorted((one, other))
    first, second = (background_rejection(*drawn, efficiency, convention) for efficiency in (low, high))
    assert first.value >= second.value * (1 - 1e-12)


@settings(deadline=None)
@given(rows, efficiencies, st.sampled_from(["interpolated", "nearest", "inverse"]))
def test_the_rejection_is_from_1_to_the_number_of_background_jets(drawn, efficiency, convention) -> None:  # type: ignore[no-untyped-def]
    found = background_rejection(*drawn, efficiency, convention)
    n_background = np.count_nonzero(~drawn[1])
    assert 1 - 1e-12 <= found.value <= n_background * (1 + 1e-12)
    assert 0 <= found.background_efficiency <= found.upper_limit() <= 1


@settings(deadline=None)
@given(rows, efficiencies)
def test_weights_of_two_count_as_two_jets(drawn: Rows, efficiency: float) -> None:
    score, signal = drawn
    times = np.where(signal, 3, 2)
    weighted = background_rejection(score, signal, efficiency, weight=times)
    repeated = background_rejection(score.repeat(times), signal.repeat(times), efficiency)
    assert weighted.background_efficiency == pytest.approx(repeated.background_efficiency, abs=1e-12)
    # The jets are no more than before.
    assert weighted.n_background == pytest.approx(np.count_nonzero(~signal))


@needs_vectors
@pytest.mark.parametrize("convention", ["interpolated", "nearest", "inverse"])
def test_where_no_background_passes_there_is_an_upper_bound(convention) -> None:  # type: ignore[no-untyped-def]
    case = json.loads((VECTORS / "toptag_roc_expected.json").read_text())["edge_zero_background"]
    found = background_rejection(case["scores"], case["labels"], 0.3, convention)
    assert found.is_bound
    assert (found.value, found.error) == (3, 3)


def test_an_upper_bound_says_so() -> None:
    bound = background_rejection([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0], 0.3)
    assert bound.background_efficiency == 0
    assert str(bound) == "eps_B < 0.78 (95 % limit, less than one background jet passes) at eps_S = 0.3"
    measured = BackgroundRejection(0.3, 1 / 889.489, 201914.0, 889.489, False)
    assert str(measured) == "1/eps_B = 889.49 +- 59 at eps_S = 0.3"


def test_a_fraction_of_a_background_jet_is_a_bound_and_one_jet_is_none() -> None:
    signal, score = [1, 1, 1, 0, 0], [0.9, 0.5, 0.1, 0.5, 0.05]
    # From no background at 1/3 to one jet of two at 2/3.
    fraction = background_rejection(score, signal, 0.5)
    assert fraction.background_efficiency == pytest.approx(0.25)
    assert (fraction.value, fraction.is_bound) == (2, True)
    one = background_rejection(score, signal, 2 / 3)
    assert (one.background_efficiency, one.value, one.is_bound) == (0.5, 2, False)


def test_the_upper_limit_is_the_efficiency_at_which_so_few_jets_are_improbable() -> None:
    none = background_rejection(np.arange(102) / 102, [0] * 100 + [1] * 2, 0.5)
    assert none.upper_limit() == pytest.approx(1 - 0.05**0.01)
    assert none.upper_limit(0.9) == pytest.approx(1 - 0.1**0.01)
    five = background_rejection([1.0] * 7 + [0.0] * 96, [1] * 2 + [0] * 100 + [1], 0.6)
    # Interpolation makes it 4.5 jets, which are rounded up.
    assert five.background_efficiency == pytest.approx(0.045)
    limit = five.upper_limit()
    at_most_five = sum(math.comb(100, k) * limit**k * (1 - limit) ** (100 - k) for k in range(6))
    assert at_most_five == pytest.approx(0.05)
    # In double precision, 7/25 of 25 is a little more than 7.
    assert BackgroundRejection(0.3, 7 / 25, 25.0, 25 / 7, False).upper_limit() == pytest.approx(
        0.4623, abs=1e-4
    )
    with pytest.raises(ValueError, match="coverage must be between 0 and 1, got 1"):
        none.upper_limit(1)


def test_a_constant_score_rejects_no_better_than_chance() -> None:
    signal = [1, 0, 0, 1, 0, 0]
    assert background_rejection([0.5] * 6, signal, 0.3).value == pytest.approx(1 / 0.3)
    assert background_rejection([0.5] * 6, signal, 0.3, "nearest").value == 1


@pytest.mark.parametrize("efficiency", [0.0, -0.1, 1.1, math.nan])
def test_an_efficiency_that_is_none_is_refused(efficiency: float) -> None:
    with pytest.raises(ValueError, match="signal efficiency must be above 0 and at most 1"):
        background_rejection([0.1, 0.2], [0, 1], efficiency)


def test_an_unknown_convention_is_refused() -> None:
    with pytest.raises(ValueError, match="must be interpolated, nearest or inverse, got 'closest'"):
        background_rejection([0.1, 0.2], [0, 1], 0.3, "closest")  # type: ignore[arg-type]


# Ensembles of trainings.


def trainings(n_runs: int = 9, n_jets: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    signal = rng.random(n_jets) < 0.5
    logit = signal - 0.5 + rng.normal(0, 0.7, n_jets) + rng.normal(0, 1.2, (n_runs, n_jets))
    # Rounded, as it is only among ties that conventions differ much.
    return np.round(1 / (1 + np.exp(-logit)), 1), signal


@pytest.mark.parametrize("combine", ["mean", "median"])
def test_the_ensemble_is_the_one_of_median_rejection_of_all_84(combine) -> None:  # type: ignore[no-untyped-def]
    outputs, signal = trainings()
    found = ensemble(outputs, signal, combine=combine)
    subsets = list(itertools.combinations(range(9), 6))
    function = np.mean if combine == "mean" else np.median
    values = [
        background_rejection(function(outputs[list(s)], axis=0), signal, 0.3, "inverse").value
        for s in subsets
    ]
    assert len(found.rejections) == 84
    assert len(set(values)) == 84
    np.testing.assert_allclose(found.rejections, values)
    assert found.std == pytest.approx(np.std(values))
    chosen = values[subsets.index(found.subset)]
    assert sorted(values)[42] == chosen
    score = function(outputs[list(found.subset)], axis=0)
    assert found.rejection == background_rejection(score, signal, 0.3)
    assert (found.auc, found.accuracy) == (roc_auc(score, signal), accuracy(score, signal))


def test_an_ensemble_of_equal_trainings_is_the_training() -> None:
    outputs, signal = trainings(n_runs=1)
    found = ensemble(np.repeat(outputs, 4, axis=0), signal, size=2)
    assert found.rejection == background_rejection(outputs[0], signal, 0.3)
    assert found.std < 1e-12


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"combine": "mode"}, ValueError, "mean or median, not 'mode'"),
        ({"size": 0}, ValueError, "from 1 to 9 trainings, got 0"),
        ({"size": 10}, ValueError, "from 1 to 9 trainings, got 10"),
        ({"outputs": np.zeros((9, 3))}, InvalidSubmission, r"\(n_runs, 3000\), found \(9, 3\)"),
        (
            {"outputs": np.full((9, 3000), 2.0)},
            InvalidSubmission,
            "row 0: prediction: expected a number from 0 to 1",
        ),
    ],
)
def test_impossible_ensembles_are_refused(change, error, message: str) -> None:  # type: ignore[no-untyped-def]
    outputs, signal = trainings()
    with pytest.raises(error, match=message):
        ensemble(**({"outputs": outputs, "is_signal": signal} | change))


# Weights for flatness.


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=60))
def test_weighted_distributions_are_flat_and_the_same_in_both_classes(drawn) -> None:  # type: ignore[no-untyped-def]
    values, signal = np.array([(5.0, True), (5.0, False), *drawn]).T
    edges = np.array([0.0, 10, 20, 30, 50])
    weights = flat_weights(values, signal, edges)
    sums = [
        np.histogram(values[signal == kind], edges, weights=weights[signal == kind])[0] for kind in (0, 1)
    ]
    counts = [np.histogram(values[signal == kind], edges)[0] for kind in (0, 1)]
    shared = (counts[0] > 0) & (counts[1] > 0)
    for summed, counted in zip(sums, counts, strict=True):
        np.testing.assert_allclose(summed[shared], counted[shared].sum() / shared.sum())
        assert not summed[~shared].any()
    assert not weights[values > 50].any()


def test_a_jet_at_the_last_edge_counts_and_one_at_an_inner_edge_is_in_the_upper_bin() -> None:
    weights = flat_weights([0, 1, 2, 0, 0, 1], [1, 1, 1, 0, 0, 0], [0, 1, 2])
    assert weights.tolist() == [1.5, 0.75, 0.75, 0.75, 0.75, 1.5]


def test_flat_weights_take_the_gain_from_a_tagger_of_the_quantity() -> None:
    rng = np.random.default_rng(2)
    signal = np.repeat([0, 1], 5000)
    pt = 550 + 100 * rng.beta(1 + signal, 1)
    score = (pt - 550) / 100
    weights = flat_weights(pt, signal, np.linspace(550, 650, 51))
    assert roc_auc(score, signal) > 0.6
    assert roc_auc(score, signal, weights) == pytest.approx(0.5, abs=0.005)


@needs_outputs
def test_flatness_in_pt_costs_published_taggers_what_was_published() -> None:
    with np.load(OUTPUTS) as arrays:
        label, pt, scores = arrays["label"], arrays["pt"], {k: arrays[k] for k in ("PFN", "EFN", "TopoDNN")}
    weights = flat_weights(pt, label, np.linspace(550, 650, 51))
    # Differences of the published areas of another training of each tagger, flat in pT and cropped alike.
    published = {"PFN": -0.00023, "EFN": -0.00025, "TopoDNN": -0.00037}
    for tagger, expected in published.items():
        found = roc_auc(scores[tagger], label, weights) - roc_auc(scores[tagger], label)
        assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("values", "signal", "edges", "message"),
    [
        ([1.0], [0, 1], [0, 2], "values must have the shape"),
        ([1.0, math.nan], [0, 1], [0, 2], "values must be finite, got nan in row 1"),
        ([1.0, 1.0], [0, 1], [2, 0], "two or more rising numbers"),
        ([1.0, 1.0], [0, 1], [2], "two or more rising numbers"),
        ([1.0, 3.0], [0, 1], [0, 2, 4], "no bin holds both"),
    ],
)
def test_impossible_distributions_cannot_be_made_flat(values, signal, edges, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        flat_weights(values, signal, edges)


# Score types.


@settings(deadline=None)
@given(rows)
def test_score_types_read_one_column_or_one_for_each_class(drawn: Rows) -> None:
    score, signal = drawn
    expected = (
        accuracy(score, signal),
        roc_auc(score, signal),
        background_rejection(score, signal, 0.3).value,
    )
    alone = SimpleNamespace(y_pred=signal.astype(float)), SimpleNamespace(y_pred=score)
    column = SimpleNamespace(y_pred=signal[:, None]), SimpleNamespace(y_pred=score[:, None])
    classes = (
        SimpleNamespace(y_pred=np.column_stack([~signal, signal]).astype(float)),
        SimpleNamespace(y_pred=np.column_stack([1 - score, score])),
    )
    for truth, answer in (alone, column, classes):
        found = [s.score_function(truth, answer) for s in (Accuracy(), AUC(), Rejection(0.3))]
        assert tuple(found) == expected


def test_score_types_describe_themselves() -> None:
    for score_type, name, worst in (
        (Accuracy(), "accuracy", 0),
        (AUC(), "auc", 0),
        (Rejection(0.3), "rejection_30", 1),
        (Rejection(0.5, convention="nearest"), "rejection_50_nearest", 1),
        (Rejection(0.125, name="mine"), "mine", 1),
    ):
        assert (score_type.name, score_type.worst) == (name, worst)
        assert not score_type.is_lower_the_better
    assert Rejection(0.125).name == "rejection_12.5"


def test_a_perfect_tagger_has_a_finite_rejection() -> None:
    assert Rejection(0.3)(np.array([1, 1, 0, 0, 0]), np.array([1.0, 1.0, 0.0, 0.0, 0.0])) == 3


def test_the_last_signal_jet_is_only_found_with_all_background() -> None:
    # Two vertices have the efficiency 1, and the one that selects everything counts.
    assert background_rejection([0.9, 0.1], [1, 0], 1.0).value == 1


def test_a_rejection_follows_its_convention() -> None:
    signal, score = np.array([1, 0, 0, 1, 0, 0]), np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    assert Rejection(0.5)(signal, score) == 2
    assert Rejection(0.5, convention="nearest")(signal, score) == 4


def test_a_rejection_at_no_efficiency_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="signal efficiency"):
        Rejection(30)


def test_predictions_that_are_no_probabilities_are_refused_by_every_score_type() -> None:
    for score_type in (Accuracy(), AUC(), Rejection(0.3)):
        with pytest.raises(
            InvalidSubmission, match="row 1: prediction: expected a number from 0 to 1, found nan"
        ):
            score_type(np.array([0, 1]), np.array([0.5, math.nan]))
        with pytest.raises(InvalidSubmission, match=r"found an array of shape \(2, 3\)"):
            score_type(np.array([0, 1]), np.zeros((2, 3)))

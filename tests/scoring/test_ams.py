"""The kernels of the weighted counting search: known values, edge cases and properties."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hepchallenge.scoring.ams import (
    ams,
    best_ams,
    renormalise,
    selected_sums,
    selection_curve,
    weighted_roc_auc,
)

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason=f"reference values are not at {VECTORS}")

sums = st.floats(0, 1e6)
events = st.lists(
    st.tuples(st.integers(0, 5), st.booleans(), st.floats(0, 100)), min_size=1, max_size=25
).map(lambda rows: tuple(np.array(column) for column in zip(*rows, strict=True)))


@needs_vectors
def test_ams_agrees_with_every_reference_value() -> None:
    with (VECTORS / "higgsml_ams.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 15
    for row in rows:
        found = ams(float(row["s"]), float(row["b"]), float(row["b_reg"]))
        assert abs(found - float(row["expected_ams"])) <= float(row["abs_tol"]), row


@needs_vectors
def test_weight_rule_and_selection_agree_with_the_reference_events() -> None:
    expected = json.loads((VECTORS / "higgsml_toy_expected.json").read_text())
    with (VECTORS / "higgsml_toy_events.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    totals = (expected["sum_weight_signal_all"], expected["sum_weight_background_all"])
    sets = {"train": "t", "public": "b", "private": "v"}
    for case, values in expected["expected"].items():
        threshold, part = float(case.split()[0].removeprefix("thr=")), case.split()[1]
        chosen = [row for row in rows if row["KaggleSet"] == sets[part]]
        signal = np.array([row["Label"] == "s" for row in chosen])
        weight = renormalise(np.array([float(row["Weight"]) for row in chosen]), signal, totals)
        np.testing.assert_allclose(weight, [float(row["KaggleWeight"]) for row in chosen], rtol=1e-11)
        selected = np.array([float(row["score"]) > threshold for row in chosen])
        s, b = selected_sums(signal, weight, selected)
        assert s == pytest.approx(values["s"], rel=1e-12)
        assert b == pytest.approx(values["b"], rel=1e-12)
        assert ams(s, b) == pytest.approx(values["ams"], rel=1e-9)


@pytest.mark.parametrize(
    "arguments",
    [(-1, 0, 10), (0, -1, 10), (1, 1, -1), (math.nan, 1, 10), (1, math.inf, 10), (1, 1, math.nan)],
)
def test_ams_refuses_negative_and_not_finite_sums(arguments: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="must be finite and not negative"):
        ams(*arguments)


def test_ams_refuses_an_infinite_significance() -> None:
    with pytest.raises(ValueError, match="infinite"):
        ams(1.0, 0.0, 0.0)


def test_ams_of_a_selection_without_background_is_finite_and_not_zero() -> None:
    assert ams(5.0, 0.0) == pytest.approx(1.471038151525966, rel=1e-12)


def test_ams_of_selecting_nothing_is_zero_even_without_regularisation() -> None:
    assert ams(0.0, 0.0, 0.0) == 0.0


@given(sums, sums, st.floats(0, 1e6), st.floats(0.1, 100))
def test_ams_never_falls_when_signal_is_added(s: float, b: float, more: float, b_reg: float) -> None:
    assert ams(s + more, b, b_reg) >= ams(s, b, b_reg) - 1e-6


@given(st.floats(1e-2, 1e6), sums, st.floats(0, 1e6))
def test_ams_never_rises_when_background_is_added(s: float, b: float, more: float) -> None:
    assert ams(s, b + more) <= ams(s, b) + 1e-6


@given(st.floats(1, 1e4), st.floats(0, 1e4), st.floats(1, 100))
def test_ams_grows_with_the_root_of_the_luminosity(s: float, b: float, factor: float) -> None:
    grown = ams(factor * s, factor * b, factor * 10)
    assert grown == pytest.approx(math.sqrt(factor) * ams(s, b), rel=1e-8)


def brute_force(score: np.ndarray, signal: np.ndarray, weight: np.ndarray) -> float:
    candidates = [0.0]
    for threshold in [-np.inf, *score]:
        selected = score > threshold
        candidates.append(ams(weight[selected & signal].sum(), weight[selected & ~signal].sum()))
    return max(candidates)


@given(events)
def test_best_ams_equals_trying_every_threshold(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    score, signal, weight = rows
    assert best_ams(score, signal, weight).ams == pytest.approx(brute_force(score, signal, weight), abs=1e-7)


@given(events)
def test_threshold_of_best_ams_reproduces_its_value(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    score, signal, weight = rows
    best = best_ams(score, signal, weight)
    s, b = selected_sums(signal, weight, score > best.threshold)
    assert ams(s, b) == pytest.approx(best.ams, abs=1e-7)


def test_best_ams_never_cuts_through_a_block_of_equal_scores() -> None:
    # Were the tie cut after its first row, one signal event without background would give 1.47.
    signal_first = best_ams([1.0, 1.0, 0.0], [1, 0, 0], [5.0, 1000.0, 1000.0])
    background_first = best_ams([1.0, 1.0, 0.0], [0, 1, 0], [1000.0, 5.0, 1000.0])
    assert signal_first == background_first
    assert signal_first.ams == pytest.approx(ams(5.0, 1000.0))


def test_best_ams_selects_everything_when_that_is_best() -> None:
    assert best_ams([0.0, 1.0], [1, 1], [1.0, 1.0]).threshold == -np.inf


def test_best_ams_selects_nothing_when_there_is_only_background() -> None:
    best = best_ams([0.0, 1.0], [0, 0], [1.0, 1.0])
    assert best.ams == 0.0
    assert best.threshold == 1.0


def test_best_ams_refuses_a_missing_regularisation() -> None:
    with pytest.raises(ValueError, match="b_reg must be positive"):
        best_ams([0.0], [1], [1.0], b_reg=0.0)


@given(events, st.randoms(use_true_random=False))
def test_order_of_rows_changes_neither_best_ams_nor_auc(rows, random) -> None:  # type: ignore[no-untyped-def]
    order = list(range(len(rows[0])))
    random.shuffle(order)
    shuffled = [column[order] for column in rows]
    # The square root turns a last-digit difference of the sums into 1e-7 close to zero.
    assert best_ams(*shuffled).ams == pytest.approx(best_ams(*rows).ams, abs=1e-6)
    signal, weight = rows[1], rows[2]
    if min(weight[signal].sum(), weight[~signal].sum()) > 1e-6:
        assert weighted_roc_auc(*shuffled) == pytest.approx(weighted_roc_auc(*rows), abs=1e-9)


@given(events)
def test_auc_is_the_weighted_share_of_correctly_ordered_pairs(rows) -> None:  # type: ignore[no-untyped-def]
    score, signal, weight = rows
    assume(min(weight[signal].sum(), weight[~signal].sum()) > 1e-6)
    difference = score[signal][:, None] - score[~signal][None, :]
    pairs = np.outer(weight[signal], weight[~signal])
    expected = (pairs * ((difference > 0) + 0.5 * (difference == 0))).sum() / pairs.sum()
    assert weighted_roc_auc(score, signal, weight) == pytest.approx(expected, abs=1e-9)


def test_selection_curve_runs_from_nothing_to_everything() -> None:
    curve = selection_curve([0.2, 0.9, 0.2], [1, 0, 1], [1.0, 2.0, 3.0])
    assert curve.threshold.tolist() == [0.9, 0.2, -np.inf]
    assert curve.signal.tolist() == [0.0, 0.0, 4.0]
    assert curve.background.tolist() == [0.0, 2.0, 2.0]


@pytest.mark.parametrize("weight", [[1.0, 0.0], [0.0, 1.0]])
def test_auc_needs_weight_in_both_classes(weight: list[float]) -> None:
    with pytest.raises(ValueError, match="needs signal and background"):
        weighted_roc_auc([0.0, 1.0], [0, 1], weight)


@given(events, st.floats(1, 1e6), st.floats(1, 1e6))
def test_renormalised_weights_sum_to_the_totals(rows, signal_total: float, background_total: float) -> None:  # type: ignore[no-untyped-def]
    _, signal, weight = rows
    weight = weight + 0.5
    if signal.all() or not signal.any():
        with pytest.raises(ValueError, match="cannot scale"):
            renormalise(weight, signal, (signal_total, background_total))
        return
    scaled = renormalise(weight, signal, (signal_total, background_total))
    assert scaled[signal].sum() == pytest.approx(signal_total)
    assert scaled[~signal].sum() == pytest.approx(background_total)


@pytest.mark.parametrize(
    ("score", "signal", "weight", "message"),
    [
        ([0.0, math.nan], [0, 1], [1.0, 1.0], "score must be finite, got nan in row 1"),
        ([0.0, 1.0], [0, 2], [1.0, 1.0], "is_signal must be 0 or 1, got 2 in row 1"),
        ([0.0, 1.0], [0, 1], [1.0, -1.0], "weight must be finite and not negative, got -1.0 in row 1"),
        ([0.0, 1.0], [0, 1], [math.nan, 1.0], "weight must be finite and not negative, got nan in row 0"),
        ([0.0, 1.0], [0, 1], [math.inf, 1.0], "weight must be finite and not negative, got inf in row 0"),
        ([0.0], [0, 1], [1.0, 1.0], "score must have the shape"),
        ([0.0, 1.0], [0, 1], [1.0], "weight must have the shape"),
        ([], [], [], "no events"),
    ],
)
def test_impossible_input_is_refused_with_its_row(score, signal, weight, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        selection_curve(score, signal, weight)

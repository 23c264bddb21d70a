"""Pictures of tau -> mu mu mu: their numbers are those of the metrics, and nothing makes them fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from hepchallenge.challenges.tau3mu import pictures
from hepchallenge.challenges.tau3mu.pictures import draw_agreement, draw_flatness, draw_results, draw_roc
from hepchallenge.pictures import figure_style, save
from hepchallenge.scoring.tau3mu import agreement_ks, roc_auc_truncated

RNG = np.random.default_rng(5)
SIGNAL = RNG.integers(0, 2, 800).astype(float)
SCORE = np.clip(0.3 * SIGNAL + RNG.normal(0.4, 0.15, 800), 0, 1)
MASS = RNG.uniform(1600, 1950, 1200)
WEIGHT = RNG.normal(0.7, 0.8, 800)


def texts(figure: Figure) -> list[str]:
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    legends = [axes.get_legend() for axes in figure.axes]
    found += [text.get_text() for legend in legends if legend for text in legend.get_texts()]
    return [*found, *(text.get_text() for text in figure.texts)]


def truth_of(signal: np.ndarray) -> np.ndarray:
    ann = np.where(np.arange(len(signal)) % 4 == 0, 0.4, 0.9)
    return np.column_stack([signal, ann, np.linspace(1600, 1950, len(signal)), signal])


def test_the_legend_has_the_official_area_and_every_band_its_weight() -> None:
    with figure_style():
        figure = draw_roc(SIGNAL, SCORE, title="t")
    found = texts(figure)
    assert f"truncated AUC {roc_auc_truncated(SCORE, SIGNAL):.4f}" in found
    assert [text for text in found if text.startswith("weight")] == [f"weight {w}" for w in (4, 3, 2, 1, 0)]


def test_a_thinned_curve_keeps_its_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    areas = []
    for points in (10_000, 60):
        monkeypatch.setattr(pictures, "_CURVE_POINTS", points)
        with figure_style():
            line = draw_roc(SIGNAL, SCORE, title="t").axes[0].lines
        curve = max(line, key=lambda one: len(one.get_xdata()))
        x, y = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
        assert len(x) <= points
        assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
        areas.append(float(np.trapezoid(y, x)))
    assert areas[1] == pytest.approx(areas[0], abs=0.01)


def test_the_dot_of_the_agreement_is_the_distance_of_the_gate() -> None:
    expected = agreement_ks(SCORE, SIGNAL, WEIGHT)
    with figure_style():
        figure = draw_agreement(SIGNAL, WEIGHT, SCORE, title="t")
    assert f"KS {expected:.4f} (dot), limit 0.09 (dashed)" in texts(figure)
    (dot,) = (line for line in figure.axes[1].lines if line.get_marker() == "o")
    # Simulation has the larger predictions, so that more of it is above a cut.
    assert float(np.asarray(dot.get_ydata())[0]) == pytest.approx(expected, abs=1e-12)
    # The distance is far beyond the limit, which is shown in the colour of what is wrong.
    assert dot.get_color() == "#d62500"


def test_data_and_simulation_are_shown_as_shares_of_their_weights() -> None:
    with figure_style():
        upper = draw_agreement(SIGNAL, WEIGHT, SCORE, title="t").axes[0]
    (bars,) = upper.containers
    points = np.asarray(bars.lines[0].get_ydata())
    assert points.sum() == pytest.approx(1.0)
    inside = (SCORE >= 0.4) & (SCORE < 0.425) & (SIGNAL == 0)
    assert np.abs(points - WEIGHT[inside].sum() / WEIGHT[SIGNAL == 0].sum()).min() < 1e-12


def shares(prediction: np.ndarray) -> list[np.ndarray]:
    with figure_style():
        figure = draw_flatness(MASS, prediction, sample="s", title="t")
    return [np.asarray(bars.lines[0].get_ydata()) for bars in figure.axes[1].containers]


def test_cuts_on_a_prediction_that_is_the_mass_keep_all_or_nothing_of_a_bin() -> None:
    sculpted = shares((MASS - 1600) / 350)
    assert [share.mean() for share in sculpted] == pytest.approx([0.1, 0.3, 0.5, 0.7], abs=0.01)
    for share in sculpted:
        assert (np.diff(share) >= 0).all()
        assert (share[0], share[-1]) == (0.0, 1.0)
    flat = shares(RNG.uniform(size=len(MASS)))
    assert max(np.ptp(share) for share in flat) < 0.35


def test_errors_of_the_shares_are_those_of_their_bins() -> None:
    with figure_style():
        figure = draw_flatness(MASS, RNG.uniform(size=len(MASS)), sample="s", title="t")
    _, _, (_, error) = figure.axes[1].containers[2].lines
    # A cut that keeps half, in twelve bins of a hundred events.
    lengths = [np.ptp(segment[:, 1]) for segment in error.get_segments()]
    assert lengths == pytest.approx([2 * 0.05] * 12)


def test_results_show_samples_of_gates_or_background_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, drawn = truth_of(SIGNAL), []
    real = pictures.draw_flatness

    def spy(mass: np.ndarray, prediction: np.ndarray, **words: str) -> Figure:
        drawn.append((mass, prediction, words))
        return real(mass, prediction, **words)

    monkeypatch.setattr(pictures, "draw_flatness", spy)
    draw_results(tmp_path, truth, SCORE, None, "mine, toy data (simulated)")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["flatness.png", "roc.png"]
    counted = (SIGNAL == 0) & (np.arange(800) % 4 != 0)
    mass, prediction, words = drawn.pop()
    np.testing.assert_array_equal(mass, truth[counted, 2])
    np.testing.assert_array_equal(prediction, SCORE[counted])
    assert "not those of the flatness gate" in words["sample"]
    assert words["label"] == "mine, toy data (simulated)"

    gates = {
        "agreement": (np.column_stack([SIGNAL, WEIGHT]), SCORE),
        "flatness": (MASS, np.linspace(0, 1, len(MASS))),
    }
    draw_results(tmp_path, truth, SCORE, None, "mine", gates=gates)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["agreement.png", "flatness.png", "roc.png"]
    assert drawn[0][0] is MASS
    assert "passed (limit 0.002)" in drawn[0][2]["sample"]
    draw_results(tmp_path, truth, SCORE, None, "mine", gates={"flatness": (MASS, (MASS - 1600) / 350)})
    assert "failed (limit 0.002)" in drawn[1][2]["sample"]


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_constant_prediction_can_be_drawn(tmp_path: Path, value: float) -> None:
    gates = {
        "agreement": (np.column_stack([SIGNAL, WEIGHT]), np.full(800, value)),
        "flatness": (MASS, np.full(len(MASS), value)),
    }
    draw_results(tmp_path, truth_of(SIGNAL), np.full(800, value), None, "x" * 300, gates=gates)
    assert len(list(tmp_path.iterdir())) == 3


def test_one_background_event_can_be_drawn(tmp_path: Path) -> None:
    with figure_style():
        figure = draw_flatness(np.array([1700.0]), np.array([0.3]), sample="s", title="t")
        assert save(figure, tmp_path / "a.png").exists()

"""Pictures of top taggers: their numbers are those of the metrics, and nothing makes them fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepchallenge.challenges.toptag.jets import Jets
from hepchallenge.challenges.toptag.pictures import draw_mass, draw_rejection, draw_results, draw_scores
from hepchallenge.pictures import figure_style
from hepchallenge.scoring.toptag import background_rejection

RNG = np.random.default_rng(6)
IS_TOP = RNG.integers(0, 2, 4000) == 1
SCORE = np.clip(0.4 * IS_TOP + RNG.normal(0.3, 0.15, 4000), 0, 1)
MASS = np.where(IS_TOP, 170.0, 90.0) + RNG.uniform(-85, 85, 4000)


def legend(figure: Figure) -> list[str]:
    found = figure.axes[0].get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def points(axes: Axes) -> tuple[np.ndarray, np.ndarray]:
    (line, *_) = axes.containers[-1].lines
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def test_working_points_are_the_rejections_of_the_metric_with_their_errors() -> None:
    with figure_style():
        figure = draw_rejection(IS_TOP, SCORE, title="t")
    drawn = figure.axes[0].containers[-2:]
    for bars, efficiency in zip(drawn, (0.3, 0.5), strict=True):
        point = background_rejection(SCORE, IS_TOP, efficiency)
        (marks, _, (error,)) = bars.lines
        assert (marks.get_xdata()[0], marks.get_ydata()[0]) == (efficiency, point.value)
        (segment,) = error.get_segments()
        assert segment[:, 1] == pytest.approx([point.value - point.error, point.value + point.error])


def test_the_legend_has_two_digits_of_the_error() -> None:
    # 2 of 200, and 50 of 200 QCD jets pass with 30 and 50 % of the tops.
    is_top = np.repeat([True, False, True, False, True, False], [30, 2, 20, 48, 50, 150])
    score = np.repeat([0.9, 0.8, 0.6, 0.4, 0.2, 0.1], [30, 2, 20, 48, 50, 150])
    score[30:32] = 0.9
    score[52:100] = 0.6
    with figure_style():
        found = legend(draw_rejection(is_top, score, title="t"))
    assert r"$\varepsilon_S = 0.3$: $1/\varepsilon_B = 100 \pm 71$" in found
    assert r"$\varepsilon_S = 0.5$: $1/\varepsilon_B = 4.00 \pm 0.57$" in found


def test_a_tagger_that_lets_no_background_pass_gets_a_limit() -> None:
    with figure_style():
        figure = draw_rejection(IS_TOP, np.where(IS_TOP, SCORE, 0.0), title="t")
    limit = background_rejection(IS_TOP.astype(float), IS_TOP, 0.3).upper_limit()
    assert rf"$\varepsilon_S = 0.3$: $\varepsilon_B < {limit:.2g}$ (95 %)" in legend(figure)
    arrows = [line for line in figure.axes[0].lines if line.get_marker() == "^"]
    assert [float(np.asarray(line.get_ydata())[0]) for line in arrows] == [(~IS_TOP).sum()] * 2


def test_cuts_of_the_scores_keep_the_share_of_tops_that_they_say() -> None:
    with figure_style():
        figure = draw_scores(IS_TOP, SCORE, title="t")
    cuts = [float(np.asarray(line.get_xdata())[0]) for line in figure.axes[0].lines if line.get_ls() == ":"]
    assert [(SCORE[IS_TOP] >= cut).mean() for cut in cuts] == pytest.approx([0.3, 0.5], abs=0.001)
    assert legend(figure)[0] == f"{(~IS_TOP).sum()} QCD jets"


def test_a_tagger_that_is_the_mass_leaves_qcd_jets_of_high_mass_only() -> None:
    with figure_style():
        sculpted = draw_mass(IS_TOP, MASS / 300, MASS, title="t")
        honest = draw_mass(IS_TOP, RNG.uniform(size=4000), MASS, title="t")
    where, share = points(sculpted.axes[0])
    passed = int((MASS[~IS_TOP] >= np.median(MASS[IS_TOP])).sum())
    assert f"{passed} QCD jets that pass" in legend(sculpted)[-1]
    assert (where > 150).all()
    where, share = points(honest.axes[0])
    assert 80 < where @ share / share.sum() < 100
    assert share.sum() == pytest.approx(1.0)


def test_few_jets_are_drawn_in_wide_bins_of_the_same_density() -> None:
    few = np.arange(4000) < 400
    with figure_style():
        where, share = points(draw_mass(IS_TOP[few], SCORE[few][::-1], MASS[few], title="t").axes[0])
    assert np.diff(where) == pytest.approx(35.0)
    assert 5 * share.sum() == pytest.approx(1.0)


def test_the_mass_is_drawn_only_of_jets_with_constituents(tmp_path: Path) -> None:
    nothing = Jets.of([[]] * 4000)
    draw_results(tmp_path, IS_TOP.astype(int), SCORE, nothing, "toy data (simulated)")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["roc.png", "scores.png"]
    jets = Jets.of([[[mass + 1.0, 0.0, 0.0, 1.0]] for mass in MASS])
    draw_results(tmp_path, IS_TOP.astype(int), SCORE, jets, "toy data (simulated)")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mass.png", "roc.png", "scores.png"]


@pytest.mark.parametrize(
    "score", [np.zeros(4000), np.full(4000, 0.5), np.ones(4000), IS_TOP * 1.0, 1.0 - IS_TOP]
)
def test_the_most_and_the_least_a_tagger_can_do_can_be_drawn(tmp_path: Path, score: np.ndarray) -> None:
    jets = Jets.of([[[100.0, 0.0, 0.0, 1.0]]] * 4000)
    draw_results(tmp_path, IS_TOP.astype(int), score, jets, "x" * 300)
    assert len(list(tmp_path.iterdir())) == 3

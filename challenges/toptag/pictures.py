"""Pictures of a top tagger: its ROC curve, its scores, and the mass of the QCD jets that it lets pass."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge import pictures as style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hepchallenge.scoring.toptag import BackgroundRejection

__all__ = ["draw_mass", "draw_rejection", "draw_results", "draw_scores"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_WORKING_POINTS = (0.3, 0.5)
_LOOKS = (("o", style.COLOURS[1]), ("s", style.COLOURS[4]))
_CUT = 0.5
"""Signal efficiency of the cut that the jet mass is drawn for."""
_SCORE_BINS = np.linspace(0.0, 1.0, 51)
_MASS_BINS = np.linspace(0.0, 350.0, 51)
"""GeV."""
_FEW = 500
"""Below so many jets, points are drawn for five bins at once."""
_CURVE_POINTS = 2000
_SIGNAL, _BACKGROUND = style.COLOURS[1], style.COLOURS[0]


def draw_rejection(is_top: Flags, score: Floats, *, title: str, label: str = "") -> Figure:
    """Draw background rejection against signal efficiency, with the working points of the landscape paper.

    Parameters
    ----------
    is_top : array of bool, shape (n,)
    score : array, shape (n,)
        Larger is more top-like.
    title, label : str
        Written above the picture; anybody's text.

    Returns
    -------
    Figure
        The curve, with a band of the statistical error of the background, begins where the first background
        jet passes. Where less than one passes at a working point, an arrow marks the largest rejection that
        the sample can show, and the legend has the upper limit of the background efficiency. Made and saved
        within `hepchallenge.pictures.figure_style`.
    """
    from hepchallenge.scoring.roc import roc_auc, roc_curve
    from hepchallenge.scoring.toptag import background_rejection

    figure = style.new_figure(8.6, 7.4)
    axes = figure.add_axes((0.105, 0.09, 0.865, 0.8))
    background, signal, n_background = roc_curve(score, is_top)
    # Nothing is known of a rejection before a background jet passes.
    some = np.flatnonzero(background > 0)
    grid = np.linspace(signal[some[0]], 1.0, _CURVE_POINTS)
    eps = np.interp(grid, signal[some], background[some])
    error = np.sqrt(eps / n_background)
    axes.fill_between(
        grid, 1 / (eps + error), 1 / np.maximum(eps - error, 0.25 / n_background), color=style.COLOURS[3],
        alpha=0.45, lw=0, label="statistical error",
    )  # fmt: skip
    axes.plot(grid, 1 / eps, color=_BACKGROUND, lw=1.8, label=f"AUC {roc_auc(score, is_top):.4f}")
    guess = np.linspace(1e-3, 1, 200)
    axes.plot(guess, 1 / guess, color=style.DARK, lw=0.9, ls="--", label="guessing")
    for efficiency, (marker, colour) in zip(_WORKING_POINTS, _LOOKS, strict=True):
        point = background_rejection(score, is_top, efficiency)
        look: dict[str, Any] = {"color": colour, "ls": "", "ms": 8, "zorder": 5, "label": _words(point)}
        if point.is_bound:
            axes.plot(efficiency, point.value, "^", **look)
        else:
            axes.errorbar(efficiency, point.value, point.error, marker=marker, capsize=4, lw=1.6, **look)
        axes.axvline(efficiency, color=colour, lw=0.8, ls=":", zorder=0)
    axes.set(yscale="log", xlim=(0, 1), ylim=(1, 3 * n_background))
    axes.set_xlabel(r"signal efficiency $\varepsilon_S$")
    axes.set_ylabel(r"background rejection $1/\varepsilon_B$")
    # Where no curve and no mark is: what is bounded at a working point is at the top.
    place: dict[str, Any] = {"loc": "upper right"}
    if background_rejection(score, is_top, max(_WORKING_POINTS)).is_bound:
        place = {"loc": "center left", "bbox_to_anchor": (0.08, 0.5)}
    axes.legend(**place, fontsize=11.5)
    _head(figure, title, label, left=0.105, right=0.97)
    return figure


def _words(point: BackgroundRejection) -> str:
    at = rf"$\varepsilon_S = {point.signal_efficiency:g}$: "
    if point.is_bound:
        return at + rf"$\varepsilon_B < {point.upper_limit():.2g}$ (95 %)"
    # Two digits of the error.
    decimals = 1 - math.floor(math.log10(point.error)) if point.error < 10 else 0
    return at + rf"$1/\varepsilon_B = {point.value:.{decimals}f} \pm {point.error:.{decimals}f}$"


def draw_scores(is_top: Flags, score: Floats, *, title: str, label: str = "") -> Figure:
    """Draw the distributions of the scores of tops and of QCD jets, each of sum 1, on a logarithmic scale.

    Parameters
    ----------
    is_top : array of bool, shape (n,)
    score : array, shape (n,)
        From 0 to 1.
    title, label : str
        Written above the picture; anybody's text.

    Returns
    -------
    Figure
        Dotted lines are the cuts at the working points. Made and saved within
        `hepchallenge.pictures.figure_style`.
    """
    import mplhep

    figure = style.new_figure(8.6, 6.6)
    axes = figure.add_axes((0.105, 0.1, 0.865, 0.78))
    least = 1.0
    looks: tuple[tuple[str, Flags, str, dict[str, Any]], ...] = (
        ("QCD", ~is_top, _BACKGROUND, {"histtype": "fill", "alpha": 0.35}),
        ("top", is_top, _SIGNAL, {"histtype": "step", "yerr": False, "linewidth": 1.8}),
    )
    for name, rows, colour, look in looks:
        counts = np.histogram(score[rows], _SCORE_BINS)[0]
        total = int(rows.sum())
        least = min(least, counts[counts > 0].min() / total)
        mplhep.histplot(
            counts / total, _SCORE_BINS, ax=axes, color=colour, label=f"{total} {name} jets", **look
        )
    for efficiency, (_, colour) in zip(_WORKING_POINTS, _LOOKS, strict=True):
        cut = _cut(is_top, score, efficiency)
        text = rf"cut of $\varepsilon_S = {efficiency:g}$"
        axes.axvline(cut, color=colour, ls=":", lw=1.4, label=text)
    axes.set(yscale="log", xlim=(0, 1), ylim=(0.5 * least, 8), xlabel="score", ylabel="share of jets")
    axes.legend(loc="upper center", ncols=2, fontsize=11.5)
    _head(figure, title, label, left=0.105, right=0.97)
    return figure


def _cut(is_top: Flags, score: Floats, efficiency: float) -> float:
    """Return the largest score such that this share of the tops, or more, has it or a larger one."""
    return float(np.quantile(score[is_top], 1 - efficiency, method="lower"))


def draw_mass(is_top: Flags, score: Floats, mass: Floats, *, title: str, label: str = "") -> Figure:
    """Draw the jet mass of QCD jets before and after a cut that half of the tops pass, each of sum 1.

    A tagger that cuts on the mass leaves QCD jets with the mass of tops: a peak in the background, where the
    signal would be.

    Parameters
    ----------
    is_top : array of bool, shape (n,)
    score : array, shape (n,)
        Larger is more top-like.
    mass : array, shape (n,)
        In GeV.
    title, label : str
        Written above the picture; anybody's text.

    Returns
    -------
    Figure
        Masses above the last bin are in it. Made and saved within `hepchallenge.pictures.figure_style`.
    """
    import mplhep

    figure = style.new_figure(8.6, 6.6)
    axes = figure.add_axes((0.105, 0.1, 0.865, 0.78))
    inside = np.minimum(mass, np.nextafter(_MASS_BINS[-1], 0))
    passed = ~is_top & (score >= _cut(is_top, score, _CUT))
    looks: tuple[tuple[str, Flags, str, dict[str, Any]], ...] = (
        ("QCD", ~is_top, _BACKGROUND, {"histtype": "fill", "alpha": 0.35}),
        ("top", is_top, _SIGNAL, {"histtype": "step", "yerr": False, "linestyle": "--"}),
    )
    highest = 0.0
    for name, rows, colour, look in looks:
        total = int(rows.sum())
        share = np.histogram(inside[rows], _MASS_BINS)[0] / total
        highest = max(highest, float(share.max()))
        mplhep.histplot(share, _MASS_BINS, ax=axes, color=colour, label=f"{total} {name} jets", **look)
    total = int(passed.sum())
    merged = 1 if total >= _FEW else 5
    edges = _MASS_BINS[::merged]
    counts = np.histogram(inside[passed], edges)[0]
    filled = counts > 0
    share, unit = counts[filled], 1 / (merged * max(total, 1))
    axes.errorbar(
        ((edges[1:] + edges[:-1]) / 2)[filled], share * unit, np.sqrt(share) * unit,
        (np.diff(edges) / 2)[filled], ls="", marker="o", ms=4.5, color=style.DARK,
        label=rf"{total} QCD jets that pass at $\varepsilon_S = {_CUT:g}$",
    )  # fmt: skip
    highest = max(highest, float(((share + np.sqrt(share)) * unit).max(initial=0)))
    axes.set(xlim=(0, _MASS_BINS[-1]), ylim=(0, 1.3 * highest), xlabel="jet mass [GeV]")
    axes.set_ylabel(f"share of jets / {_MASS_BINS[1]:g} GeV")
    axes.legend(loc="upper right", fontsize=11.5)
    _head(figure, title, label, left=0.105, right=0.97)
    return figure


def _head(figure: Figure, title: str, label: str, left: float, right: float) -> None:
    style.write(figure, left, 0.95, title, fontsize=13, fontweight="bold")
    style.write(figure, right, 0.905, label, ha="right", fontsize=11)


def draw_results(
    folder: Path, truth: NDArray[Any], predictions: NDArray[Any], inputs: Any, label: str
) -> None:
    """Write `roc.png`, `scores.png` and, where jets have constituents, `mass.png`.

    Parameters
    ----------
    folder : Path
        Where to write.
    truth : array of 0 and 1, shape (n,)
        1 for tops.
    predictions : array, shape (n,)
        Scores from 0 to 1.
    inputs : Jets
        One a row. Where only labels were published they have no constituents.
    label : str
        Whose scores on which data these are.
    """
    is_top, score = np.asarray(truth) == 1, np.asarray(predictions, dtype=np.float64)
    with style.figure_style():
        title = f"toptag: background rejection, {len(score)} jets"
        style.save(draw_rejection(is_top, score, title=title, label=label), folder / "roc.png")
        style.save(draw_scores(is_top, score, title="toptag: scores", label=label), folder / "scores.png")
        if inputs.has_constituents:
            title = "toptag: jet mass before and after a cut"
            figure = draw_mass(is_top, score, inputs.mass, title=title, label=label)
            style.save(figure, folder / "mass.png")

"""Pictures of tau -> mu mu mu: what a classifier finds, and whether it looks at what it must not look at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge import pictures as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_agreement", "draw_flatness", "draw_results", "draw_roc"]

Floats = NDArray[np.float64]

_TAU_MASS = 1776.9
"""MeV, rounded: for a line in a picture."""

_KEPT = (0.1, 0.3, 0.5, 0.7)
"""Shares of the background that the drawn cuts keep."""
_LOOKS = tuple(zip("osD^", (0, 1, 2, 4), strict=True))
_QUANTILES = (10, 25, 50, 75, 90)
_MOST_MASS_BINS = 20
_BIN_EVENTS = 100
"""Fewest events in a bin of mass, on average."""
_SCORE_BINS = np.linspace(0.0, 1.0, 41)
_CURVE_POINTS = 2000


def _mass_edges(mass: Floats) -> Floats:
    """Return edges of bins with about equally many events; equal masses are in one bin."""
    n_bins = int(np.clip(len(mass) // _BIN_EVENTS, 1, _MOST_MASS_BINS))
    edges = np.unique(np.quantile(mass, np.linspace(0, 1, n_bins + 1)))
    return edges if len(edges) > 1 else np.array([edges[0] - 0.5, edges[0] + 0.5])


def draw_flatness(mass: Floats, prediction: Floats, *, sample: str, title: str, label: str = "") -> Figure:
    """Draw the prediction for background, and what cuts on it keep, against the mass.

    Parameters
    ----------
    mass : array, shape (n,)
        In MeV.
    prediction : array, shape (n,)
        From 0 to 1.
    sample : str
        What the events are.
    title, label : str
        Written above the picture; anybody's text.

    Returns
    -------
    Figure
        Left, quantiles of the prediction in bins of mass; right, the share of every bin that is kept by cuts
        which keep 10, 30, 50 and 70 % of all: level lines if the prediction does not depend on the mass.
        Where predictions are equal a cut keeps all of them, so that the share may be larger. Made and saved
        within `hepchallenge.pictures.figure_style`.
    """
    figure = style.new_figure(14.0, 6.2)
    grid = figure.add_gridspec(1, 2, left=0.06, right=0.985, top=0.84, bottom=0.11, wspace=0.16)
    spread, kept = (figure.add_subplot(cell) for cell in (grid[0], grid[1]))
    edges = _mass_edges(mass)
    place = np.clip(np.searchsorted(edges, mass, side="right") - 1, 0, len(edges) - 2)
    inside = [prediction[place == number] for number in range(len(edges) - 1)]
    _draw_quantiles(spread, edges, inside)
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    for share, (marker, colour) in zip(_KEPT, _LOOKS, strict=True):
        cut = np.quantile(prediction, 1 - share, method="higher")
        overall = float((prediction >= cut).mean())
        rates = np.array([(values >= cut).mean() if len(values) else np.nan for values in inside])
        counts = np.array([max(len(values), 1) for values in inside])
        # The error is that of the overall share: a bin that keeps nothing is not known exactly.
        error = np.sqrt(overall * (1 - overall) / counts)
        look: dict[str, Any] = {"color": style.COLOURS[colour]}
        kept.axhline(overall, ls="--", lw=0.9, **look)
        kept.errorbar(middle, rates, error, half, ls="", marker=marker, ms=4.5, lw=1.0, **look)
    kept.set(xlabel="mass [MeV]", ylabel="share kept by a cut", ylim=(-0.03, 1.03))
    text = "dashed: share of all masses"
    style.write(kept, 0.985, 0.955, text, ha="right", fontsize=10.5)
    for axes in (spread, kept):
        axes.set_xlim(edges[0], edges[-1])
        if edges[0] < _TAU_MASS < edges[-1]:
            axes.axvline(_TAU_MASS, color=style.DARK, lw=0.8, ls=":", zorder=0)
            axes.annotate(
                r"$m_\tau$", (_TAU_MASS, 1.0), (3, 2), xycoords=("data", "axes fraction"),
                textcoords="offset points", fontsize=10,
            )  # fmt: skip
    _head(figure, title, label)
    style.write(figure, 0.06, 0.885, sample, fontsize=11)
    return figure


def _draw_quantiles(axes: Axes, edges: Floats, inside: list[Floats]) -> None:
    levels = np.array([np.percentile(v, _QUANTILES) if len(v) else [np.nan] * 5 for v in inside]).T
    # A step is drawn from edge to edge; the last value is repeated for the last edge.
    low, below, median, above, high = np.column_stack([levels, levels[:, -1:]])
    look: dict[str, Any] = {"step": "post", "color": style.COLOURS[3], "lw": 0}
    axes.fill_between(edges, low, high, alpha=0.3, label="10 to 90 %", **look)
    axes.fill_between(edges, below, above, alpha=0.6, label="25 to 75 %", **look)
    axes.step(edges, median, where="post", color=style.COLOURS[0], lw=1.8, label="median")
    axes.set(xlabel="mass [MeV]", ylabel="prediction", ylim=(-0.03, 1.03))
    axes.legend(loc="upper right", fontsize=10.5, ncols=3)


def draw_roc(is_signal: Floats, prediction: Floats, *, title: str, label: str = "") -> Figure:
    """Draw the ROC curve with the bands of signal efficiency that the official area weighs differently.

    Parameters
    ----------
    is_signal : array of 0 and 1, shape (n,)
        Of the events that count.
    prediction : array, shape (n,)
        From 0 to 1.
    title, label : str
        Written above the picture; anybody's text.

    Returns
    -------
    Figure
        Made and saved within `hepchallenge.pictures.figure_style`.
    """
    from hepchallenge.scoring.roc import roc_curve
    from hepchallenge.scoring.tau3mu import BAND_WEIGHTS, TPR_EDGES, roc_auc_banded, roc_auc_truncated

    figure = style.new_figure(8.6, 8.0)
    axes = figure.add_axes((0.1, 0.08, 0.79, 0.82))
    borders = (0.0, *TPR_EDGES, 1.0)
    background, signal, _ = roc_curve(prediction, is_signal)
    if len(background) > _CURVE_POINTS:
        # As many points as can be seen, along the curve.
        along = background + signal
        chosen = np.unique(np.searchsorted(along, np.linspace(0, along[-1], _CURVE_POINTS)))
        background, signal = background[chosen], signal[chosen]
    for low, high, weight in zip(borders[:-1], borders[1:], BAND_WEIGHTS, strict=True):
        strength = weight / max(BAND_WEIGHTS)
        axes.axhspan(low, high, color=style.COLOURS[3], alpha=0.12 * strength, lw=0)
        # The part of the band that is below the curve, which is the area that counts.
        axes.fill_between(
            background, low, np.clip(signal, low, high), where=signal > low, interpolate=True,
            color=style.COLOURS[3], alpha=0.6 * strength, lw=0,
        )  # fmt: skip
        axes.axhline(high, color=style.DARK, lw=0.6, ls=":")
        style.write(axes, 1.015, (low + high) / 2, f"weight {weight:g}", va="center", fontsize=11)
    official = roc_auc_truncated(prediction, is_signal)
    exact = roc_auc_banded(prediction, is_signal)
    axes.plot(background, signal, color=style.COLOURS[0], lw=2.0, label=f"truncated AUC {official:.4f}")
    axes.plot([], [], ls="", label=f"exact banded AUC {exact:.4f}")
    axes.plot([0, 1], [0, 1], color=style.DARK, lw=0.9, ls="--", label="guessing")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="background efficiency", ylabel="signal efficiency")
    axes.legend(loc="lower right", bbox_to_anchor=(0.98, 0.02), fontsize=11.5, frameon=True, framealpha=0.9)
    _head(figure, title, label, left=0.1, right=0.89)
    return figure


def draw_agreement(
    is_simulation: Floats, weight: Floats, prediction: Floats, *, title: str, label: str = ""
) -> Figure:
    """Draw the predictions for the control channel, those of simulation over those of data.

    Parameters
    ----------
    is_simulation : array of 0 and 1, shape (n,)
        1 for simulation, 0 for data.
    weight : array, shape (n,)
        May be negative, as sPlot weights are.
    prediction : array, shape (n,)
        From 0 to 1.
    title, label : str
        Written above the picture; anybody's text.

    Returns
    -------
    Figure
        Above, the two distributions, each of sum 1; below, the difference of the shares above a cut, whose
        largest size is the Kolmogorov-Smirnov distance, with the limit of the gate. Made and saved within
        `hepchallenge.pictures.figure_style`.
    """
    import mplhep

    from hepchallenge.scoring.tau3mu import AGREEMENT_LIMIT

    figure = style.new_figure(9.4, 8.0)
    grid = figure.add_gridspec(
        2, 1, left=0.115, right=0.975, top=0.9, bottom=0.08, hspace=0.06, height_ratios=(2, 1)
    )
    upper = figure.add_subplot(grid[0])
    lower = figure.add_subplot(grid[1], sharex=upper)
    simulated = is_simulation == 1
    counts, errors = {}, {}
    for name, rows in (("simulation", simulated), ("data", ~simulated)):
        values, own = prediction[rows], weight[rows] / weight[rows].sum()
        counts[name] = np.histogram(values, _SCORE_BINS, weights=own)[0]
        errors[name] = np.sqrt(np.histogram(values, _SCORE_BINS, weights=own**2)[0])
    mplhep.histplot(
        counts["simulation"], _SCORE_BINS, ax=upper, histtype="fill", color=style.COLOURS[3], alpha=0.6,
        label="simulation",
    )  # fmt: skip
    filled = errors["data"] > 0
    middle = (_SCORE_BINS[1:] + _SCORE_BINS[:-1])[filled] / 2
    upper.errorbar(
        middle, counts["data"][filled], errors["data"][filled], ls="", marker="o", ms=4, color=style.DARK,
        label="data, background taken off by weights",
    )  # fmt: skip
    upper.axhline(0, color=style.DARK, lw=0.6)
    top = max(float((counts[name] + errors[name]).max()) for name in counts)
    bottom = min(0.0, float((counts["data"] - errors["data"]).min()))
    upper.set(xlim=(0, 1), xlabel="", ylabel="share of events", ylim=(1.1 * bottom, 1.25 * top))
    upper.tick_params(labelbottom=False)
    upper.legend(loc="upper right", fontsize=11.5)

    cuts, difference = _differences(simulated, weight, prediction)
    worst = int(np.argmax(np.abs(difference)))
    colour = style.COLOURS[0] if abs(difference[worst]) < AGREEMENT_LIMIT else style.WRONG
    for sign in (-1, 1):
        lower.axhline(sign * AGREEMENT_LIMIT, color=style.DARK, lw=0.9, ls="--")
    lower.axhline(0, color=style.DARK, lw=0.6)
    shown = np.unique([*np.linspace(0, len(cuts) - 1, _CURVE_POINTS).astype(int), worst])
    # The share above a cut stays the same down to the next prediction.
    lower.step(cuts[shown], difference[shown], where="pre", color=style.COLOURS[0])
    lower.plot(cuts[worst], difference[worst], "o", color=colour, ms=7, zorder=5)
    reach = 1.4 * max(AGREEMENT_LIMIT, float(np.abs(difference).max()))
    lower.set(xlabel="prediction", ylabel="simulation - data\nabove a cut", ylim=(-reach, reach))
    text = f"KS {abs(difference[worst]):.4f} (dot), limit {AGREEMENT_LIMIT:g} (dashed)"
    # Where the dot is not.
    height = 0.08 if difference[worst] > 0 else 0.92
    style.write(lower, 0.985, height, text, ha="right", va="center", fontsize=11.5, color=colour)
    _head(figure, title, label, left=0.115, right=0.975)
    return figure


def _differences(simulated: NDArray[np.bool_], weight: Floats, prediction: Floats) -> tuple[Floats, Floats]:
    """Return cuts, rising, and the share of simulation less that of data at or above each."""
    cuts, place = np.unique(prediction, return_inverse=True)
    above = []
    for rows in (simulated, ~simulated):
        here = np.bincount(place[rows], weight[rows], len(cuts))
        above.append(np.cumsum(here[::-1])[::-1] / here.sum())
    return cuts, above[0] - above[1]


def _head(figure: Figure, title: str, label: str, left: float = 0.06, right: float = 0.985) -> None:
    style.write(figure, left, 0.955, title, fontsize=13, fontweight="bold")
    style.write(figure, right, 0.922, label, ha="right", fontsize=11)


def draw_results(
    folder: Path,
    truth: NDArray[Any],
    predictions: NDArray[Any],
    inputs: Any,
    label: str,
    *,
    gates: Mapping[str, tuple[NDArray[Any], NDArray[Any]]] | None = None,
) -> None:
    """Write `roc.png`, `flatness.png` and, where the control channel is given, `agreement.png`.

    Parameters
    ----------
    folder : Path
        Where to write.
    truth : array, shape (n, 4)
        signal, min_ANNmuon, mass, production. Only rows with min_ANNmuon above 0.4 are drawn.
    predictions : array, shape (n,)
        From 0 to 1.
    inputs : DataFrame
        Not looked at.
    label : str
        Whose predictions on which data these are.
    gates : mapping, optional
        By the name of a gate, truth and prediction of its sample: (signal, weight) of `agreement`, the mass
        of `flatness`. Without the latter the background rows show how predictions depend on mass.
    """
    from hepchallenge.scoring.tau3mu import FLATNESS_LIMIT, MIN_ANN_MUON, flatness_cvm

    samples = gates or {}
    counted = truth[:, 1] > MIN_ANN_MUON
    known, values = truth[counted], np.asarray(predictions, dtype=np.float64)[counted]
    with style.figure_style():
        title = f"tau3mu: ROC of {len(known)} events with min_ANNmuon above {MIN_ANN_MUON:g}"
        style.save(draw_roc(known[:, 0], values, title=title, label=label), folder / "roc.png")

        if "flatness" in samples:
            mass, prediction = samples["flatness"]
            statistic = flatness_cvm(prediction, mass)
            sample = f"{len(mass)} events of the flatness gate: Cramer-von Mises {statistic:.5f}"
            sample += f", {'passed' if statistic < FLATNESS_LIMIT else 'failed'} (limit {FLATNESS_LIMIT:g})"
        else:
            rows = known[:, 0] == 0
            mass, prediction = known[rows, 2], values[rows]
            sample = f"{len(mass)} background events, which are not those of the flatness gate"
        title = "tau3mu: prediction for background against mass"
        figure = draw_flatness(mass, prediction, sample=sample, title=title, label=label)
        style.save(figure, folder / "flatness.png")

        if "agreement" in samples:
            control, prediction = samples["agreement"]
            title = f"tau3mu: control channel, {len(control)} events"
            figure = draw_agreement(control[:, 0], control[:, 1], prediction, title=title, label=label)
            style.save(figure, folder / "agreement.png")

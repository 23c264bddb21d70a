"""Pictures of the 2D hackathon: some events with the clusters of a submission, and all efficiencies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge import pictures as style
from hepchallenge.challenges.tracking2d.simulation import RADII
from hepchallenge.challenges.trackml.pictures import RIGHT, WRONG, hit_status

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_events", "draw_results"]

_EVENTS_DRAWN = 7
_BINS = np.linspace(0.0, 1.0, 21)


def draw_events(
    hits: NDArray[np.float64],
    clusters: NDArray[np.int64],
    labels: NDArray[np.int64],
    efficiencies: NDArray[np.float64],
    *,
    label: str = "",
) -> Figure:
    """Draw the first seven events, and a histogram of the efficiencies of all.

    A true cluster has a colour if more than half of it is one predicted cluster that consists of it by more
    than half: its right hits are dots joined by a line, the foreign hits of the predicted cluster red
    crosses. All hits that are missing in their cluster are open circles.

    Parameters
    ----------
    hits : array, shape (n_hits, 5)
        event_id, layer, iphi, x [mm], y [mm].
    clusters : array of int, shape (n_hits,)
        True clusters, numbered from 0 in each event.
    labels : array of int, shape (n_hits,)
        Predicted clusters; negative for none.
    efficiencies : array, shape (n_events,)
        In the order of rising event ids.
    label : str
        Written above the picture; anybody's text.

    Returns
    -------
    Figure
        Made and saved within `hepchallenge.pictures.figure_style`.
    """
    import mplhep

    figure = style.new_figure(17.0, 9.2)
    grid = figure.add_gridspec(2, 4, left=0.05, right=0.985, top=0.9, bottom=0.115, wspace=0.2, hspace=0.25)
    events = np.unique(hits[:, 0])
    wrong = missed = 0
    for place, event in enumerate(events[:_EVENTS_DRAWN]):
        axes = figure.add_subplot(grid[place // 4, place % 4])
        rows = hits[:, 0] == event
        counts = _draw_event(axes, hits[rows, 3], hits[rows, 4], clusters[rows], labels[rows])
        wrong, missed = wrong + counts[0], missed + counts[1]
        style.write(axes, 0.0, 1.02, f"event {int(event)}: efficiency {efficiencies[place]:.3f}", fontsize=11)
    axes = figure.add_subplot(grid[1, 3])
    mplhep.histplot(
        np.histogram(efficiencies, _BINS)[0], _BINS, ax=axes, histtype="fill", color=style.COLOURS[3]
    )
    axes.set(xlim=(0, 1), xlabel="efficiency", ylabel="events")
    style.write(axes, 0.0, 1.02, f"all {len(efficiencies)} events", fontsize=11)
    _explain(figure, wrong, missed)
    title = f"tracking2d: efficiency {efficiencies.mean():.4f}"
    style.write(figure, 0.05, 0.95, title, fontsize=13, fontweight="bold")
    style.write(figure, 0.985, 0.95, label, ha="right", fontsize=12)
    return figure


def _draw_event(
    axes: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    clusters: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> tuple[int, int]:
    """Draw one event and return how many hits are wrong and how many are missed."""
    from matplotlib.patches import Circle

    for radius in RADII:
        axes.add_patch(Circle((0, 0), float(radius), fill=False, color=style.FAINT, lw=0.6, zorder=0))
    # Cluster 0 is a particle like all others, but id 0 is noise to hit_status.
    status = hit_status(clusters + 1, labels)
    right, wrong = status & RIGHT > 0, status & WRONG > 0
    radius = np.hypot(x, y)
    for cluster in np.unique(clusters):
        own = np.flatnonzero((clusters == cluster) & right)
        path = own[np.argsort(radius[own], kind="stable")]
        colour = style.COLOURS[int(cluster) % len(style.COLOURS)]
        axes.plot(x[path], y[path], "-o", color=colour, lw=1.0, ms=3.5, mew=0, zorder=3)
    axes.plot(x[~right], y[~right], "o", mfc="none", mec=style.DARK, mew=0.8, ms=5.5, zorder=4)
    axes.plot(x[wrong], y[wrong], "x", color=style.WRONG, mew=1.3, ms=5, zorder=5)
    reach = 1.06 * float(RADII[-1])
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="x [mm]", ylabel="y [mm]")
    axes.locator_params(nbins=5)
    return int(wrong.sum()), int((~right).sum())


def _explain(figure: Figure, wrong: int, missed: int) -> None:
    from matplotlib.lines import Line2D

    def sign(text: str, **look: Any) -> Line2D:
        return Line2D([], [], label=text, **look)

    handles = [
        sign("found particle", ls="-", marker="o", color=style.COLOURS[0], lw=1.0, ms=4, mew=0),
        sign(f"wrong hits: {wrong}", ls="", marker="x", color=style.WRONG, mew=1.4, ms=6),
        sign(f"missed hits: {missed}", ls="", marker="o", mfc="none", mec=style.DARK, mew=0.9, ms=6),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=3, fontsize=12)


def draw_results(
    folder: Path,
    truth: NDArray[np.int64],
    predictions: NDArray[Any],
    inputs: NDArray[np.float64],
    label: str,
) -> None:
    """Write `events.png` with some events and the efficiencies of all.

    Parameters
    ----------
    folder : Path
        Where to write.
    truth, predictions : arrays, shape (n_hits, 2)
        Event id and cluster id.
    inputs : array, shape (n_hits, 5)
        event_id, layer, iphi, x, y.
    label : str
        Whose clusters on which data these are.
    """
    from hepchallenge.scoring.clustering import clustering_efficiencies

    labels = predictions[:, 1].astype(np.int64)
    efficiencies = clustering_efficiencies(truth[:, 0], truth[:, 1], labels)
    with style.figure_style():
        figure = draw_events(inputs, truth[:, 1], labels, efficiencies, label=label)
        style.save(figure, folder / "events.png")

"""Pictures of tracks: an event with the tracks of a submission, and how well particles are found.

Colours are told apart with every kind of colour vision; right, wrong and missed hits differ in shape as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge import pictures as style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hepchallenge.challenges.trackml.events import Event, EventTruth
    from hepchallenge.scoring.events import EventScore
    from hepchallenge.scoring.tracking import Curve

__all__ = [
    "MISSED",
    "RIGHT",
    "WRONG",
    "choose_particles",
    "draw_curves",
    "draw_event",
    "draw_results",
    "hit_status",
]

RIGHT = 1
"""The hit is on the track that is matched with its particle."""
WRONG = 2
"""The hit is on a track that is matched with another particle."""
MISSED = 4
"""The hit is a particle's, but not on a track that is matched with it."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_FEWEST_HITS = 4
_PARTICLES_DRAWN = 40
_EVENTS_DRAWN = 2
# A second or so each.
_EVENTS_MEASURED = 20
_INNER = 0.18
"""Share of the detector's radius that is shown enlarged."""

_OTHER = "#9a9a9a"
_LOST = "#777777"
_BINS = np.linspace(0.0, 1.0, 21)


def hit_status(particle_id: Ints, track_id: Ints) -> NDArray[np.uint8]:
    """Return for every hit whether it is right, wrong, missed.

    A track and a particle are matched if more than half of the track's hits are the particle's, and more than
    half of the particle's hits are the track's; so each has at most one match. This is TrackML's rule.

    Parameters
    ----------
    particle_id : array of int, shape (n_hits,)
        True particle of each hit; 0 for none, which is never matched.
    track_id : array of int, shape (n_hits,)
        Track of each hit; negative for none.

    Returns
    -------
    array of uint8, shape (n_hits,)
        Sum of `RIGHT`, `WRONG` and `MISSED`. A particle's hit is either right or missed. A wrong hit is
        missed as well if it is a particle's. A hit of no particle on a track without match has 0.

    Raises
    ------
    ValueError
        If the shapes differ or are not one-dimensional.
    """
    particle_id, track_id = np.asarray(particle_id), np.asarray(track_id)
    if particle_id.ndim != 1 or particle_id.shape != track_id.shape:
        raise ValueError(
            f"expected two one-dimensional arrays of one length, found shapes {particle_id.shape} "
            f"and {track_id.shape}"
        )
    particles, particle, in_particle = np.unique(particle_id, return_inverse=True, return_counts=True)
    tracks, track, in_track = np.unique(track_id, return_inverse=True, return_counts=True)
    pairs, pair, shared = np.unique(
        track.astype(np.int64) * len(particles) + particle, return_inverse=True, return_counts=True
    )
    pair_track, pair_particle = np.divmod(pairs, max(len(particles), 1))
    matched = (2 * shared > in_track[pair_track]) & (2 * shared > in_particle[pair_particle])
    matched &= (particles[pair_particle] != 0) & (tracks[pair_track] >= 0)
    has_match = np.zeros(len(tracks), dtype=bool)
    has_match[pair_track[matched]] = True

    right = matched[pair]
    status = np.where(right, RIGHT, 0)
    status += np.where(has_match[track] & ~right, WRONG, 0)
    status += np.where((particle_id != 0) & ~right, MISSED, 0)
    return status.astype(np.uint8)


def choose_particles(particle_id: Ints, hit_particle_id: Ints, pt: Floats, most: int) -> Ints:
    """Return the ids of at most `most` particles to draw: those of largest pT with at least four hits.

    Parameters
    ----------
    particle_id, pt : arrays, shape (n_particles,)
        The particles and their transverse momenta [GeV].
    hit_particle_id : array of int, shape (n_hits,)
        Particle of each hit; 0 for none.
    """
    ids, counts = np.unique(hit_particle_id, return_counts=True)
    enough = ids[(counts >= _FEWEST_HITS) & (ids != 0)]
    rows = np.flatnonzero(np.isin(particle_id, enough))
    order = rows[np.argsort(-pt[rows], kind="stable")]
    return np.asarray(particle_id, dtype=np.int64)[order[:most]]


def _draw_layers(hits: pd.DataFrame, radius: Floats, flat: Sequence[Axes], long: Axes) -> None:
    """Draw each layer as a faint line where its hits are: barrels as circles, discs as bars."""
    from matplotlib.patches import Circle

    line: dict[str, Any] = {"color": style.FAINT, "lw": 0.5, "zorder": 0}
    frame = hits[["volume_id", "layer_id", "z"]].assign(r=radius)
    for _, layer in frame.groupby(["volume_id", "layer_id"]):
        r, z = layer["r"].to_numpy(), layer["z"].to_numpy()
        if np.ptp(z) > np.ptp(r):
            middle = float(np.median(r))
            long.plot([z.min(), z.max()], [middle, middle], **line)
            for axes in flat:
                axes.add_patch(Circle((0, 0), middle, fill=False, **line))
        else:
            middle = float(np.median(z))
            long.plot([middle, middle], [r.min(), r.max()], **line)


def draw_event(
    hits: pd.DataFrame,
    particle_id: Ints,
    track_id: Ints,
    chosen: Ints,
    *,
    title: str,
    label: str = "",
) -> Figure:
    """Draw an event in x-y, once more in x-y close to the beam, and in r-z, with some particles' tracks.

    Every chosen particle that is matched with a track (see `hit_status`) has a colour: its right hits are
    dots joined by a line, the wrong hits of its track red crosses, its missed hits open circles. A particle
    without a matched track is a dashed grey line through open circles. All other hits are faint dots.

    Parameters
    ----------
    hits : DataFrame
        Columns x, y, z [mm], volume_id and layer_id; one row a hit.
    particle_id, track_id : arrays of int, shape (n_hits,)
        As in `hit_status`.
    chosen : array of int
        Ids of the particles to show; those without hits are left out.
    title, label : str
        Written above the picture, on the left and on the right; anybody's text.

    Returns
    -------
    Figure
        Made and saved within `hepchallenge.pictures.figure_style`.
    """
    x, y, z = (hits[name].to_numpy(dtype=np.float64) for name in ("x", "y", "z"))
    radius = np.hypot(x, y)
    status = hit_status(particle_id, track_id)

    figure = style.new_figure(19.0, 6.6)
    grid = figure.add_gridspec(
        1, 3, width_ratios=(1, 1, 1.35), left=0.045, right=0.99, top=0.91, bottom=0.17, wspace=0.17
    )
    flat, inner, long = (figure.add_subplot(cell) for cell in (grid[0], grid[1], grid[2]))
    panels = ((flat, x, y), (inner, x, y), (long, z, radius))
    _draw_layers(hits, radius, (flat, inner), long)
    reach = 1.04 * float(radius.max(initial=1e-9))
    near = np.maximum(np.abs(x), np.abs(y)) < _INNER * reach
    for axes, across, up in panels:
        shown = near if axes is inner else slice(None)
        # An image, not a hundred thousand dots, should somebody write it as SVG.
        axes.scatter(across[shown], up[shown], s=0.8, lw=0, color=_OTHER, alpha=0.4, rasterized=True)

    found = wrong = missed = 0
    particles = _by_angle(chosen, particle_id, x, y)
    for number, own in enumerate(particles):
        right = own & (status & RIGHT > 0)
        lost = np.flatnonzero(own & ~right)
        is_found = bool(right.any())
        path = _outwards(np.flatnonzero(right if is_found else own), x, y, z)
        others = np.flatnonzero((track_id == track_id[np.argmax(right)]) & ~own) if is_found else lost[:0]
        # Neighbours in angle get different colours.
        colour = style.COLOURS[number % len(style.COLOURS)]
        for axes, across, up in panels:
            if is_found:
                axes.plot(across[path], up[path], "-o", color=colour, lw=1.0, ms=3, mew=0, zorder=3)
            else:
                axes.plot(across[path], up[path], "--", color=_LOST, lw=0.8, zorder=2)
            axes.plot(across[lost], up[lost], "o", mfc="none", mec=style.DARK, mew=0.8, ms=5, zorder=4)
            axes.plot(across[others], up[others], "x", color=style.WRONG, mew=1.3, ms=5.5, zorder=5)
        found += is_found
        wrong += len(others)
        missed += len(lost)

    for axes, size in ((flat, reach), (inner, _INNER * reach)):
        axes.set(xlim=(-size, size), ylim=(-size, size), aspect="equal", xlabel="x [mm]", ylabel="y [mm]")
        axes.locator_params(nbins=5)
    length = 1.03 * float(np.abs(z).max(initial=1e-9))
    long.set(xlim=(-length, length), ylim=(0, reach), xlabel="z [mm]", ylabel="r [mm]")
    _explain(figure, f"found: {found} of {len(particles)} particles of highest pT", wrong, missed)
    style.write(figure, 0.045, 0.945, title, fontsize=13, fontweight="bold")
    style.write(figure, 0.99, 0.945, label, ha="right", fontsize=12)
    return figure


def _by_angle(chosen: Ints, particle_id: Ints, x: Floats, y: Floats) -> list[NDArray[np.bool_]]:
    """Return which hits are each particle's, in the order in which the particles go round the beam."""
    masks = [own for own in (particle_id == particle for particle in chosen) if own.any()]
    return sorted(masks, key=lambda own: float(np.arctan2(y[own].sum(), x[own].sum())))


def _outwards(rows: Ints, x: Floats, y: Floats, z: Floats) -> Ints:
    """Return hits in the order in which a particle from the centre comes to them."""
    return rows[np.argsort(x[rows] ** 2 + y[rows] ** 2 + z[rows] ** 2, kind="stable")]


def _explain(figure: Figure, found: str, wrong: int, missed: int) -> None:
    from matplotlib.lines import Line2D

    def sign(label: str, **look: Any) -> Line2D:
        return Line2D([], [], label=label, **look)

    handles = [
        sign(found, ls="-", marker="o", color=style.COLOURS[0], lw=1.0, ms=4, mew=0),
        sign("not found", ls="--", color=_LOST, lw=0.9),
        sign(f"wrong hits: {wrong}", ls="", marker="x", color=style.WRONG, mew=1.4, ms=6),
        sign(f"missed hits: {missed}", ls="", marker="o", mfc="none", mec=style.DARK, mew=0.9, ms=6),
        sign("all other hits", ls="", marker="o", color=_OTHER, mew=0, ms=3),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), fontsize=12)


_RATES = {
    "efficiency": ("o", style.COLOURS[0]),
    "fake": ("x", style.WRONG),
    "duplicate": ("s", style.COLOURS[1]),
    "split": ("^", style.COLOURS[4]),
}
_AXES = {
    "pt": ("pT [GeV]", "log"),
    "eta": ("pseudorapidity", "linear"),
    "radius": ("production radius [mm]", "symlog"),
    "hits": ("hits", "linear"),
}


def draw_curves(
    curves: Mapping[str, Mapping[str, Curve]],
    overall: Mapping[str, Curve],
    quality: Mapping[str, NDArray[np.int64]],
    *,
    title: str,
    label: str = "",
) -> Figure:
    """Draw rates against properties of particles, and how pure and complete tracks are.

    Parameters
    ----------
    curves : mapping of str to mapping of str to Curve
        By rate (`efficiency`, `fake`, `duplicate`, `split`), then by property (`pt` [GeV], `eta`, `radius`
        [mm], `hits`); see `hepchallenge.scoring.tracking`. Bins without cases are left out. Bars across are
        the bins, bars up and down one standard deviation.
    overall : mapping of str to Curve
        By rate, of one bin each.
    quality : mapping of str to array of int64, shape (20,)
        Numbers of tracks in equal bins from 0 to 1 of `purity` and `completeness`.
    title, label : str
        Written above the picture, on the left and on the right; anybody's text.

    Returns
    -------
    Figure
        Made and saved within `hepchallenge.pictures.figure_style`.
    """
    import mplhep

    figure = style.new_figure(15.0, 9.2)
    grid = figure.add_gridspec(2, 3, left=0.05, right=0.985, top=0.92, bottom=0.135, wspace=0.17, hspace=0.26)
    cells = iter(grid)
    for name, (text, scale) in _AXES.items():
        axes = figure.add_subplot(next(cells))
        if scale == "symlog":
            # Most particles come from the beam, at a radius that a logarithm cannot show.
            axes.set_xscale("symlog", linthresh=1.0, linscale=0.5)
        else:
            axes.set_xscale(scale)
        for rate, (marker, colour) in _RATES.items():
            _draw_curve(axes, curves[rate][name], marker, colour, scale == "log")
        edges = curves["efficiency"][name].edges
        axes.set(xlim=(edges[0], edges[-1]), ylim=(-0.03, 1.03), ylabel="rate")
        axes.set_xlabel(text)
    for name, counts in quality.items():
        axes = figure.add_subplot(next(cells))
        # Limits first: without any track there is nothing from which a logarithmic axis could find its own.
        axes.set(ylim=(0.5, 3.0 * max(int(counts.max(initial=0)), 1)), yscale="log")
        mplhep.histplot(counts, _BINS, ax=axes, histtype="fill", color=style.COLOURS[3], alpha=0.6)
        mplhep.histplot(counts, _BINS, ax=axes, histtype="step", color=style.COLOURS[0], yerr=False)
        axes.set(xlim=(0, 1), xlabel=f"{name} of tracks", ylabel="tracks")
    _explain_rates(figure, overall)
    style.write(figure, 0.05, 0.95, title, fontsize=13, fontweight="bold")
    style.write(figure, 0.985, 0.95, label, ha="right", fontsize=12)
    return figure


def _draw_curve(axes: Axes, curve: Curve, marker: str, colour: str, logarithmic: bool) -> None:
    some = curve.total > 0
    left, right = curve.edges[:-1][some], curve.edges[1:][some]
    middle = np.sqrt(left * right) if logarithmic else (left + right) / 2
    value = curve.value[some]
    axes.errorbar(
        middle,
        value,
        xerr=(middle - left, right - middle),
        yerr=(value - curve.low[some], curve.high[some] - value),
        fmt=marker,
        color=colour,
        ms=4.5,
        lw=1.0,
    )


def _explain_rates(figure: Figure, overall: Mapping[str, Curve]) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for rate, (marker, colour) in _RATES.items():
        passed, total = int(overall[rate].passed.sum()), int(overall[rate].total.sum())
        of = "particles" if rate in ("efficiency", "split") else "tracks"
        share = f"{passed / total:.4f}" if total else "none"
        text = f"{rate} {share} ({passed} of {total} {of})"
        handles.append(Line2D([], [], ls="-", marker=marker, color=colour, label=text))
    figure.legend(handles=handles, loc="lower center", ncols=2, fontsize=12)


def draw_results(
    folder: Path,
    truth: Sequence[EventTruth],
    predictions: Sequence[Ints],
    inputs: Any,
    label: str,
    *,
    challenge: str,
    accuracy: EventScore,
) -> None:
    """Draw the first events, and rates over the first twenty.

    Parameters
    ----------
    folder : Path
        Where `event<id>.png` and `tracks.svg` are written.
    truth, predictions, inputs
        One item an event, each read when its turn comes; `inputs` has `event_ids`.
    label : str
        Whose tracks on which data these are.
    challenge : str
        Named in the titles.
    accuracy : EventScore
        Gives the score of an event, shown beside it.
    """
    from hepchallenge.scoring import tracking

    rates = {
        "efficiency": tracking.efficiency_curves,
        "fake": tracking.fake_curves,
        "duplicate": tracking.duplicate_curves,
        "split": tracking.split_curves,
    }
    measured = min(len(truth), _EVENTS_MEASURED)
    curves: dict[str, dict[str, Curve]] = {}
    overall: dict[str, Curve] = {}
    quality = {name: np.zeros(len(_BINS) - 1, dtype=np.int64) for name in ("purity", "completeness")}
    with style.figure_style():
        for number in range(measured):
            true, tracks = truth[number], np.asarray(predictions[number], dtype=np.int64)
            particle_id = true.truth["particle_id"].to_numpy().astype(np.int64)
            matching = tracking.match_event(particle_id, tracks, true.particles)
            for rate, of_event in rates.items():
                terms = [curves[rate]] if number else []
                curves[rate] = tracking.sum_curves([*terms, of_event(matching)])
            overall = tracking.sum_curves([*([overall] if number else []), tracking.overall_rates(matching)])
            shares = tracking.track_quality(matching)
            for name, counts in quality.items():
                counts += np.histogram(getattr(shares, name), _BINS)[0]
            if number < _EVENTS_DRAWN:
                event_id = int(inputs.event_ids[number])
                title = f"{challenge}, event {event_id}: accuracy {accuracy.score_event(true, tracks):.4f}"
                figure = _event_figure(inputs[number], true, particle_id, tracks, title, label)
                style.save(figure, folder / f"event{event_id:09d}.png")
        if measured:
            count = f"{measured} of {len(truth)} events" if measured < len(truth) else f"{measured} events"
            title = f"{challenge}: tracks of {count}" if measured > 1 else f"{challenge}: tracks of one event"
            style.save(draw_curves(curves, overall, quality, title=title, label=label), folder / "tracks.svg")


def _event_figure(
    event: Event, true: EventTruth, particle_id: Ints, tracks: Ints, title: str, label: str
) -> Figure:
    particles = true.particles
    pt = np.hypot(*(particles[name].to_numpy(dtype=np.float64) for name in ("px", "py")))
    ids = particles["particle_id"].to_numpy().astype(np.int64)
    chosen = choose_particles(ids, particle_id, pt, _PARTICLES_DRAWN)
    return draw_event(event.hits, particle_id, tracks, chosen, title=title, label=label)

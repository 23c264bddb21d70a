"""Efficiency of tracks against pT, as points that can be laid over those of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hepchallenge.challenges.trackml.events import EventTruth
    from hepchallenge.scoring.tracking import Curve

__all__ = ["get_curves", "points"]


def points(curve: Curve, *, logarithmic: bool = False) -> dict[str, NDArray[np.float64]]:
    """Return a rate as `x`, `y`, `low` and `high`: a point with its error bar in each bin that has cases.

    Parameters
    ----------
    curve : Curve
        See `hepchallenge.scoring.tracking`; error bars are its intervals.
    logarithmic : bool
        Whether a bin's point is at its middle on a logarithmic axis.
    """
    some = curve.total > 0
    left, right = curve.edges[:-1][some], curve.edges[1:][some]
    low, high = curve.interval()
    middle = np.sqrt(left * right) if logarithmic else (left + right) / 2
    return {"x": middle, "y": curve.value[some], "low": low[some], "high": high[some]}


def get_curves(
    truth: Sequence[EventTruth], predictions: Sequence[NDArray[np.int64]], inputs: Any
) -> list[Mapping[str, Any]]:
    """Return the efficiency of tracks against the pT of particles, over all events that are given.

    What is found, and what can be, is as in `hepchallenge.scoring.tracking`; hits are not read.

    Parameters
    ----------
    truth, predictions
        One item an event, each read when its turn comes.
    inputs
        Not used.
    """
    from hepchallenge.scoring import tracking

    edges = {"pt": tracking.DEFAULT_EDGES["pt"]}
    events = []
    for number in range(len(truth)):
        true, tracks = truth[number], np.asarray(predictions[number], dtype=np.int64)
        particle_id = true.truth["particle_id"].to_numpy().astype(np.int64)
        events.append(
            tracking.efficiency_curves(tracking.match_event(particle_id, tracks, true.particles), edges)
        )
    return [
        {
            "title": "Tracking efficiency against pT",
            "description": (
                "Share of charged particles with at least four hits that were found, against transverse "
                "momentum: a track has more than half of the particle's hits, and more than half of its own "
                "are the particle's. Bars are Clopper-Pearson intervals of one standard deviation."
            ),
            "x_label": "pT [GeV]",
            "y_label": "tracking efficiency",
            "log_x": True,
            **points(tracking.sum_curves(events)["pt"], logarithmic=True),
        }
    ]

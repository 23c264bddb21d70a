"""Efficiency of tracks against pT, as points that can be laid over those of others.

The published files do not tell a particle's momentum, but its hits lie on a circle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.challenges.tracking2d.simulation import MEV_PER_MM, PT_RANGE
from hepchallenge.challenges.trackml.curves import points

__all__ = ["circle_radii", "get_curves"]

_FEWEST_HITS = 4
_EDGES = np.linspace(0.0, PT_RANGE[1] / 1000, 11)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def circle_radii(group: Ints, x: Floats, y: Floats) -> Floats:
    """Return for each group of points the radius of the circle through them, after Kåsa.

    Its least squares are linear (I. Kåsa, IEEE Trans. Instrum. Meas. 25 (1976) 8): with ``u = (x, y)`` from
    the middle of the points, ``|u|² = 2 u·centre + constant``.

    Parameters
    ----------
    group : array of int, shape (n,)
        From 0 on, none left out.
    x, y : arrays, shape (n,)

    Returns
    -------
    array of float64, shape (n_groups,)
        In the units of `x` and `y`. Without meaning for less than three points, or points on a line.
    """
    count = np.bincount(group)

    def mean(values: Floats) -> Floats:
        return np.bincount(group, values) / count

    x, y = x - mean(x)[group], y - mean(y)[group]
    square = x * x + y * y
    xx, xy, yy = mean(x * x), mean(x * y), mean(y * y)
    moments = np.stack([np.stack([xx, xy], axis=-1), np.stack([xy, yy], axis=-1)], axis=-2)
    third = np.stack([mean(x * square), mean(y * square)], axis=-1)
    centre = (np.linalg.pinv(moments) @ third[..., None])[..., 0] / 2
    radii: Floats = np.sqrt((centre**2).sum(axis=-1) + xx + yy)
    return radii


def get_curves(truth: Ints, predictions: NDArray[Any], inputs: Floats) -> list[Mapping[str, Any]]:
    """Return the share of particles that were found, against the pT of the circle through their hits.

    A particle with at least four hits can be found, and is if more than half of its hits are in one cluster
    that has more than half of its hits from it. (The score asks less: it does not mind foreign hits.)

    Parameters
    ----------
    truth, predictions : arrays, shape (n_hits, 2)
        Event id and cluster id.
    inputs : array, shape (n_hits, 5)
        event_id, layer, iphi, x, y [mm].
    """
    from hepchallenge.scoring.groups import group_rows
    from hepchallenge.scoring.tracking import Curve, match_tracks

    event, labels = truth[:, 0].astype(np.int64), predictions[:, 1].astype(np.int64)
    particle = group_rows(event, truth[:, 1].astype(np.int64)).numbers
    track = group_rows(event, labels).numbers
    # A hit without a label is alone.
    track = np.where(labels < 0, len(labels) + np.arange(len(labels)), track)
    hits = np.bincount(particle)
    # Particle 0 would be noise.
    tracks = match_tracks(particle + 1, track)
    matched = (2 * tracks.n_common > tracks.n_hits) & (2 * tracks.n_common > tracks.n_particle)
    found = np.zeros(len(hits), dtype=bool)
    found[tracks.particle_id[matched] - 1] = True

    pt = MEV_PER_MM / 1000 * circle_radii(particle, inputs[:, 3], inputs[:, 4])
    counted = hits >= _FEWEST_HITS
    total, _ = np.histogram(pt[counted], _EDGES)
    passed, _ = np.histogram(pt[counted & found], _EDGES)
    return [
        {
            "title": "Tracking efficiency against pT",
            "description": (
                "Share of particles with at least four hits that were found, against transverse momentum, "
                "from a circle through their hits in 1 T: a cluster has more than half of the particle's "
                "hits, and more than half of its own are the particle's. Bars are Clopper-Pearson intervals "
                "of one standard deviation."
            ),
            "x_label": "pT from the true hits [GeV]",
            "y_label": "tracking efficiency",
            **points(Curve(_EDGES, passed.astype(np.int64), total.astype(np.int64))),
        }
    ]

"""Whether the order of the hits of an event tells which of them belong together."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hepchallenge.findings import Answer, Status, fine

__all__ = ["check_hit_order"]

_MOST_LAGS = 256
_WARNS, _FAILS = 0.2, 0.5
_FEWEST = 20


def _alike(groups: NDArray[np.int64], lag: int) -> tuple[int, int]:
    return int(np.count_nonzero(groups[lag:] == groups[:-lag])), len(groups) - lag


def check_hit_order(events: Iterable[NDArray[np.int64]]) -> Answer:
    """Look how often hits a fixed number of rows apart belong together, beyond what chance gives.

    Parameters
    ----------
    events
        Per event, the number of the group of every hit.

    Notes
    -----
    The excess is (share - chance) / (1 - chance), of all events together. Hits sorted by module or angle
    show some of it, since tracks are smooth; sorted by particle, or ring by ring in the order of the
    particles, they show nearly 1.
    """
    same = np.zeros(_MOST_LAGS)
    pairs = np.zeros(_MOST_LAGS)
    chance = 0.0
    n_hits = 0
    for groups in events:
        if len(groups) < 2:
            continue
        n_hits += len(groups)
        sizes = np.bincount(np.unique(groups, return_inverse=True)[1].ravel()).astype(np.float64)
        chance += float((sizes * (sizes - 1)).sum()) / (len(groups) - 1)
        for lag in range(1, min(_MOST_LAGS, len(groups) // 2) + 1):
            found, all_pairs = _alike(groups, lag)
            same[lag - 1] += found
            pairs[lag - 1] += all_pairs
    if n_hits < _FEWEST or not pairs.any() or chance >= n_hits:
        return fine(f"{n_hits} hits are too few to say")
    chance /= n_hits
    # A distance that few events are long enough for says little.
    usable = np.flatnonzero(pairs >= max(_FEWEST, n_hits // 10))
    if not usable.size:
        return fine(f"{n_hits} hits are too few to say")
    excess = (same[usable] / pairs[usable] - chance) / (1 - chance)
    best = int(excess.argmax())
    share, distance = float(excess[best]), int(usable[best]) + 1
    apart = same[usable[best]] / pairs[usable[best]]
    fact = (
        f"hits {distance} rows apart belong together in {apart:.1%} of the cases, by chance in {chance:.1%}"
    )
    if share < _WARNS:
        return fine(fact)
    mend = "shuffle the hits of every event, or sort them by what submissions see anyway (module, angle)"
    return (Status.FAIL if share > _FAILS else Status.WARN), fact, mend

"""The flatness statistic of 5 514 events, the size of the published sample, against a loop over windows.

The plain loop takes one window after the other, counts its ranks, adds the counts up to a distribution
function and compares this with the distribution function of all ranks, at every rank; so does the official
evaluation. The lean loop makes the distribution function of all ranks only once. They are timed in turns with
the function of this package, on random predictions and masses.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from measure import alternate

from hepchallenge.scoring.tau3mu import flatness_cvm

N_EVENTS, N_NEIGHBOURS, STEP = 5_514, 200, 50


def ranks_by_mass(prediction: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Return the rank of every prediction, in the order of the masses."""
    by_mass = prediction[np.argsort(mass, kind="stable")]
    return np.argsort(np.argsort(by_mass, kind="stable"), kind="stable")


def plain(prediction: np.ndarray, mass: np.ndarray) -> float:
    """Return the statistic with both distribution functions made in the loop."""
    ranks = ranks_by_mass(prediction, mass)
    n = len(ranks)
    values = []
    for start in range(0, n - N_NEIGHBOURS + 1, STEP):
        everywhere = np.arange(1, n + 1, dtype=float) / n
        window = np.cumsum(np.bincount(ranks[start : start + N_NEIGHBOURS], minlength=n), dtype=float)
        window /= window[-1]
        values.append(np.mean((everywhere - window) ** 2))
    return float(np.mean(values))


def lean(prediction: np.ndarray, mass: np.ndarray) -> float:
    """Return the statistic with only that made in the loop which differs from window to window."""
    ranks = ranks_by_mass(prediction, mass)
    everywhere = np.arange(1, len(ranks) + 1) / len(ranks)
    total = 0.0
    starts = range(0, len(ranks) - N_NEIGHBOURS + 1, STEP)
    for start in starts:
        difference = np.cumsum(np.bincount(ranks[start : start + N_NEIGHBOURS], minlength=len(ranks)))
        difference = everywhere - difference / N_NEIGHBOURS
        total += (difference * difference).mean()
    return float(total / len(starts))


def often(action: Callable[[], object], times: int) -> Callable[[], None]:
    """Return an action that does another many times, as one time alone is too short to be measured."""

    def repeated() -> None:
        for _ in range(times):
            action()

    return repeated


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    # Masses of background lie between 1600 and 1950 MeV, in the published precision; some are equal.
    mass = np.round(rng.uniform(1600, 1950, N_EVENTS), 2)
    prediction = rng.random(N_EVENTS)
    print(f"statistic {flatness_cvm(prediction, mass):.15f}; seconds are for 200 times")
    for name, loop, aim in (("plain loop", plain, 0.05), ("lean loop", lean, 0.1)):
        print(f"{name}: {loop(prediction, mass):.15f}")
        alternate(
            often(lambda: flatness_cvm(prediction, mass), 200),
            often(lambda action=loop: action(prediction, mass), 200),
            names=("flatness_cvm", name),
            rounds=5,
            aim=aim,
        )

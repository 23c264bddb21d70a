"""A full toy TrackML event against a fixed amount of numpy work; both use one core.

The work is twenty times a sort of two million random numbers and the sine of each: like the simulation it is
bound by memory and by transcendental functions. The ratio tells how the simulation fares on machines of
different speed; the seconds are printed as well.
"""

from __future__ import annotations

import numpy as np
from measure import alternate

from hepchallenge.challenges.trackml.toy import simulate_event


def event() -> None:
    """Simulate one event of about 100 000 hits."""
    made = simulate_event(0, 0)
    assert 80_000 < len(made.hits) < 120_000


def workload() -> None:
    """Sort and transform."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        np.sin(np.sort(rng.random(2_000_000))).sum()


if __name__ == "__main__":
    made = simulate_event(0, 0)
    print(f"{len(made.hits)} hits, {len(made.cells)} cells, {len(made.particles)} particles in one toy event")
    alternate(event, workload, names=("simulate_event", "numpy workload"), rounds=5, aim=2.0)

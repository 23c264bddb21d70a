"""Toy jets: simulated, never data, like those of the published top tagging set.

A hard parton, a top or a quark or a gluon (`hard`), radiates (`shower`), turns to hadrons (`hadrons`), and is
seen as tracks and calorimeter cells (`detector`), among which fastjet finds the jet (`jets`). Nothing here is
a prediction of any measurement: the numbers were chosen to make an exercise about as hard as the real.
See `docs/toptag_toy.md`.
"""

from __future__ import annotations

import numpy as np

from hepchallenge.challenges.toptag.jets import JetTable
from hepchallenge.challenges.toptag.toy.jets import CONE, ToyJets, cluster, simulate_jets

__all__ = ["CONE", "DEFAULT_EVENTS", "ToyJets", "cluster", "simulate_jets", "toy_table"]

DEFAULT_EVENTS = 40_000
"""Number of jets if none is given."""


def toy_table(n: int, seed: int) -> JetTable:
    """Simulate toy jets of both classes, shuffled.

    Parameters
    ----------
    n : int
        Number of jets, half of them tops.
    seed : int
        From 0. Equal seeds and numbers give equal jets.

    Raises
    ------
    ValueError
        If a number is negative.
    UsageError
        If the package fastjet is not installed.
    """
    numbers = (n - n // 2, n // 2)
    pieces = [
        list(simulate_jets(m, top=top, seed=seed)) for top, m in zip((False, True), numbers, strict=True)
    ]
    everything = [piece for of_class in pieces for piece in of_class]
    if not everything:
        empty = np.zeros((0, 4), np.float32)
        return JetTable(empty, np.zeros(0, np.int64), np.zeros(0, np.int8), empty)
    flat, counts, truth = (np.concatenate(columns) for columns in zip(*everything, strict=True))
    order = np.random.default_rng([seed, 2]).permutation(n)
    starts = np.cumsum(counts) - counts
    ends = np.cumsum(counts[order])
    rows = np.arange(len(flat)) + np.repeat(starts[order] - (ends - counts[order]), counts[order])
    is_signal = np.repeat(np.array([0, 1], np.int8), numbers)
    return JetTable(flat[rows], counts[order], is_signal[order], truth[order])

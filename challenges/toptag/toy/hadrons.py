"""Clusters into hadrons: every parton that is left after the shower is a cluster, which falls apart.

A cluster is given a mass of order 1 GeV and decays without a preferred direction into two lumps, which decay
in turn until they are light. So hadrons have little momentum across their parton. Kinds and masses of real
hadrons are not aimed at, their number and their spread are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hepchallenge.challenges.toptag.toy.kinematics import boosted, isotropic, masses, two_body_momentum
from hepchallenge.challenges.toptag.toy.shower import BOTTOM, GLUON

__all__ = ["Hadronisation"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LIGHTEST = 0.14
_BOTTOM_MASS = 5.3


@dataclass(frozen=True)
class Hadronisation:
    """The numbers of hadronisation, in GeV.

    Parameters
    ----------
    quark_mass, gluon_mass : float
        Mean of the masses of clusters from light quarks and from gluons, above twice the pion's.
    stable : float
        Lumps below this mass do not decay.
    neutrinos : float
        Share of bottom clusters that lose a neutrino.
    """

    quark_mass: float = 0.9
    gluon_mass: float = 1.6
    stable: float = 0.3
    neutrinos: float = 0.25

    def cluster_masses(self, rng: np.random.Generator, kind: Ints) -> Floats:
        """Return a mass for every parton."""
        mean = np.where(kind == GLUON, self.gluon_mass, self.quark_mass)
        # A gamma distribution: no cluster near zero, few very heavy ones.
        mass = 2 * _LIGHTEST + 1e-3 + mean * rng.gamma(3.0, 1 / 3.0, len(kind))
        return np.where(kind == BOTTOM, _BOTTOM_MASS, mass)

    def without_neutrinos(self, rng: np.random.Generator, kind: Ints, p: Floats) -> Floats:
        """Return the momenta of clusters after some of the bottom ones have sent out a neutrino."""
        rows = np.flatnonzero((kind == BOTTOM) & (rng.random(len(kind)) < self.neutrinos))
        mass = masses(p[rows])
        # What is left is as heavy as the hadrons of a charm quark and some more.
        visible = mass * rng.uniform(0.35, 0.75, len(rows))
        momentum = two_body_momentum(mass, visible, np.zeros(len(rows)))
        rest = np.empty((len(rows), 4))
        rest[:, 0] = np.hypot(visible, momentum)
        rest[:, 1:] = momentum[:, None] * isotropic(rng, len(rows))
        p = p.copy()
        p[rows] = boosted(rest, p[rows])
        return p

    def decay(self, rng: np.random.Generator, event: Ints, p: Floats) -> tuple[Ints, Floats]:
        """Return events and momenta of the hadrons that clusters with momenta `p` fall into.

        The momentum of every cluster is that of its hadrons.
        """
        done: list[tuple[Ints, Floats]] = []
        mass = masses(p)
        while True:
            heavy = mass > self.stable
            done.append((event[~heavy], p[~heavy]))
            event, p, mass = event[heavy], p[heavy], mass[heavy]
            n = len(event)
            if n == 0:
                break
            # A share of what is above two pions goes into mass, in two parts; the rest is motion.
            surplus = (mass - 2 * _LIGHTEST) * rng.beta(3.0, 1.5, n)
            share = rng.random(n)
            first, second = _LIGHTEST + surplus * share, _LIGHTEST + surplus * (1 - share)
            momentum = two_body_momentum(mass, first, second)
            rest = np.empty((n, 4))
            rest[:, 0] = np.hypot(first, momentum)
            rest[:, 1:] = momentum[:, None] * isotropic(rng, n)
            one = boosted(rest, p)
            # The other is the difference, so that nothing is lost.
            event, p, mass = (
                np.tile(event, 2),
                np.concatenate([one, p - one]),
                np.concatenate([first, second]),
            )
        events, momenta = zip(*done, strict=True)
        return np.concatenate(events), np.concatenate(momenta)

"""The hard partons of toy jets, and what showers and decays make of them.

Every event is one parton that flies along x in the transverse plane: a quark or a gluon, or a top. A top may
radiate; then it decays, t -> b W -> b q q', each with its Breit-Wigner mass. The three quarks shower in the
rest frame of what they come from. Showered quarks are heavier than bare ones, so their momenta are those
of a two-body decay into these masses: the masses of top and W stay what they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepchallenge.challenges.toptag.toy.hadrons import Hadronisation
from hepchallenge.challenges.toptag.toy.kinematics import (
    boosted,
    breit_wigner,
    isotropic,
    sums,
    turned,
    two_body_momentum,
)
from hepchallenge.challenges.toptag.toy.shower import (
    BOTTOM,
    GLUON,
    LIGHT,
    TOP,
    Partons,
    Shower,
    jet_masses,
    placed,
)

__all__ = ["HardPartons", "HardProcess"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_TOP_MASS, _TOP_WIDTH = 173.0, 1.4
_W_MASS, _W_WIDTH = 80.4, 2.1
_B_MASS = 4.8
_LONGITUDINAL = 0.7
_SOFTEST, _HARDEST, _NEAR = 1.0, 30.0, 1.6


class HardPartons(NamedTuple):
    """Clusters of many events before they decay, and the truth of tops.

    `event` and `p` are rows of clusters. `decay` holds the momenta of the top, b, q and q' before they
    shower, shape (n, 4, 4); zeros for quarks and gluons.
    """

    event: Ints
    p: Floats
    decay: Floats


@dataclass(frozen=True)
class HardProcess:
    """The numbers of the hard process.

    Parameters
    ----------
    gluons : float
        Share of gluons among the jets without a top.
    lowest_pt, highest_pt : float
        Range in GeV in which hard partons begin; wider than that of the jets, which lose and gain.
    power : float
        pT falls like pT to this negative power.
    widest : float
        Scale at which the first parton begins to radiate, in units of its pT.
    initial : float
        Mean number of gluons from the incoming protons within 1.6 in rapidity and in azimuth of the parton.
    """

    gluons: float = 0.4
    lowest_pt: float = 530.0
    highest_pt: float = 760.0
    power: float = 3.5
    widest: float = 1.4
    initial: float = 1.2
    shower: Shower = field(default_factory=Shower)
    hadronisation: Hadronisation = field(default_factory=Hadronisation)

    def qcd(self, rng: np.random.Generator, n: int) -> HardPartons:
        """Return n showered quarks and gluons."""
        kind = np.where(rng.random(n) < self.gluons, GLUON, LIGHT)
        pt = self._transverse_momentum(rng, n)
        partons = self.shower.run(rng, kind, self.widest * pt, np.zeros(n))
        p = self._along_x(partons, self.hadronisation.cluster_masses(rng, partons.kind), pt)
        p = self.hadronisation.without_neutrinos(rng, partons.kind, p)
        return self._around(rng, partons.jet, p, np.zeros((n, 4, 4)))

    def top(self, rng: np.random.Generator, n: int) -> HardPartons:
        """Return showered and decayed tops; those whose quarks become too heavy are left out."""
        mass = breit_wigner(rng, _TOP_MASS, _TOP_WIDTH, n)
        pt = self._transverse_momentum(rng, n)
        partons = self.shower.run(rng, np.full(n, TOP), self.widest * pt, mass)
        tops = partons.kind == TOP
        cluster = self.hadronisation.cluster_masses(rng, partons.kind)
        cluster[tops] = mass[partons.jet[tops]]
        p = self._along_x(partons, cluster, pt)
        top = np.empty((n, 4))
        top[partons.jet[tops]] = p[tops]

        event, momenta, decay = self._decayed(rng, mass, top)
        possible = ~np.isnan(decay.sum(axis=(1, 2)))
        number = np.cumsum(possible) - 1
        everything = np.concatenate([partons.jet[~tops], event])
        p = np.concatenate([p[~tops], momenta])
        kept = possible[everything]
        return self._around(rng, number[everything[kept]], p[kept], decay[possible])

    def _transverse_momentum(self, rng: np.random.Generator, n: int) -> Floats:
        low, high = self.lowest_pt ** (1 - self.power), self.highest_pt ** (1 - self.power)
        pt: Floats = rng.uniform(high, low, n) ** (1 / (1 - self.power))
        return pt

    @staticmethod
    def _along_x(partons: Partons, mass: Floats, pt: Floats) -> Floats:
        axis = np.tile([1.0, 0.0, 0.0], (len(pt), 1))
        return placed(partons, mass, jet_masses(partons, mass, len(pt)), axis, pt)

    def _around(self, rng: np.random.Generator, event: Ints, p: Floats, decay: Floats) -> HardPartons:
        """Add what the protons radiate, and give every event a rapidity and an azimuth."""
        n = len(decay)
        others = np.repeat(np.arange(n), rng.poisson(self.initial, n))
        event, p = np.concatenate([event, others]), np.concatenate([p, self._radiation(rng, len(others))])
        rapidity, phi = np.clip(rng.normal(0, 1.0, n), -2.6, 2.6), rng.uniform(0, 2 * np.pi, n)
        decay = turned(decay.reshape(-1, 4), np.repeat(rapidity, 4), np.repeat(phi, 4)).reshape(n, 4, 4)
        return HardPartons(event, turned(p, rapidity[event], phi[event]), decay)

    def _radiation(self, rng: np.random.Generator, n: int) -> Floats:
        """Return clusters of gluons around x, as many in each unit of ln pT."""
        pt = _SOFTEST * np.exp(rng.random(n) * np.log(_HARDEST / _SOFTEST))
        mass = self.hadronisation.cluster_masses(rng, np.full(n, GLUON))
        transverse = np.hypot(pt, mass)
        rapidity, phi = rng.uniform(-_NEAR, _NEAR, (2, n))
        columns = [
            transverse * np.cosh(rapidity),
            pt * np.cos(phi),
            pt * np.sin(phi),
            transverse * np.sinh(rapidity),
        ]
        return np.stack(columns, axis=1)

    def _showered(
        self, rng: np.random.Generator, kind: Ints, scale: Floats
    ) -> tuple[Partons, Floats, Floats]:
        """Return partons, their masses, and the masses of the jets."""
        mass = np.where(kind == BOTTOM, _B_MASS, 0.0)
        partons = self.shower.run(rng, kind, scale, mass)
        cluster = self.hadronisation.cluster_masses(rng, partons.kind)
        return partons, cluster, jet_masses(partons, cluster, len(kind))

    def _decayed(self, rng: np.random.Generator, mass: Floats, top: Floats) -> tuple[Ints, Floats, Floats]:
        """Let tops decay and their quarks shower.

        Returns
        -------
        array of int64, array of float, array of float of shape (n, 4, 4)
            Event and momentum of every cluster; momenta of top, b, q, q'. NaN where it was not possible.
        """
        n = len(mass)
        w_mass = breit_wigner(rng, _W_MASS, _W_WIDTH, n)
        # The largest scale is that at which the softer of two equal partons reaches the largest kT.
        b, b_cluster, b_mass = self._showered(rng, np.full(n, BOTTOM), mass * (1 - (w_mass / mass) ** 2))
        q, q_cluster, q_mass = self._showered(rng, np.full(2 * n, LIGHT), np.tile(w_mass, 2))

        with np.errstate(invalid="ignore"):
            along = isotropic(rng, n)
            in_top = two_body_momentum(mass, b_mass, w_mass)
            w = np.concatenate([np.hypot(w_mass, in_top)[:, None], in_top[:, None] * along], axis=1)
            direction = self._w_decay(rng, along)
            in_w = two_body_momentum(w_mass, q_mass[:n], q_mass[n:])
            in_w2 = np.tile(in_w, 2)
            q_p = placed(q, q_cluster, q_mass, np.concatenate([direction, -direction]), in_w2)
            event = q.jet % n
            q_p = boosted(boosted(q_p, w[event]), top[event])
            b_p = boosted(placed(b, b_cluster, b_mass, -along, in_top), top[b.jet])
            decay = np.stack(
                [
                    top,
                    top - boosted(w, top),
                    *(sums(event[part], q_p[part], n) for part in (q.jet < n, q.jet >= n)),
                ],
                axis=1,
            )
        b_p = self.hadronisation.without_neutrinos(rng, b.kind, b_p)
        return np.concatenate([b.jet, event]), np.concatenate([b_p, q_p]), decay

    @staticmethod
    def _w_decay(rng: np.random.Generator, along: Floats) -> Floats:
        """Return the direction of one quark in the rest frame of the W, as its polarisation has it."""
        n = len(along)
        # sin^2 about the W's direction for a longitudinal W, (1 - cos)^2 for a left-handed one.
        longitudinal = 2 * rng.beta(2, 2, n) - 1
        left = 1 - 2 * np.cbrt(rng.random(n))
        cosine = np.where(rng.random(n) < _LONGITUDINAL, longitudinal, left)
        across = isotropic(rng, n)
        across -= (across * along).sum(axis=1, keepdims=True) * along
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        direction: Floats = cosine[:, None] * along + np.sqrt(1 - cosine**2)[:, None] * across
        return direction

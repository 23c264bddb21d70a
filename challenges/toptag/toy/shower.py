"""An angular-ordered parton shower of many jets at once.

The evolution variable q of a branching, in GeV, is the parent's energy times the opening angle where that is
small: the variable of S. Gieseke, P. Stephens and B. Webber, JHEP 12 (2003) 045, arXiv:hep-ph/0310083. With z
the share of the first daughter, the transverse momentum kT of a branching obeys

    kT^2 = z^2 (1 - z)^2 q^2 - (1 - z)^2 m^2        (m: mass of a radiating quark, else 0)

and the daughters go on at z q and (1 - z) q, so that angles shrink. Branchings are drawn with the splitting
functions and a running coupling at kT, by the veto method, down to a smallest kT. Momenta are written as

    p = alpha p0 + beta n + k        (p0: along the jet's axis, n: against it, k: across)

where alpha and k are shared out at every branching, and beta follows from the masses at the end. So every
branching conserves momentum, and a jet is put to any momentum along its axis afterwards: see `placed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["BOTTOM", "GLUON", "LIGHT", "TOP", "Partons", "Shower", "jet_masses", "placed", "running_coupling"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GLUON, LIGHT, BOTTOM, TOP = 0, 1, 2, 3
"""Kinds of partons. A quark and its antiquark are alike here."""

_CF, _CA, _TR, _FLAVOURS = 4 / 3, 3.0, 0.5, 5
_Z_MASS = 91.19


class Partons(NamedTuple):
    """Partons of many jets; one row is one parton.

    `jet` numbers the parton that began the shower, `alpha` is the share of its momentum, and `kx`, `ky` are
    the momentum across its axis in GeV.
    """

    jet: Ints
    kind: Ints
    alpha: Floats
    kx: Floats
    ky: Floats

    def select(self, rows: NDArray[np.bool_] | Ints) -> Partons:
        """Return some of the partons."""
        return Partons._make(column[rows] for column in self)


class _Active(NamedTuple):
    """Partons that may still branch: below the scale `q`; `width` is the integral of what is drawn from."""

    jet: Ints
    kind: Ints
    alpha: Floats
    kx: Floats
    ky: Floats
    q: Floats
    mass: Floats
    edge: Floats
    width: Floats

    def select(self, rows: NDArray[np.bool_]) -> _Active:
        return _Active._make(column[rows] for column in self)


def running_coupling(kt_squared: Floats, alpha_mz: float) -> Floats:
    """Return the strong coupling in one loop with five flavours at `kt_squared` (GeV^2)."""
    slope = (33 - 2 * _FLAVOURS) / (12 * np.pi)
    coupling: Floats = alpha_mz / (1 + slope * alpha_mz * np.log(kt_squared / _Z_MASS**2))
    return coupling


@dataclass(frozen=True)
class Shower:
    """The shower's numbers.

    Parameters
    ----------
    alpha_mz : float
        Strong coupling at the Z mass.
    smallest_kt : float
        kT in GeV below which a branching is left to hadronisation.
    """

    alpha_mz: float = 0.116
    smallest_kt: float = 0.4

    def run(self, rng: np.random.Generator, kind: Ints, scale: Floats, mass: Floats) -> Partons:
        """Let partons shower.

        Parameters
        ----------
        kind : array of int64, shape (n,)
            Of `GLUON`, `LIGHT`, `BOTTOM` and `TOP`.
        scale : array of float, shape (n,)
            Where the evolution begins, in GeV: about the energy times the largest angle.
        mass : array of float, shape (n,)
            In GeV; 0 for gluons and light quarks.

        Returns
        -------
        Partons
            What is there at the end, jet by jet in no particular order. Within a jet `alpha` sums to 1, `kx`
            and `ky` to 0.
        """
        n = len(kind)
        zero = np.zeros(n)
        active = self._awake(np.arange(n), kind, np.ones(n), zero, zero, scale, mass)
        ended: list[Partons] = []
        largest = float(running_coupling(np.array(self.smallest_kt**2), self.alpha_mz)) / (2 * np.pi)
        while True:
            going = active.q > self._floor(active.mass)
            ended.append(Partons._make(active.select(~going)[:5]))
            active = active.select(going)
            if not len(active.q):
                break
            active = self._step(rng, active, largest)
        return Partons._make(np.concatenate(columns) for columns in zip(*ended, strict=True))

    def _floor(self, mass: Floats) -> Floats:
        """Return the scale below which no z gives the smallest kT."""
        # For a massive quark kT > 0 needs z q > m besides.
        return np.maximum(4 * self.smallest_kt, mass)

    def _awake(
        self, jet: Ints, kind: Ints, alpha: Floats, kx: Floats, ky: Floats, q: Floats, mass: Floats
    ) -> _Active:
        """Return partons ready to branch below q, with the range of z that they draw from."""
        # z (1 - z) q >= kT: no z nearer to 0 or 1 than this.
        edge = np.minimum(self.smallest_kt / np.maximum(q, self.smallest_kt), 0.5)
        soft = 2 * np.log((1 - edge) / edge)
        width = np.where(kind == GLUON, _CA * soft + _FLAVOURS * _TR * (1 - 2 * edge), _CF * soft)
        return _Active(jet, kind, alpha, kx, ky, q, mass, edge, np.maximum(width, 1e-9))

    def _step(self, rng: np.random.Generator, a: _Active, largest: float) -> _Active:
        """Lower every scale to the next proposed branching, and branch where it is accepted."""
        n = len(a.q)
        # The next of a process with rate largest * width per unit of ln q^2.
        q = a.q * np.exp(-rng.exponential(size=n) / (2 * largest * a.width))
        # 1 / (1 - z) between the edges; of g -> q qbar z is drawn flat.
        ratio = (1 - a.edge) / a.edge
        u = rng.random(n)
        z = 1 - a.edge * ratio**u
        gluon = a.kind == GLUON
        splits = gluon & (rng.random(n) * a.width < _FLAVOURS * _TR * (1 - 2 * a.edge))
        z = np.where(splits, a.edge + u * (1 - 2 * a.edge), z)
        rest = z * (1 - z)
        kt2 = (rest * q) ** 2 - ((1 - z) * a.mass) ** 2
        # Ratios of the splitting functions to what z was drawn from. That of g -> g g is symmetric, so one
        # of its two poles stands for both.
        chance = np.where(gluon, (1 - rest) ** 2, (1 + z**2) / 2 - (a.mass / q) ** 2 / z)
        chance[splits] = (1 - 2 * rest)[splits]
        allowed = kt2 > self.smallest_kt**2
        coupling = running_coupling(np.where(allowed, kt2, 1e4), self.alpha_mz) / (2 * np.pi)
        branch = allowed & (rng.random(n) < chance * coupling / largest)
        kept = a._replace(q=q).select(~branch)
        if not branch.any():
            return kept
        return _joined(
            kept, *self._daughters(rng, a.select(branch), q[branch], z[branch], kt2[branch], splits[branch])
        )

    def _daughters(
        self,
        rng: np.random.Generator,
        a: _Active,
        q: Floats,
        z: Floats,
        kt2: Floats,
        splits: NDArray[np.bool_],
    ) -> tuple[_Active, _Active]:
        kt, phi = np.sqrt(kt2), rng.uniform(0, 2 * np.pi, len(q))
        dx, dy = kt * np.cos(phi), kt * np.sin(phi)
        kind = np.where(splits, LIGHT, a.kind)
        other = np.where(splits, LIGHT, GLUON)
        first = self._awake(a.jet, kind, z * a.alpha, z * a.kx + dx, z * a.ky + dy, z * q, a.mass)
        w = 1 - z
        none = np.zeros(len(q))
        second = self._awake(a.jet, other, w * a.alpha, w * a.kx - dx, w * a.ky - dy, w * q, none)
        return first, second


def _joined(*parts: _Active) -> _Active:
    return _Active._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def jet_masses(partons: Partons, mass: Floats, n_jets: int) -> Floats:
    """Return the mass of every showered jet in GeV, given the masses of its partons."""
    square = np.bincount(partons.jet, (mass**2 + partons.kx**2 + partons.ky**2) / partons.alpha, n_jets)
    masses: Floats = np.sqrt(square)
    return masses


def placed(partons: Partons, mass: Floats, jet_mass: Floats, axis: Floats, momentum: Floats) -> Floats:
    """Return four-momenta of partons such that jet i has the mass and the momentum that are asked for.

    Parameters
    ----------
    mass : array of float, shape (m,)
        Masses of the partons in GeV.
    jet_mass : array of float, shape (n,)
        As `jet_masses` gives them for these masses.
    axis : array of float, shape (n, 3)
        Unit vectors along the momenta of the jets.
    momentum : array of float, shape (n,)
        Their lengths in GeV.

    Returns
    -------
    array of float, shape (m, 4)
        E, px, py, pz.
    """
    plus = (np.hypot(jet_mass, momentum) + momentum)[partons.jet] * partons.alpha
    minus = (mass**2 + partons.kx**2 + partons.ky**2) / plus
    first, second = _across(axis)
    jet = partons.jet
    result = np.empty((len(jet), 4))
    result[:, 0] = (plus + minus) / 2
    along = (plus - minus) / 2
    for i in range(3):
        result[:, 1 + i] = along * axis[jet, i] + partons.kx * first[jet, i] + partons.ky * second[jet, i]
    return result


def _across(axis: Floats) -> tuple[Floats, Floats]:
    """Return two unit vectors that are at right angles with each axis and with each other."""
    # From the one of x and z that is farther from the axis, so that nothing small is divided by.
    steep = np.abs(axis[:, 2]) > 0.7
    helper = np.stack([steep.astype(float), np.zeros(len(axis)), (~steep).astype(float)], axis=1)
    first = np.cross(axis, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return first, np.cross(axis, first)

"""Momenta of three-body decays, and the two ways in which the published columns give the mass away.

Masses, momenta and energies are in MeV, lengths in mm, times in ns. Arrays of four-momenta have the shape
(4, n) with the rows E, px, py, pz; z is the beam.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "DS_MASS",
    "LIGHT_SPEED",
    "MUON_MASS",
    "PHI_MASS",
    "PION_MASS",
    "TAU_MASS",
    "boost",
    "invariant_mass",
    "mass_from_lifetime",
    "mass_from_momenta",
    "momentum",
    "phase_space_decay",
    "resonance_decay",
    "transverse",
]

Floats = NDArray[np.float64]

LIGHT_SPEED = 299.792458
"""mm per ns."""
MUON_MASS = 105.6583755
PION_MASS = 139.57039
PHI_MASS = 1019.461
TAU_MASS = 1776.93
DS_MASS = 1968.35

_PAIR_MASS_STEPS = 200


def momentum(pt: ArrayLike, eta: ArrayLike, phi: ArrayLike, mass: ArrayLike) -> Floats:
    """Return the four-momenta, shape (4, n), of particles given by pt, pseudorapidity and azimuth."""
    pt, eta, phi, mass = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (pt, eta, phi, mass)))
    energy = np.sqrt(np.square(pt * np.cosh(eta)) + np.square(mass))
    return np.stack([energy, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])


def transverse(p: Floats) -> Floats:
    """Return the transverse momentum of four-momenta."""
    return np.asarray(np.hypot(p[1], p[2]))


def invariant_mass(p: Floats) -> Floats:
    """Return the mass of four-momenta; 0 where rounding makes its square negative."""
    square = p[0] ** 2 - p[1] ** 2 - p[2] ** 2 - p[3] ** 2
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))


def boost(p: Floats, parent: Floats) -> Floats:
    """Bring `p` from the rest frame of `parent` into the frame in which `parent` is given."""
    mass = invariant_mass(parent)
    along = p[1] * parent[1] + p[2] * parent[2] + p[3] * parent[3]
    shift = (along / (parent[0] + mass) + p[0]) / mass
    return np.stack([(p[0] * parent[0] + along) / mass, *(p[i] + shift * parent[i] for i in (1, 2, 3))])


def _break_up(mass: Floats, first: ArrayLike, second: ArrayLike) -> Floats:
    """Return the momentum of both daughters in the rest frame; 0 below threshold."""
    total, gap = np.add(first, second), np.subtract(first, second)
    product = (mass**2 - total**2) * (mass**2 - gap**2)
    return np.asarray(np.sqrt(np.maximum(product, 0.0)) / (2.0 * mass))


def _two_body(
    rng: np.random.Generator, parent: Floats, first: ArrayLike, second: ArrayLike
) -> tuple[Floats, Floats]:
    """Decay `parent` isotropically into two particles of given masses."""
    n = parent.shape[1]
    size = _break_up(invariant_mass(parent), first, second)
    cosine, phi = rng.uniform(-1.0, 1.0, n), rng.uniform(-np.pi, np.pi, n)
    across = size * np.sqrt(1.0 - cosine**2)
    space = np.stack([across * np.cos(phi), across * np.sin(phi), size * cosine])
    pair = [
        np.concatenate([np.sqrt(size**2 + np.square(mass))[np.newaxis], sign * space])
        for mass, sign in ((first, 1.0), (second, -1.0))
    ]
    return boost(pair[0], parent), boost(pair[1], parent)


def phase_space_decay(rng: np.random.Generator, parent: Floats) -> tuple[Floats, Floats, Floats]:
    """Decay `parent` into three muons, uniformly in phase space.

    The mass of the pair of the first two is drawn in proportion to the product of both break-up momenta;
    its distribution, as a fraction of the allowed range, is that of the mean mass of the parents, which
    is close enough for parents whose masses differ by a tenth.

    Parameters
    ----------
    rng : numpy.random.Generator
    parent : array of shape (4, n)
        Of masses above three muon masses.
    """
    mass = invariant_mass(parent)
    low, high = 2.0 * MUON_MASS, mass - MUON_MASS
    fraction = (np.arange(_PAIR_MASS_STEPS) + 0.5) / _PAIR_MASS_STEPS
    typical = np.full(_PAIR_MASS_STEPS, mass.mean())
    pair = low + fraction * (typical - MUON_MASS - low)
    weight = _break_up(typical, pair, MUON_MASS) * _break_up(pair, MUON_MASS, MUON_MASS)
    cumulated = np.concatenate([[0.0], np.cumsum(weight)]) / weight.sum()
    drawn = np.interp(rng.random(mass.size), cumulated, np.linspace(0.0, 1.0, _PAIR_MASS_STEPS + 1))
    both, third = _two_body(rng, parent, low + drawn * (high - low), MUON_MASS)
    first, second = _two_body(rng, both, MUON_MASS, MUON_MASS)
    return first, second, third


def resonance_decay(rng: np.random.Generator, parent: Floats) -> tuple[Floats, Floats, Floats]:
    """Decay `parent` (a Ds) into phi and pion and the phi into two muons; pion, muon, muon are returned.

    Angles are isotropic at both steps: the polarisation of the phi is left out, as is its width.
    """
    phi, pion = _two_body(rng, parent, PHI_MASS, PION_MASS)
    first, second = _two_body(rng, phi, MUON_MASS, MUON_MASS)
    return pion, first, second


def mass_from_momenta(columns: Mapping[str, ArrayLike]) -> Floats:
    """Return the mass of three muons from the published columns alone; 0 where they contradict a mass.

    ``m^2 = (sum E_i)^2 - (sum pz_i)^2 - pt^2`` with ``E_i^2 = p_i^2 + m_mu^2``, ``pz_i = pt_i sinh eta_i``.
    No azimuth is published, but the transverse momentum `pt` of the candidate is. On the published
    correlation sample half of the values lie within 5 MeV of `mass`.

    Parameters
    ----------
    columns : mapping
        With `pt` and, for i = 0, 1, 2, `p{i}_p`, `p{i}_pt`, `p{i}_eta`; a DataFrame will do.
    """
    energy = sum(np.sqrt(np.square(np.asarray(columns[f"p{i}_p"])) + MUON_MASS**2) for i in range(3))
    square = np.square(energy) - np.square(_longitudinal(columns)) - np.square(np.asarray(columns["pt"]))
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))


def mass_from_lifetime(columns: Mapping[str, ArrayLike]) -> Floats:
    """Return the mass that makes `LifeTime` the proper time of `FlightDistance`: ``p c t / d``.

    On the published correlation sample half of the values lie within 9 MeV of `mass`.

    Parameters
    ----------
    columns : mapping
        With `LifeTime`, `FlightDistance`, `pt` and, for i = 0, 1, 2, `p{i}_pt`, `p{i}_eta`.
    """
    size = np.hypot(_longitudinal(columns), np.asarray(columns["pt"]))
    time, distance = np.asarray(columns["LifeTime"]), np.asarray(columns["FlightDistance"])
    return np.asarray(size * LIGHT_SPEED * time / distance)


def _longitudinal(columns: Mapping[str, ArrayLike]) -> Floats:
    parts = [np.asarray(columns[f"p{i}_pt"]) * np.sinh(np.asarray(columns[f"p{i}_eta"])) for i in range(3)]
    return np.asarray(parts[0] + parts[1] + parts[2])

"""Four-momenta of many particles at once: arrays of shape (n, 4) with E, px, py, pz in GeV."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "boosted",
    "breit_wigner",
    "distances",
    "isotropic",
    "masses",
    "sums",
    "turned",
    "two_body_momentum",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def masses(p: Floats) -> Floats:
    """Return invariant masses; 0 where rounding makes the square negative."""
    square = p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1)
    result: Floats = np.sqrt(np.maximum(square, 0))
    return result


def _eta_phi(p: Floats) -> tuple[Floats, Floats]:
    pt = np.maximum(np.hypot(p[..., 1], p[..., 2]), 1e-9)
    return np.arcsinh(p[..., 3] / pt), np.arctan2(p[..., 2], p[..., 1])


def distances(p: Floats, axis: Floats) -> Floats:
    """Return the distances in pseudorapidity and azimuth of momenta, shape (..., 4), from axes that fit."""
    (eta, phi), (axis_eta, axis_phi) = _eta_phi(p), _eta_phi(axis)
    turn = np.abs(phi - axis_phi)
    distance: Floats = np.hypot(eta - axis_eta, np.minimum(turn, 2 * np.pi - turn))
    return distance


def sums(event: Ints, p: Floats, n: int) -> Floats:
    """Return the summed momentum of each of n events, shape (n, 4)."""
    return np.stack([np.bincount(event, p[:, i], n) for i in range(4)], axis=1)


def two_body_momentum(mass: Floats, first: Floats, second: Floats) -> Floats:
    """Return the momentum of both bodies into which a mass at rest decays; NaN if they are too heavy."""
    square = (mass**2 - (first + second) ** 2) * (mass**2 - (first - second) ** 2)
    possible = mass > first + second
    result: Floats = np.where(possible, np.sqrt(np.maximum(square, 0)) / (2 * mass), np.nan)
    return result


def isotropic(rng: np.random.Generator, n: int) -> Floats:
    """Return n unit vectors without a preferred direction."""
    cosine, phi = rng.uniform(-1, 1, n), rng.uniform(0, 2 * np.pi, n)
    sine = np.sqrt(1 - cosine**2)
    return np.stack([sine * np.cos(phi), sine * np.sin(phi), cosine], axis=1)


def boosted(p: Floats, frame: Floats) -> Floats:
    """Bring momenta from the rest frame of `frame` into the frame in which `frame` is given.

    Parameters
    ----------
    p, frame : array of float, shape (n, 4)
        Row i of the one belongs to row i of the other.
    """
    mass = masses(frame)
    product = (p[:, 1:] * frame[:, 1:]).sum(axis=1)
    result = np.empty_like(p)
    result[:, 0] = (frame[:, 0] * p[:, 0] + product) / mass
    factor = (product / (frame[:, 0] + mass) + p[:, 0]) / mass
    result[:, 1:] = p[:, 1:] + factor[:, None] * frame[:, 1:]
    return result


def turned(p: Floats, rapidity: Floats, phi: Floats) -> Floats:
    """Boost momenta along z by a rapidity and turn them about z by an angle."""
    cosh, sinh = np.cosh(rapidity), np.sinh(rapidity)
    cos, sin = np.cos(phi), np.sin(phi)
    return np.stack(
        [
            cosh * p[:, 0] + sinh * p[:, 3],
            cos * p[:, 1] - sin * p[:, 2],
            sin * p[:, 1] + cos * p[:, 2],
            sinh * p[:, 0] + cosh * p[:, 3],
        ],
        axis=1,
    )


def breit_wigner(rng: np.random.Generator, mass: float, width: float, n: int) -> Floats:
    """Return masses from a Breit-Wigner curve that is cut off ten widths from its peak."""
    edge = np.arctan(20.0)
    return mass + width / 2 * np.tan(rng.uniform(-edge, edge, n))

"""Charged particles of a toy event as they leave their vertices: a top pair and minimum-bias collisions.

The numbers are fits to the published particles of three events (1000, 1001 and 1039); the comparison is in
`docs/trackml_toy.md`. Lengths in mm, momenta and masses in GeV.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "MASSES",
    "MAX_ETA",
    "MIN_PT",
    "Particles",
    "concatenate",
    "encode_ids",
    "generate_primaries",
    "mass_of",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MIN_PT = 0.1
"""Particles below are not listed in the published files, nor here."""
MAX_ETA = 4.0

PION, KAON, PROTON, K_SHORT, LAMBDA = 211, 321, 2212, 310, 3122
MASSES = {PION: 0.13957, KAON: 0.49368, PROTON: 0.93827, K_SHORT: 0.49761, LAMBDA: 1.11568}

# Decay lengths c * tau of K0s and Lambda.
_C_TAU = {K_SHORT: 26.84, LAMBDA: 78.9}

BEAM_WIDTH = 0.0147
BEAM_LENGTH = 5.6

# Particles per minimum-bias collision: log-normal. The published ids leave gaps for collisions without any.
_MEDIAN_COUNT, _COUNT_SPREAD, _MAX_COUNT = 37.0, 0.9, 300
_EMPTY = 0.28
_EVENT_SPREAD = 0.1
HARD_COUNT = 245.0
"""Mean particles of the top pair's collision."""
# Hits for each particle of a collision, those of its secondaries included.
_HITS_OF_HARD, _HITS_OF_SOFT = 11.3, 10.3

# Transverse momenta: dN/dpT ~ pT (1 + (mT - m) / (n T))^-n, with the pion's mass for all.
_TSALLIS_N, _TSALLIS_T = 6.66, 0.157

_SHARE_OF_V0 = 0.053
"""Decaying K0s and Lambdas for each charged particle from the vertex; a few daughters are too soft."""
_SHARE_OF_LAMBDA = 0.2
_HEAVY_SHARE, _HEAVY_LENGTH = 0.03, 0.6
_JETS, _JET_SHARE, _JET_WIDTH = 6, 0.2, 0.25


class Particles(NamedTuple):
    """Charged particles at production.

    Parameters
    ----------
    vertex, primary, generation, secondary, process : arrays of int64, shape (n,)
        The fields of the published particle ids.
    pdg : array of int64, shape (n,)
        The code of the kind, negative for negative particles.
    position, momentum : arrays, shape (n, 3)
        In mm and GeV.
    """

    vertex: Ints
    primary: Ints
    generation: Ints
    secondary: Ints
    process: Ints
    pdg: Ints
    position: Floats
    momentum: Floats

    @property
    def charge(self) -> Ints:
        return np.sign(self.pdg)

    def take(self, index: npt.NDArray[np.generic]) -> Particles:
        """Return some of the particles, by a mask or by indices."""
        return Particles._make(column[index] for column in self)


def concatenate(parts: list[Particles]) -> Particles:
    """Return the particles of all parts, one after the other."""
    return Particles._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def mass_of(pdg: Ints) -> Floats:
    """Return the mass of every particle from its code."""
    return np.select([np.abs(pdg) == code for code in MASSES], list(MASSES.values()), 0.0)


def encode_ids(p: Particles) -> Ints:
    """Return the published form of particle ids.

    From the highest bit: vertex (12 bits), primary (16), generation, secondary and process (12 each).
    """
    return p.vertex << 52 | p.primary << 36 | p.generation << 24 | p.secondary << 12 | p.process


def _tsallis_pt(rng: np.random.Generator, n: int, low: float = MIN_PT) -> Floats:
    grid = np.geomspace(low, 100.0, 3000)
    mass = MASSES[PION]
    density = grid * (1 + (np.hypot(grid, mass) - mass) / (_TSALLIS_N * _TSALLIS_T)) ** -_TSALLIS_N
    total = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))))
    return np.interp(rng.random(n), total / total[-1], grid)


def _momenta(pt: Floats, eta: Floats, phi: Floats) -> Floats:
    return np.column_stack((pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)))


def _hard_momenta(rng: np.random.Generator, n: int) -> Floats:
    """Momenta in the top pair's collision: more central and harder than others, a part of them in jets."""
    # The density of |eta| falls linearly from 0.37 to 0.13 at 4.
    a, b = 0.37, 0.06
    eta = (a - np.sqrt(a * a - 2 * b * rng.random(n))) / b * rng.choice([-1.0, 1.0], n)
    phi = rng.uniform(-np.pi, np.pi, n)
    pt = np.maximum(0.72 * np.exp(0.85 * rng.standard_normal(n)), MIN_PT * (1 + rng.random(n)))
    jet_eta, jet_phi = rng.normal(0.0, 1.2, _JETS), rng.uniform(-np.pi, np.pi, _JETS)
    jet = rng.integers(0, _JETS, n)
    inside = rng.random(n) < _JET_SHARE
    pt = np.where(inside, 3.2 * np.exp(1.1 * rng.standard_normal(n)), pt)
    # Harder particles are nearer to the axis.
    width = _JET_WIDTH / np.sqrt(1 + pt)
    eta = np.where(inside, jet_eta[jet] + width * rng.standard_normal(n), eta)
    phi = np.where(inside, jet_phi[jet] + width * rng.standard_normal(n), phi)
    return _momenta(np.clip(pt, MIN_PT, 150.0), np.clip(eta, -MAX_ETA, MAX_ETA), phi)


def _isotropic(rng: np.random.Generator, n: int) -> Floats:
    """Unit vectors, shape (n, 3)."""
    cosine, phi = rng.uniform(-1, 1, n), rng.uniform(-np.pi, np.pi, n)
    sine = np.sqrt(1 - cosine * cosine)
    return np.column_stack((sine * np.cos(phi), sine * np.sin(phi), cosine))


def _v0_decays(rng: np.random.Generator, n: int, hard: bool) -> tuple[Floats, Floats, Ints]:
    """Return flight vectors, momenta and codes of the daughters of `n` K0s or Lambdas, pair after pair."""
    is_lambda = rng.random(n) < _SHARE_OF_LAMBDA
    anti = np.where(is_lambda, rng.choice([-1, 1], n), 1)
    mass = np.where(is_lambda, MASSES[LAMBDA], MASSES[K_SHORT])
    if hard:
        momentum = _hard_momenta(rng, n) * 1.3
    else:
        momentum = _momenta(
            _tsallis_pt(rng, n, 0.25) * 1.25, rng.uniform(-MAX_ETA, MAX_ETA, n), rng.uniform(-np.pi, np.pi, n)
        )
    c_tau = np.where(is_lambda, _C_TAU[LAMBDA], _C_TAU[K_SHORT])
    flight = momentum / mass[:, None] * (c_tau * rng.standard_exponential(n))[:, None]
    # Two bodies at rest, then boosted along the parent.
    first_mass = np.where(is_lambda, MASSES[PROTON], MASSES[PION])
    second_mass = MASSES[PION]
    e1 = (mass**2 + first_mass**2 - second_mass**2) / (2 * mass)
    p1 = np.sqrt(e1**2 - first_mass**2)[:, None] * _isotropic(rng, n)
    energy = np.sqrt((momentum**2).sum(axis=1) + mass**2)
    beta_gamma, gamma = momentum / mass[:, None], energy / mass
    daughters = []
    for sign, rest_energy in ((1.0, e1), (-1.0, mass - e1)):
        p = sign * p1
        along = (beta_gamma * p).sum(axis=1) / (gamma + 1) + rest_energy
        daughters.append(p + beta_gamma * along[:, None])
    code1 = np.where(is_lambda, anti * PROTON, PION)
    code2 = np.where(is_lambda, -anti * PION, -PION)
    return (
        np.repeat(flight, 2, axis=0),
        np.stack(daughters, axis=1).reshape(-1, 3),
        np.column_stack((code1, code2)).reshape(-1),
    )


def _pileup_counts(rng: np.random.Generator, mean: float) -> Ints:
    """Return the particles of each minimum-bias collision; the sum varies by a tenth about its mean."""
    total = round(mean * max(1 + _EVENT_SPREAD * rng.standard_normal(), 0.0))
    # Collisions of less than a particle on average do not come: these are enough.
    drawn = _COUNT_SPREAD * rng.standard_normal(total + 1)
    counts = np.clip(np.rint(_MEDIAN_COUNT * np.exp(drawn)), 1, _MAX_COUNT).astype(np.int64)
    sums = np.cumsum(counts)
    n = int(np.searchsorted(sums, total))
    # The last collision gets what is left of the sum.
    left = total - int(sums[n - 1]) if n else total
    return np.append(counts[:n], left) if left else counts[:n]


def generate_primaries(rng: np.random.Generator, n_hits: float) -> Particles:
    """Return the charged particles of one event that come from its collisions or from decays near them.

    The first collision makes a top pair, the others are minimum bias, as many as are needed.

    Parameters
    ----------
    rng : Generator
    n_hits : float
        Expected number of hits of the particles and all that they make. Where it is small the top pair's
        collision shrinks, so that it makes no more than half of the hits.
    """
    hard_mean = min(HARD_COUNT, 0.5 * n_hits / _HITS_OF_HARD)
    # Top pairs vary less than minimum bias.
    hard_count = round(hard_mean * np.exp(0.2 * rng.standard_normal() - 0.02))
    counts = np.concatenate(
        ([hard_count], _pileup_counts(rng, (n_hits - hard_mean * _HITS_OF_HARD) / _HITS_OF_SOFT))
    )
    n_pileup = len(counts) - 1
    gaps = rng.geometric(1 - _EMPTY, n_pileup)
    vertex_ids = np.concatenate(([1], 1 + np.cumsum(gaps)))
    where = np.column_stack(
        (
            rng.normal(0.0, BEAM_WIDTH, (n_pileup + 1, 2)),
            rng.normal(0.0, BEAM_LENGTH, n_pileup + 1),
        )
    )
    parts = []
    for hard in (True, False):
        chosen = np.arange(0, 1) if hard else np.arange(1, n_pileup + 1)
        # V0 daughters are part of a collision's count.
        n_v0 = rng.poisson(counts[chosen] * _SHARE_OF_V0)
        prompt = np.repeat(chosen, np.maximum(counts[chosen] - 2 * n_v0, 0))
        n = len(prompt)
        if hard:
            momentum = _hard_momenta(rng, n)
            # Charm and beauty fly a little.
            length = np.where(rng.random(n) < _HEAVY_SHARE, rng.exponential(_HEAVY_LENGTH, n), 0.0)
            direction = momentum / np.linalg.norm(momentum, axis=1, keepdims=True)
            offset = length[:, None] * direction
        else:
            momentum = _momenta(
                _tsallis_pt(rng, n), rng.uniform(-MAX_ETA, MAX_ETA, n), rng.uniform(-np.pi, np.pi, n)
            )
            offset = np.zeros((n, 3))
        kind = rng.choice([PION, KAON, PROTON], n, p=[0.855, 0.085, 0.06])
        pdg = kind * rng.choice([-1, 1], n)
        v0 = np.repeat(chosen, n_v0)
        flight, v0_momentum, v0_pdg = _v0_decays(rng, len(v0), hard)
        vertex = np.concatenate((prompt, np.repeat(v0, 2)))
        parts.append(
            (
                vertex,
                np.concatenate((offset, flight)),
                np.concatenate((momentum, v0_momentum)),
                np.concatenate((pdg, v0_pdg)),
            )
        )
    vertex, offset, momentum, pdg = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    pt = np.hypot(momentum[:, 0], momentum[:, 1])
    keep = (pt >= MIN_PT) & (np.abs(momentum[:, 2]) <= pt * np.sinh(MAX_ETA) * (1 + 1e-12))
    vertex, offset, momentum, pdg = vertex[keep], offset[keep], momentum[keep], pdg[keep]
    # In the published files the number of a primary counts neutral particles, too: leave gaps.
    order = np.lexsort((rng.random(len(vertex)), vertex))
    vertex, offset, momentum, pdg = vertex[order], offset[order], momentum[order], pdg[order]
    steps = rng.geometric(0.45, len(vertex))
    total = np.cumsum(steps)
    first = np.searchsorted(vertex, vertex)
    primary = total - total[first] + steps[first]
    zero = np.zeros(len(vertex), dtype=np.int64)
    return Particles(vertex_ids[vertex], primary, zero, zero, zero, pdg, where[vertex] + offset, momentum)

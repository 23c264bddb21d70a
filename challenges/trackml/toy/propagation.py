"""Particles on helices through the layers of the detector, with scattering, energy loss and interactions.

The field is 2 T everywhere, along z. Material is thin: everything a layer does to a particle happens where
the particle crosses the layer's cylinder or plane, after its modules have measured it. Lengths in mm, momenta
and energies in GeV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hepchallenge.challenges.trackml.toy.geometry import layers
from hepchallenge.challenges.trackml.toy.particles import (
    MIN_PT,
    PION,
    PROTON,
    Particles,
    concatenate,
    mass_of,
)

__all__ = ["FIELD", "GEV_PER_MM", "Crossings", "Physics", "helix_points", "propagate"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FIELD = 2.0
"""Tesla. The field of the published events is as strong in the centre, but falls towards the ends."""
GEV_PER_MM = 0.299792458e-3 * FIELD
"""Transverse momentum of a unit charge that bends with a radius of 1 mm."""

FOLLOWED_PT = 0.15
"""Softer particles are listed but not followed: they leave no hits, as in the published events."""

_HALF_TURN = np.pi
_NUMBER_OF_GENERATIONS = 5


@dataclass(frozen=True)
class Physics:
    """What matter does; the tests switch it off."""

    scattering: bool = True
    energy_loss: bool = True
    interactions: bool = True


class _Surface(NamedTuple):
    """A cylinder around the beam (`position` is its radius) or a plane across it (its z)."""

    layer: int
    """Index into `layers()`, or -1 for dead material."""
    position: float
    low: float
    """A plane reaches from this radius"""
    high: float
    """to this; a cylinder to this |z|."""
    thickness: float
    """In radiation lengths."""


# Radiation lengths of sensitive layers with their supports, by volume.
_THICKNESS_OF = {
    **dict.fromkeys((7, 8, 9), 0.014),
    13: 0.020,
    17: 0.022,
    **dict.fromkeys((12, 14, 16, 18), 0.031),
}
# Dead material where secondaries of published events begin: radius, |z| up to, thickness.
_DEAD_CYLINDERS = ((19.0, 800.0, 0.005), (200.0, 2800.0, 0.011), (255.0, 2950.0, 0.008))
# |z|, radius from and to, thickness.
_DEAD_PLANES = ((571.0, 30.0, 190.0, 0.038), (1183.0, 205.0, 1100.0, 0.02))

# Steeper tracks leave no hits in the barrel, in the published events as here.
_BARREL_SLOPE = np.sinh(3.0)

# Interactions of hadrons per radiation length: fitted, and rather more than in silicon.
_INTERACTIONS = 0.46
# Energy loss of a fast particle per radiation length of silicon (9.37 cm, 3.88 MeV / cm).
_LOSS = 0.0364
_LOSS_SHAPE = 6.0


def _surfaces() -> tuple[list[_Surface], list[_Surface]]:
    """Return cylinders and planes."""
    cylinders = [_Surface(-1, radius, 0.0, length, x) for radius, length, x in _DEAD_CYLINDERS]
    planes = [_Surface(-1, side * z, low, high, x) for z, low, high, x in _DEAD_PLANES for side in (-1, 1)]
    for index, layer in enumerate(layers()):
        surface = _Surface(index, layer.position, layer.low, layer.high, _THICKNESS_OF[layer.volume])
        (cylinders if layer.barrel else planes).append(surface)
    return cylinders, planes


_CYLINDERS, _PLANES = _surfaces()
_THICKNESS = np.array([surface.thickness for surface in _CYLINDERS + _PLANES])
_LAYER = np.array([surface.layer for surface in _CYLINDERS + _PLANES])


class Crossings(NamedTuple):
    """Where particles cross layers: one row for each crossing.

    `before` is the length of the path in the transverse plane since the particle began: no farther may it be
    followed backwards.
    """

    particle: Ints
    layer: Ints
    position: Floats
    momentum: Floats
    charge: Ints
    before: Floats


def helix_points(position: Floats, momentum: Floats, charge: Ints, path: Floats) -> tuple[Floats, Floats]:
    """Return positions and momenta after a path in the field.

    Parameters
    ----------
    position, momentum : arrays, shape (n, 3)
    charge : array, shape (n,)
    path : array, shape (n,)
        Length of the path in the transverse plane, in mm; negative values look back.
    """
    pt = np.hypot(momentum[:, 0], momentum[:, 1])
    # A positive particle in a field along +z turns clockwise.
    angle = -charge * path * GEV_PER_MM / pt
    sine, cosine = np.sin(angle), np.cos(angle)
    # sin(a) / a and (1 - cos(a)) / a stay exact for straight tracks.
    along = path / pt * np.sinc(angle / np.pi)
    across = path / pt * np.sin(angle / 2) * np.sinc(angle / (2 * np.pi))
    px, py, pz = momentum.T
    moved = np.column_stack(
        (
            position[:, 0] + px * along - py * across,
            position[:, 1] + py * along + px * across,
            position[:, 2] + pz * path / pt,
        )
    )
    turned = np.column_stack((px * cosine - py * sine, px * sine + py * cosine, pz))
    return moved, turned


def _to_cylinder(position: Floats, momentum: Floats, charge: Ints, radius: float, at: Bools) -> Floats:
    """Return the transverse path to a cylinder, infinite where it is not reached; `at`: starting on it."""
    pt = np.hypot(momentum[:, 0], momentum[:, 1])
    turn = -charge * GEV_PER_MM / pt
    bend = 1.0 / turn
    cx = position[:, 0] - momentum[:, 1] / pt * bend
    cy = position[:, 1] + momentum[:, 0] / pt * bend
    distance = np.hypot(cx, cy)
    size = np.abs(bend)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = (radius * radius - distance * distance - size * size) / (2 * distance * size)
    reached = np.abs(cosine) < 1
    half = np.arccos(np.where(reached, cosine, 0.0))
    now = np.arctan2(position[:, 1] - cy, position[:, 0] - cx)
    centre = np.arctan2(cy, cx)
    sense = np.sign(turn)
    full = 2 * np.pi
    best = np.full(len(pt), np.inf)
    for end in (half, -half):
        angle = np.mod(sense * (centre + end - now), full)
        path = angle * size
        # The place where it stands, found again as 0 or as a full turn.
        here = at & ((path < 0.05) | ((full - angle) * size < 0.05))
        best = np.where(here, best, np.minimum(best, path))
    return np.where(reached, best, np.inf)


def _next_surface(position: Floats, momentum: Floats, charge: Ints, last: Ints) -> tuple[Floats, Ints]:
    """Return the transverse path to the next surface and its index (infinite and -1 where there is none)."""
    n = len(charge)
    best, which = np.full(n, np.inf), np.full(n, -1)
    pt = np.hypot(momentum[:, 0], momentum[:, 1])
    slope = momentum[:, 2] / pt
    for index, surface in enumerate(_CYLINDERS):
        path = _to_cylinder(position, momentum, charge, surface.position, last == index)
        z = position[:, 2] + slope * np.where(np.isfinite(path), path, 0.0)
        better = (path < best) & (np.abs(z) < surface.high)
        best, which = np.where(better, path, best), np.where(better, index, which)
    for index, surface in enumerate(_PLANES, start=len(_CYLINDERS)):
        with np.errstate(divide="ignore", invalid="ignore"):
            path = (surface.position - position[:, 2]) / slope
        maybe = np.flatnonzero((path > 1e-6) & (path < best) & (last != index))
        if not len(maybe):
            continue
        there, _ = helix_points(position[maybe], momentum[maybe], charge[maybe], path[maybe])
        r = np.hypot(there[:, 0], there[:, 1])
        there_is = maybe[(r > surface.low) & (r < surface.high)]
        best[there_is], which[there_is] = path[there_is], index
    return best, which


def _scatter(rng: np.random.Generator, momentum: Floats, mass: Floats, thickness: Floats) -> Floats:
    """Turn directions by the angles of multiple scattering (Highland's formula)."""
    p = np.linalg.norm(momentum, axis=1)
    beta = p / np.sqrt(p * p + mass * mass)
    width = 0.0136 / (beta * p) * np.sqrt(thickness) * np.maximum(1 + 0.038 * np.log(thickness), 0.3)
    pt = np.hypot(momentum[:, 0], momentum[:, 1])
    direction = momentum / p[:, None]
    first = np.column_stack((-momentum[:, 1] / pt, momentum[:, 0] / pt, np.zeros(len(p))))
    second = np.cross(direction, first)
    angles = np.clip(rng.standard_normal((len(p), 2)) * width[:, None], -1.0, 1.0)
    turned: Floats = direction + angles[:, :1] * first + angles[:, 1:] * second
    turned *= (p / np.linalg.norm(turned, axis=1))[:, None]
    return turned


def _slow_down(rng: np.random.Generator, momentum: Floats, mass: Floats, thickness: Floats) -> Floats:
    """Take ionisation from the energy; a particle that has not enough stops (momentum 0)."""
    p = np.linalg.norm(momentum, axis=1)
    energy = np.sqrt(p * p + mass * mass)
    beta2 = (p / energy) ** 2
    fluctuation = rng.gamma(_LOSS_SHAPE, 1 / _LOSS_SHAPE, len(p))
    energy = energy - _LOSS * thickness / beta2 * fluctuation
    after = np.sqrt(np.maximum(energy * energy - mass * mass, 0.0)) * (energy > mass)
    slowed: Floats = momentum * (after / p)[:, None]
    return slowed


def _products(
    rng: np.random.Generator, parents: Particles, used: dict[tuple[int, int], int]
) -> tuple[Particles, Ints]:
    """Return what hadrons make of nuclei, and of which parent: one to five soft charged particles each."""
    count = rng.choice([1, 2, 3, 4, 5], len(parents.pdg), p=[0.35, 0.38, 0.2, 0.055, 0.015])
    parent = np.repeat(np.arange(len(count)), count)
    n = len(parent)
    start = np.concatenate(([0], np.cumsum(count)[:-1]))
    number = np.arange(n) - start[parent]
    p_parent = np.linalg.norm(parents.momentum, axis=1)[parent]
    p = 0.245 * np.exp(0.5 * rng.standard_normal(n))
    p = np.where(rng.random(n) < 0.02, p_parent * rng.uniform(0.3, 0.9, n), p)
    p = np.minimum(p, p_parent)
    # Forward in part: an isotropic direction pulled towards the parent's.
    cosine, phi = rng.uniform(-1, 1, n), rng.uniform(-np.pi, np.pi, n)
    sine = np.sqrt(1 - cosine * cosine)
    direction = np.column_stack((sine * np.cos(phi), sine * np.sin(phi), cosine))
    direction += rng.exponential(0.25, n)[:, None] * parents.momentum[parent] / p_parent[:, None]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    momentum = p[:, None] * direction
    # Protons are knocked out, hence more positive than negative particles.
    kind = rng.choice([PROTON, PION], n, p=[0.45, 0.55])
    sign = np.where(kind == PROTON, 1, rng.choice([-1, 1], n))
    keep = np.hypot(momentum[:, 0], momentum[:, 1]) >= MIN_PT
    parent, number = parent[keep], number[keep]
    vertex, primary = parents.vertex[parent], parents.primary[parent]
    secondary = np.empty(len(parent), dtype=np.int64)
    for row, key in enumerate(zip(vertex.tolist(), primary.tolist(), strict=True)):
        used[key] = secondary[row] = used.get(key, 0) + 1
    products = Particles(
        vertex,
        primary,
        parents.generation[parent] + 1,
        secondary,
        np.where(number == 0, 1, 2),
        (kind * sign)[keep],
        parents.position[parent],
        momentum[keep],
    )
    return products, parent


def propagate(
    rng: np.random.Generator, primaries: Particles, physics: Physics
) -> tuple[Particles, Crossings]:
    """Follow all particles, and those that they make, until they leave, stop, interact or turn back.

    Parameters
    ----------
    rng : Generator
    primaries : Particles
    physics : Physics
        Which effects of matter to simulate.

    Returns
    -------
    particles : Particles
        The primaries, then the secondaries.
    crossings : Crossings
        Of layers with modules; `particle` is an index into `particles`.
    """
    everything = [primaries]
    found: list[Crossings] = []
    used: dict[tuple[int, int], int] = {}
    offset, current = 0, primaries
    born = np.full(len(primaries.pdg), -1)
    for _ in range(_NUMBER_OF_GENERATIONS):
        made, made_at, crossings = _follow(rng, current, born, offset, physics, used)
        found += crossings
        offset += len(current.pdg)
        if not len(made.pdg):
            break
        everything.append(made)
        current, born = made, made_at
    merged = Crossings._make(np.concatenate(columns) for columns in zip(*found, strict=True))
    return concatenate(everything), merged


def _incidence(position: Floats, momentum: Floats, surface: Ints) -> Floats:
    """Return the cosine of the angle between momentum and the normal of the surface."""
    r = np.hypot(position[:, 0], position[:, 1])
    outwards = (position[:, 0] * momentum[:, 0] + position[:, 1] * momentum[:, 1]) / r
    along = np.where(surface < len(_CYLINDERS), outwards, momentum[:, 2])
    cosine: Floats = np.abs(along) / np.linalg.norm(momentum, axis=1)
    return cosine


def _recorded(
    particle: Ints, position: Floats, momentum: Floats, charge: Ints, surface: Ints, before: Floats
) -> Crossings:
    """Return the crossings of surfaces that are layers."""
    layer = np.where(surface >= 0, _LAYER[surface], -1)
    steep = np.abs(momentum[:, 2]) > _BARREL_SLOPE * np.hypot(momentum[:, 0], momentum[:, 1])
    keep = (layer >= 0) & ~(steep & (surface < len(_CYLINDERS)))
    columns = (particle, layer, position, momentum, charge, before)
    return Crossings._make(column[keep] for column in columns)


def _follow(
    rng: np.random.Generator,
    particles: Particles,
    born: Ints,
    offset: int,
    physics: Physics,
    used: dict[tuple[int, int], int],
) -> tuple[Particles, Ints, list[Crossings]]:
    """Follow one generation; return the next, the surfaces where it is born, and the crossings."""
    alive = np.flatnonzero(np.hypot(particles.momentum[:, 0], particles.momentum[:, 1]) >= FOLLOWED_PT)
    position, momentum = particles.position[alive], particles.momentum[alive]
    charge, mass, last = particles.charge[alive], mass_of(particles.pdg)[alive], born[alive]
    turned, travelled = np.zeros(len(alive)), np.zeros(len(alive))
    crossings = [_recorded(alive + offset, position, momentum, charge, last, travelled)]
    made, made_at = [particles.take(np.zeros(0, dtype=np.int64))], [np.zeros(0, dtype=np.int64)]
    while len(alive):
        pt = np.hypot(momentum[:, 0], momentum[:, 1])
        path, surface = _next_surface(position, momentum, charge, last)
        turned += np.where(surface >= 0, path, 0.0) * GEV_PER_MM / pt
        keep = (surface >= 0) & (turned < _HALF_TURN)
        alive, surface, path = alive[keep], surface[keep], path[keep]
        charge, mass, turned, travelled = charge[keep], mass[keep], turned[keep], travelled[keep] + path
        if not len(alive):
            break
        position, momentum = helix_points(position[keep], momentum[keep], charge, path)
        last = surface
        crossings.append(_recorded(alive + offset, position, momentum, charge, last, travelled))

        thickness = _THICKNESS[surface] / np.maximum(_incidence(position, momentum, surface), 0.08)
        gone = np.zeros(len(alive), dtype=bool)
        if physics.interactions:
            gone = rng.random(len(alive)) < -np.expm1(-_INTERACTIONS * thickness)
            if gone.any():
                parents = particles.take(alive[gone])._replace(
                    position=position[gone], momentum=momentum[gone]
                )
                products, parent = _products(rng, parents, used)
                made.append(products)
                made_at.append(surface[gone][parent])
        if physics.scattering:
            momentum = _scatter(rng, momentum, mass, thickness)
        if physics.energy_loss:
            momentum = _slow_down(rng, momentum, mass, thickness)
        keep = ~gone & (np.hypot(momentum[:, 0], momentum[:, 1]) >= FOLLOWED_PT)
        alive, position, momentum, last = alive[keep], position[keep], momentum[keep], last[keep]
        charge, mass, turned, travelled = charge[keep], mass[keep], turned[keep], travelled[keep]
    return concatenate(made), np.concatenate(made_at), crossings

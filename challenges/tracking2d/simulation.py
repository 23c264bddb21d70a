"""Toy events of the 2D tracking hackathon, simulated anew from its published constants.

Particles start near the origin and fly on circles (uniform field of 1 T, no energy loss) through nine
concentric rings that are infinitely thin but scatter. All particles of all events advance together, from
ring to ring. Two habits of the original are kept unless they are switched off: a hit is placed at the lower
edge of its cell, half a cell below its centre, and of two particles in one cell only the last is recorded.

The order in which random numbers are drawn is our own: events agree with the original ones in distribution,
not one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = [
    "CELLS",
    "LAYERS",
    "MEAN_MULTIPLICITY",
    "RADII",
    "Crossings",
    "Particles",
    "cell_phi",
    "make_particles",
    "propagate",
    "record",
    "simulate",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

RADII: FloatArray = np.array([39.0, 85.0, 155.0, 213.0, 271.0, 405.0, 562.0, 762.0, 1000.0])  # mm
LAYERS = len(RADII)
PITCH: FloatArray = np.array([0.025] * 5 + [0.050] * 4)  # mm
CELLS: IntArray = (2.0 * np.pi * RADII / PITCH).astype(np.int64) + 1
"""Cells of every layer, around its whole circle."""

MEAN_MULTIPLICITY = 10.0
VERTEX_SPREAD = 2.0 / 3.0  # mm, in x and y each
PT_RANGE = (300.0, 10_000.0)  # MeV
MEV_PER_MM = 0.3
"""Transverse momentum of a particle that flies on a circle of 1 mm radius."""
SCATTERING = 13.6 * np.sqrt(0.02)  # MeV; divided by the momentum, the spread of the deflection in radians
EFFICIENCY = 0.97
STOPPING = 0.01


@dataclass(frozen=True)
class Particles:
    """Particles at their vertices, one array item each, sorted by event and number.

    Attributes
    ----------
    event : array of int64
        Index of the event, from 0.
    number : array of int64
        Number within the event, from 0; it becomes the `cluster_id`.
    x, y : array of float64
        Vertex in mm.
    phi : array of float64
        Direction of flight, -pi to pi.
    pt : array of float64
        Transverse momentum in MeV.
    charge : array of int64
        1 (turns clockwise) or -1.
    """

    event: IntArray
    number: IntArray
    x: FloatArray
    y: FloatArray
    phi: FloatArray
    pt: FloatArray
    charge: IntArray

    def __len__(self) -> int:
        return len(self.event)

    def of(self, rows: NDArray[np.bool_] | IntArray) -> Particles:
        """Return some of the particles."""
        return Particles(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Crossings:
    """Where particles crossed layers, one array item a crossing, sorted by layer and particle.

    Attributes
    ----------
    particle : array of int64
        Row among the particles.
    layer : array of int64
    phi : array of float64
        Exact azimuth of the crossing, 0 to 2 pi.
    seen : array of bool
        Whether the layer noticed the particle.
    """

    particle: IntArray
    layer: IntArray
    phi: FloatArray
    seen: NDArray[np.bool_]


def make_particles(
    n_events: int, rng: np.random.Generator, *, mean_multiplicity: float = MEAN_MULTIPLICITY
) -> Particles:
    """Draw the particles of events: a Poisson number, but at least one, in every event."""
    multiplicity = rng.poisson(mean_multiplicity, n_events)
    while not multiplicity.all():
        empty = multiplicity == 0
        multiplicity[empty] = rng.poisson(mean_multiplicity, int(empty.sum()))
    event = np.repeat(np.arange(n_events), multiplicity)
    first = np.repeat(np.cumsum(multiplicity) - multiplicity, multiplicity)
    n = len(event)
    return Particles(
        event=event,
        number=np.arange(n) - first,
        x=rng.normal(0.0, VERTEX_SPREAD, n),
        y=rng.normal(0.0, VERTEX_SPREAD, n),
        phi=rng.uniform(-np.pi, np.pi, n),
        pt=rng.uniform(*PT_RANGE, n),
        charge=rng.choice([-1, 1], n),
    )


def propagate(particles: Particles, rng: np.random.Generator) -> Crossings:
    """Fly all particles outwards, layer by layer, until they stop, turn back or leave the detector."""
    row = np.arange(len(particles))
    x, y, phi = particles.x, particles.y, particles.phi
    found: list[tuple[IntArray, IntArray, FloatArray, NDArray[np.bool_]]] = []
    for layer, layer_radius in enumerate(RADII):
        radius = particles.pt[row] / MEV_PER_MM
        turn = -particles.charge[row]  # 1 is anticlockwise
        centre_x, centre_y = x - turn * radius * np.sin(phi), y + turn * radius * np.cos(phi)
        distance = np.hypot(centre_x, centre_y)
        # Law of cosines in the triangle of origin, centre and crossing: the angle at the origin.
        cosine = (layer_radius**2 + distance**2 - radius**2) / (2.0 * layer_radius * distance)
        crosses = np.abs(cosine) <= 1.0
        row, turn, phi, x, y = (values[crosses] for values in (row, turn, phi, x, y))
        angle = np.arccos(cosine[crosses])
        # Of the two crossings the one on the way out.
        azimuth = np.arctan2(centre_y[crosses], centre_x[crosses]) - turn * angle
        new_x, new_y = layer_radius * np.cos(azimuth), layer_radius * np.sin(azimuth)
        # A chord has half the turn of its arc.
        chord = np.arctan2(new_y - y, new_x - x)
        phi = 2.0 * chord - phi + rng.normal(0.0, 1.0, len(row)) * SCATTERING / particles.pt[row]
        x, y = new_x, new_y
        seen = rng.random(len(row)) < EFFICIENCY
        found.append((row, np.full(len(row), layer), azimuth % (2.0 * np.pi), seen))
        goes_on = rng.random(len(row)) >= STOPPING
        row, phi, x, y = (values[goes_on] for values in (row, phi, x, y))
    return Crossings(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def cell_phi(layer: IntArray, iphi: IntArray, *, half_cell_bias: bool = True) -> FloatArray:
    """Return the azimuth that stands for a cell: its lower edge, or its centre without the bias."""
    shift = 0.0 if half_cell_bias else 0.5
    result: FloatArray = 2.0 * np.pi * (iphi + shift) / CELLS[layer]
    return result


def record(
    particles: Particles,
    crossings: Crossings,
    rng: np.random.Generator,
    *,
    half_cell_bias: bool = True,
    last_particle_wins: bool = True,
) -> pd.DataFrame:
    """Turn crossings into hits, event by event, shuffled within each; see `simulate`."""
    seen = crossings.seen
    row, layer = crossings.particle[seen], crossings.layer[seen]
    event, number = particles.event[row], particles.number[row]
    # An azimuth just below 2 pi may round up to the first cell of the next turn.
    cells = CELLS[layer]
    iphi: IntArray = (crossings.phi[seen] / (2.0 * np.pi) * cells).astype(np.int64) % cells
    order = np.lexsort((number, iphi, layer, event))
    if last_particle_wins:
        same = np.all([np.diff(values[order]) == 0 for values in (iphi, layer, event)], axis=0)
        order = order[np.append(~same, True)]
    order = order[np.lexsort((rng.random(len(order)), event[order]))]
    layer, iphi = layer[order], iphi[order]
    azimuth = cell_phi(layer, iphi, half_cell_bias=half_cell_bias)
    return pd.DataFrame(
        {
            "event_id": event[order],
            "cluster_id": number[order],
            "layer": layer,
            "iphi": iphi,
            "x": RADII[layer] * np.cos(azimuth),
            "y": RADII[layer] * np.sin(azimuth),
        }
    )


def simulate(
    n_events: int,
    seed: int = 0,
    *,
    mean_multiplicity: float = MEAN_MULTIPLICITY,
    half_cell_bias: bool = True,
    last_particle_wins: bool = True,
) -> pd.DataFrame:
    """Simulate toy events in the format of the hackathon.

    Parameters
    ----------
    n_events : int
        At least 1. An event in which no layer noticed anything has no rows.
    seed : int
        The same seed and the same other arguments give the same hits.
    mean_multiplicity : float
        Mean of the Poisson number of particles, at least 0.01; drawn again where it comes out as 0. The
        hackathon had 10, the default of its script was 20.
    half_cell_bias : bool
        Place hits at the lower edges of their cells, as the original did, instead of at the centres.
    last_particle_wins : bool
        Where several particles hit one cell, record only the last, as the original did, instead of one row
        for each.

    Returns
    -------
    DataFrame
        event_id (from 0), cluster_id (number of the particle in its event), layer (0 to 8), iphi (cell
        number) as int64, x and y in mm as float64; sorted by event, in random order within.

    Raises
    ------
    ValueError
        When `n_events` or `mean_multiplicity` is too small.

    Examples
    --------
    >>> hits = simulate(3, seed=1)
    >>> list(hits.columns)
    ['event_id', 'cluster_id', 'layer', 'iphi', 'x', 'y']
    """
    if n_events < 1:
        raise ValueError(f"n_events must be at least 1, found {n_events}")
    if not mean_multiplicity >= 0.01:
        raise ValueError(f"mean_multiplicity must be at least 0.01, found {mean_multiplicity}")
    rng = np.random.Generator(np.random.PCG64([seed, n_events]))
    particles = make_particles(n_events, rng, mean_multiplicity=mean_multiplicity)
    crossings = propagate(particles, rng)
    return record(
        particles, crossings, rng, half_cell_bias=half_cell_bias, last_particle_wins=last_particle_wins
    )

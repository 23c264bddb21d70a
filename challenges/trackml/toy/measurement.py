"""From crossings of layers to hits on modules, their cells, and noise.

A module measures where a particle crosses its middle plane. The charge lies along the straight path through
the sensor; every cell that the path touches fires. Pixels know how much charge they got, strips only that
there was some. Lengths in mm.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hepchallenge.challenges.trackml.toy.geometry import Layer, layers, modules
from hepchallenge.challenges.trackml.toy.propagation import Crossings, helix_points

__all__ = ["Cells", "Passages", "digitise", "make_noise", "passages"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NOISE_MOMENTUM = 1e6
"""Noise has a momentum as if of straight tracks, of this size in GeV, as in the published truth."""

PIXEL_VOLUMES = (7, 8, 9)
DISK_VOLUMES = (7, 9, 12, 14, 16, 18)

# Published cells of disks are twice as deep as `module_t` says, those of barrels as deep.
_DEPTH_IN_DISKS = 2.0
_CHARGE_SPREAD = 0.07
# A path that grazes a module would fire hundreds of cells.
_MAX_SLOPE = 20.0


class Passages(NamedTuple):
    """Crossings of modules: truth of what becomes hits.

    `particle` is -1 for noise, `module` a row of `modules()`, `position` in the plane of the module.
    """

    particle: Ints
    module: Ints
    position: Floats
    momentum: Floats


class Cells(NamedTuple):
    """Cells of all hits, hit by hit; `hit` is an index."""

    hit: Ints
    ch0: Ints
    ch1: Ints
    value: Floats


def _candidates(layer: Layer, position: Floats) -> tuple[Ints, Ints]:
    """Return crossing and module (row) of all pairs that may meet: three modules in each of a few rings."""
    n_rings = len(layer.ring_at)
    along = position[:, 2] if layer.barrel else np.hypot(position[:, 0], position[:, 1])
    if layer.barrel:
        step = layer.ring_at[1] - layer.ring_at[0]
        nearest = np.rint((along - layer.ring_at[0]) / step).astype(np.int64)
        rings = nearest[:, None] + np.arange(-1, 2)
    else:
        rings = np.broadcast_to(np.arange(n_rings), (len(along), n_rings))
    valid = (rings >= 0) & (rings < n_rings)
    ring = np.clip(rings, 0, n_rings - 1)
    count = layer.ring_count[ring]
    turn = (np.arctan2(position[:, 1], position[:, 0]) + np.pi) / (2 * np.pi)
    # The first module of a ring stands half a step after phi = -pi.
    place = np.floor(turn[:, None] * count).astype(np.int64)
    places = (place[:, :, None] + np.arange(-1, 2)) % count[:, :, None]
    rows = layer.rows[layer.ring_start[ring][:, :, None] + places]
    crossing = np.broadcast_to(np.arange(len(along))[:, None, None], rows.shape)
    valid3 = np.broadcast_to(valid[:, :, None], rows.shape)
    return crossing[valid3], rows[valid3]


def _inside(row: Ints, u: Floats, v: Floats, margin: float = 0.0) -> npt.NDArray[np.bool_]:
    """Whether local points lie on their modules."""
    m = modules()
    share = (v / m.half_v[row] + 1) / 2
    half_u = m.narrow[row] + (m.wide[row] - m.narrow[row]) * share
    return (np.abs(u) < half_u - margin) & (np.abs(v) < m.half_v[row] - margin)


def _local(row: Ints, vector: Floats) -> Floats:
    """Return components along u, v, w; subtract the centre first where a point is meant."""
    local: Floats = np.einsum("nij,ni->nj", modules().axes[row], vector)
    return local


def passages(crossings: Crossings) -> Passages:
    """Return where tracks cross modules: in a layer none, one or, where modules overlap, several.

    Parameters
    ----------
    crossings : Crossings

    Returns
    -------
    Passages
        In the order of layers, then of crossings.
    """
    m = modules()
    parts = []
    order = np.argsort(crossings.layer, kind="stable")
    bounds = np.searchsorted(crossings.layer[order], np.arange(len(layers()) + 1))
    for index, layer in enumerate(layers()):
        chosen = order[bounds[index] : bounds[index + 1]]
        if not len(chosen):
            continue
        which, row = _candidates(layer, crossings.position[chosen])
        which = chosen[which]
        position, momentum = crossings.position[which], crossings.momentum[which]
        charge, before = crossings.charge[which], crossings.before[which]
        normal = m.axes[row, :, 2]
        level = (normal * m.centre[row]).sum(axis=1)
        path = np.zeros(len(which))
        at, p = position, momentum
        # Newton's steps from the layer to the plane of the module.
        for _ in range(4):
            pt = np.hypot(p[:, 0], p[:, 1])
            speed = (normal * p).sum(axis=1) / pt
            speed = np.where(np.abs(speed) < 0.02, np.copysign(0.02, speed), speed)
            path += np.clip((level - (normal * at).sum(axis=1)) / speed, -50.0, 50.0)
            at, p = helix_points(position, momentum, charge, path)
        off = np.abs((normal * at).sum(axis=1) - level)
        u, v, _ = _local(row, at - m.centre[row]).T
        # A track of a kind that begins in the layer has no past; others have one as long as their path.
        good = (off < 1e-6) & (np.abs(path) < 150.0) & (path > -before) & _inside(row, u, v)
        parts.append(
            Passages(
                np.asarray(crossings.particle[which])[good],
                row[good],
                at[good],
                p[good],
            )
        )
    if not parts:
        empty = np.zeros(0, dtype=np.int64)
        return Passages(empty, empty, np.zeros((0, 3)), np.zeros((0, 3)))
    return Passages._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def make_noise(rng: np.random.Generator, mean: float) -> Passages:
    """Return noise: as much in every module, anywhere on it, as of straight tracks from about the centre.

    Parameters
    ----------
    rng : Generator
    mean : float
        Expected number in the whole detector.
    """
    m = modules()
    n = int(rng.poisson(mean))
    row = rng.integers(0, len(m.module), n)
    v = rng.uniform(-1, 1, n)
    # The wide end of a trapezoid has more room.
    low, high = m.narrow[row], m.wide[row]
    swap = rng.uniform(0, 1, n) * (low + high) > low + (high - low) * (v + 1) / 2 + (low + high) / 2
    v = np.where(swap, -v, v)
    half_u = low + (high - low) * (v + 1) / 2
    # Keep off the rim, where not even one cell may be left.
    local = np.column_stack((rng.uniform(-0.995, 0.995, n) * half_u, 0.995 * v * m.half_v[row], np.zeros(n)))
    position = m.centre[row] + np.einsum("nij,nj->ni", m.axes[row], local)
    direction = position / np.linalg.norm(position, axis=1, keepdims=True)
    across = np.cross(direction, np.array([0.3, 0.5, 0.8]))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    tilt = np.tan(rng.uniform(-0.65, 0.65, (n, 2)))
    direction = direction + tilt[:, :1] * across + tilt[:, 1:] * np.cross(direction, across)
    direction *= NOISE_MOMENTUM / np.linalg.norm(direction, axis=1, keepdims=True)
    return Passages(np.full(n, -1), row, position, direction)


def digitise(rng: np.random.Generator, passed: Passages) -> tuple[Floats, Cells]:
    """Return the measured positions and the cells that fired.

    Parameters
    ----------
    rng : Generator
    passed : Passages

    Returns
    -------
    position : array, shape (n, 3)
        In the plane of the module: the mean of the cells, weighted by charge in pixels.
    cells : Cells
        At least one for each hit. `ch0` counts along u, `ch1` along v, from the corner. `value` is the
        length of the path in the cell, in mm, smeared; 1 in strips.
    """
    m = modules()
    row, n = passed.module, len(passed.module)
    u, v, _ = _local(row, passed.position - m.centre[row]).T
    du, dv, dw = _local(row, passed.momentum).T
    dw = np.where(np.abs(dw) < 1e-9, 1e-9, dw)
    slopes = np.clip(np.column_stack((du / dw, dv / dw)), -_MAX_SLOPE, _MAX_SLOPE)
    in_disk = np.isin(m.volume[row], DISK_VOLUMES)
    depth = m.thickness[row] * np.where(in_disk, _DEPTH_IN_DISKS, 1.0)
    pitch = np.column_stack((m.pitch_u[row], m.pitch_v[row]))
    half = np.column_stack((m.wide[row], m.half_v[row]))
    size = np.rint(2 * half / pitch).astype(np.int64)
    middle = (np.column_stack((u, v)) + half) / pitch
    reach = slopes * (depth / 2)[:, None] / pitch
    start, end = middle - reach, middle + reach
    first, last = np.floor(start).astype(np.int64), np.floor(end).astype(np.int64)
    crossed = np.abs(last - first)

    # All places, from 0 at one face to 1 at the other, where paths enter another cell; then the faces.
    hits, places = [], []
    for axis in range(2):
        hit = np.repeat(np.arange(n), crossed[:, axis])
        before = np.cumsum(crossed[:, axis]) - crossed[:, axis]
        number = np.arange(len(hit)) - before[hit]
        step = np.sign(last[:, axis] - first[:, axis])[hit]
        line = first[hit, axis] + np.where(step > 0, 1 + number, -number)
        hits.append(hit)
        places.append((line - start[hit, axis]) / (end[hit, axis] - start[hit, axis]))
    every = np.arange(n)
    hit = np.concatenate((every, *hits))
    place = np.concatenate((np.zeros(n), *(np.clip(p, 0.0, 1.0) for p in places)))
    order = np.lexsort((place, hit))
    hit, place = hit[order], place[order]
    is_last = np.append(hit[1:] != hit[:-1], True)
    following = np.where(is_last, 1.0, np.append(place[1:], 1.0))
    share, centre = following - place, (place + following) / 2
    cell = np.floor(start[hit] + centre[:, None] * (end - start)[hit]).astype(np.int64)

    length = np.sqrt(1 + (slopes**2).sum(axis=1)) * depth
    charge = share * length[hit] * np.maximum(1 + _CHARGE_SPREAD * rng.standard_normal(len(hit)), 0.05)
    there = ((cell >= 0) & (cell < size[hit])).all(axis=1) & (charge > 1e-5)
    # A hit keeps its middle cell at least, even if all others lie outside.
    kept = np.bincount(hit[there], minlength=n) > 0
    lost = np.flatnonzero(~kept)
    hit = np.concatenate((hit[there], lost))
    own = np.clip(np.floor(middle[lost]).astype(np.int64), 0, size[lost] - 1)
    cell = np.concatenate((cell[there], own))
    charge = np.concatenate((charge[there], depth[lost]))
    if len(lost):
        order = np.argsort(hit, kind="stable")
        hit, cell, charge = hit[order], cell[order], charge[order]
    pixel = np.isin(m.volume[row], PIXEL_VOLUMES)
    value = np.where(pixel[hit], charge, 1.0)

    total = np.bincount(hit, value, minlength=n)
    measured = [
        (np.bincount(hit, value * (cell[:, axis] + 0.5), minlength=n) / total) * pitch[:, axis]
        - half[:, axis]
        for axis in range(2)
    ]
    local = np.column_stack((*measured, np.zeros(n)))
    position = m.centre[row] + np.einsum("nij,nj->ni", m.axes[row], local)
    return position, Cells(hit, cell[:, 0], cell[:, 1], value)

"""The TrackML detector from a few facts: layers, rings, counts and half-widths of its 18 728 modules.

Lengths are in millimetres. The published `detectors.csv` is regular: the modules of a barrel layer form rings
along z, those of a disk rings in r; a ring repeats one module at equal steps in phi. What is stated here
therefore gives every module, its number included, within the rounding of the published file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = [
    "BARRELS",
    "COLUMNS",
    "DISKS",
    "Barrel",
    "Disk",
    "Layer",
    "Modules",
    "Ring",
    "detectors",
    "layers",
    "modules",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Ring(NamedTuple):
    """Modules of one radius in a disk, the first of them half a step after phi = -pi.

    `offsets` are added to |z| of the disk, in turn; `narrow` and `wide` are the half-widths of the trapezoid
    at its inner and its outer edge.
    """

    radius: float
    number: int
    narrow: float
    wide: float
    offsets: tuple[float, ...]


@dataclass(frozen=True)
class Barrel:
    """Cylinders of rectangular modules whose long side lies along z, each turned about it by `tilt`.

    `layers` gives radius and modules per ring; the rings, centred on z = 0, are `z_step` apart and
    lie `stagger` outside the radius (the outermost ring and every second one) or inside it.
    """

    volume: int
    layers: tuple[tuple[float, int], ...]
    n_rings: int
    z_step: float
    stagger: float
    tilt: float
    half_u: float
    half_v: float
    thickness: float
    pitch_u: float
    pitch_v: float


@dataclass(frozen=True)
class Disk:
    """Disks of trapezoidal modules whose v points outwards, on both sides of the barrel.

    `order` names the ring (a, b, c from the inside) of the modules in the order of their numbers, within a
    ring along phi; it covers the whole turn or repeats.
    """

    volumes: tuple[int, int]
    z: tuple[float, ...]
    rings: tuple[Ring, ...]
    order: str
    half_v: float
    thickness: float
    pitch_u: float
    pitch_v: float


BARRELS = (
    Barrel(
        8,
        ((32.0, 16), (72.0, 32), (116.0, 52), (172.0, 78)),
        14,
        70.0,
        0.25,
        0.14,
        8.4,
        36.0,
        0.15,
        0.05,
        0.05625,
    ),
    Barrel(
        13,
        ((260.0, 40), (360.0, 56), (500.0, 78), (660.0, 102)),
        21,
        103.0,
        1.5,
        -0.15,
        24.0,
        54.0,
        0.25,
        0.08,
        1.2,
    ),
    Barrel(17, ((820.0, 120), (1020.0, 152)), 21, 103.0, 1.5, -0.15, 24.0, 54.0, 0.35, 0.12, 10.8),
)

_STRIP_Z = (1220.0, 1500.0, 1800.0, 2150.0, 2550.0, 2950.0)

DISKS = (
    Disk(
        (7, 9),
        (600.0, 700.0, 820.0, 960.0, 1100.0, 1300.0, 1500.0),
        (Ring(66.0, 40, 8.4, 8.4, (2.5, -2.0, 2.0, -2.5)), Ring(140.0, 68, 8.4, 8.4, (2.0, -2.0))),
        "abbababbabbababbabbabbababbabbababbabbabbababbabbababb",
        36.0,
        0.15,
        0.05,
        0.05625,
    ),
    Disk(
        (12, 14),
        _STRIP_Z,
        (
            Ring(318.0, 54, 16.4, 24.2, (-1.5, -4.5)),
            Ring(470.0, 56, 24.2, 32.2, (4.5, 1.5)),
            Ring(622.0, 60, 32.2, 40.0, (-1.5, -4.5)),
        ),
        "abccabcabcbacbacbacbacbacbacbacbcabcabcabcabcabcacbacbacbacbcabcabcabcabcabcabcabcabc",
        78.0,
        0.25,
        0.08,
        1.2,
    ),
    Disk(
        (16, 18),
        _STRIP_Z,
        (Ring(828.0, 48, 54.0, 64.2, (-2.5, -5.5)), Ring(942.0, 50, 66.0, 72.0, (5.5, 2.5))),
        "ab" + "ba" * 28 + "b" + "ba" * 19 + "b",
        78.0,
        0.35,
        0.12,
        10.4,
    ),
)

COLUMNS = [
    *("volume_id", "layer_id", "module_id", "cx", "cy", "cz"),
    *("rot_xu", "rot_xv", "rot_xw", "rot_yu", "rot_yv", "rot_yw", "rot_zu", "rot_zv", "rot_zw"),
    *("module_t", "module_minhu", "module_maxhu", "module_hv", "pitch_u", "pitch_v"),
]
"""The columns of `detectors.csv`."""


class Layer(NamedTuple):
    """One layer as tracks meet it: a cylinder or a disk, and where its modules stand.

    Ring `i` has `ring_count[i]` modules; its k-th along phi is row `rows[ring_start[i] + k]` of `modules()`.
    """

    volume: int
    layer: int
    barrel: bool
    position: float
    """Radius of the cylinder or z of the disk."""
    low: float
    """Smallest |z| (barrel: always 0) or r that a track may have there and still hit a module."""
    high: float
    ring_at: Floats
    """z (barrel) or r (disk) of the ring centres."""
    ring_count: Ints
    ring_start: Ints
    rows: Ints


class Modules(NamedTuple):
    """All modules in the order of `detectors()`; `axes[:, :, k]` are the unit vectors u, v, w."""

    volume: Ints
    layer: Ints
    module: Ints
    centre: Floats
    axes: Floats
    thickness: Floats
    narrow: Floats
    wide: Floats
    half_v: Floats
    pitch_u: Floats
    pitch_v: Floats
    layer_index: Ints


def _ring_phi(count: int) -> Floats:
    return -np.pi + (np.arange(count) + 0.5) * 2 * np.pi / count


def _barrel(barrel: Barrel, radius: float, per_ring: int) -> tuple[Floats, Floats]:
    """Return centres (n, 3) and axes (n, 3, 3) of one layer, ring by ring along z."""
    z = (np.arange(barrel.n_rings) - (barrel.n_rings - 1) / 2) * barrel.z_step
    outside = np.where(np.arange(barrel.n_rings) % 2 == 0, 1.0, -1.0)
    r = np.repeat(radius + barrel.stagger * outside, per_ring)
    phi = np.tile(_ring_phi(per_ring), barrel.n_rings)
    centre = np.column_stack((r * np.cos(phi), r * np.sin(phi), np.repeat(z, per_ring)))
    axes = np.zeros((len(phi), 3, 3))
    normal = phi + barrel.tilt
    axes[:, 0, 0], axes[:, 1, 0] = -np.sin(normal), np.cos(normal)
    axes[:, 2, 1] = 1.0
    axes[:, 0, 2], axes[:, 1, 2] = np.cos(normal), np.sin(normal)
    return centre, axes


def _disk(disk: Disk, z: float, side: int) -> tuple[Floats, Floats, Ints]:
    """Return centres, axes and ring of the modules of one disk in the order of their numbers."""
    total = sum(ring.number for ring in disk.rings)
    order = disk.order * (total // len(disk.order))
    which = np.array(["abc".index(letter) for letter in order])
    r, phi, at = np.empty(total), np.empty(total), np.empty(total)
    for index, ring in enumerate(disk.rings):
        here = which == index
        r[here], phi[here] = ring.radius, _ring_phi(ring.number)
        at[here] = z + np.resize(ring.offsets, ring.number)
    centre = np.column_stack((r * np.cos(phi), r * np.sin(phi), side * at))
    axes = np.zeros((total, 3, 3))
    axes[:, 0, 0], axes[:, 1, 0] = side * np.sin(phi), -side * np.cos(phi)
    axes[:, 0, 1], axes[:, 1, 1] = np.cos(phi), np.sin(phi)
    axes[:, 2, 2] = side
    return centre, axes, which


@cache
def _build() -> tuple[Modules, tuple[Layer, ...]]:
    parts: list[dict[str, object]] = []
    layers: list[Layer] = []
    row = 0
    jobs: list[tuple[int, Barrel | Disk, int]] = [(b.volume, b, 0) for b in BARRELS]
    jobs += [(volume, d, side) for d in DISKS for volume, side in zip(d.volumes, (-1, 1), strict=True)]
    for volume, kind, side in sorted(jobs, key=lambda job: job[0]):
        positions: tuple[float, ...]
        if isinstance(kind, Barrel):
            positions = tuple(radius for radius, _ in kind.layers)
        else:
            # The layers of a volume are numbered along z.
            positions = kind.z if side > 0 else kind.z[::-1]
        for index, position in enumerate(positions):
            if isinstance(kind, Barrel):
                per_ring = kind.layers[index][1]
                centre, axes = _barrel(kind, position, per_ring)
                n = len(centre)
                narrow = wide = np.full(n, kind.half_u)
                counts = np.full(kind.n_rings, per_ring)
                ring_at = centre[::per_ring, 2]
                members = np.arange(n)
                low, high = 0.0, float(ring_at[-1]) + kind.half_v + 10.0
            else:
                centre, axes, which = _disk(kind, position, side)
                n = len(centre)
                narrow = np.array([ring.narrow for ring in kind.rings])[which]
                wide = np.array([ring.wide for ring in kind.rings])[which]
                counts = np.array([ring.number for ring in kind.rings])
                ring_at = np.array([ring.radius for ring in kind.rings])
                members = np.argsort(which, kind="stable")
                low = float(ring_at[0]) - kind.half_v - 10.0
                high = float(np.hypot(ring_at[-1] + kind.half_v, kind.rings[-1].wide)) + 10.0
            start = np.concatenate(([0], np.cumsum(counts)[:-1]))
            where = position if isinstance(kind, Barrel) else side * position
            layer_id = 2 * index + 2
            layers.append(
                Layer(
                    volume,
                    layer_id,
                    side == 0,
                    where,
                    low,
                    high,
                    ring_at,
                    counts.astype(np.int64),
                    start,
                    row + members,
                )
            )
            parts.append(
                {
                    "volume": np.full(n, volume),
                    "layer": np.full(n, layer_id),
                    "module": np.arange(1, n + 1),
                    "centre": centre,
                    "axes": axes,
                    "thickness": np.full(n, kind.thickness),
                    "narrow": narrow,
                    "wide": wide,
                    "half_v": np.full(n, kind.half_v),
                    "pitch_u": np.full(n, kind.pitch_u),
                    "pitch_v": np.full(n, kind.pitch_v),
                    "layer_index": np.full(n, len(layers) - 1),
                }
            )
            row += n
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in Modules._fields}
    return Modules(**arrays), tuple(layers)


def modules() -> Modules:
    """Return all modules as arrays; do not change them, they are shared."""
    return _build()[0]


def layers() -> tuple[Layer, ...]:
    """Return the 48 layers in the order of their volumes and numbers."""
    return _build()[1]


def detectors() -> pd.DataFrame:
    """Return the modules as a table with the columns of `detectors.csv`.

    Returns
    -------
    DataFrame, 18 728 rows
        In the order of volume, layer and module. A point (u, v, w) of a module lies at x = R (u, v, w) + c,
        with R made of the nine `rot_` columns (the first row is `rot_xu`, `rot_xv`, `rot_xw`) and c of `cx`,
        `cy`, `cz`; half-lengths, thickness and pitch in mm.
    """
    m = modules()
    columns: dict[str, npt.NDArray[np.generic]] = {
        "volume_id": m.volume.astype(np.int32),
        "layer_id": m.layer.astype(np.int32),
        "module_id": m.module.astype(np.int32),
    }
    columns.update({f"c{axis}": m.centre[:, i] for i, axis in enumerate("xyz")})
    columns.update(
        {
            f"rot_{axis}{local}": m.axes[:, i, j]
            for i, axis in enumerate("xyz")
            for j, local in enumerate("uvw")
        }
    )
    columns["module_t"] = m.thickness
    columns["module_minhu"], columns["module_maxhu"] = m.narrow, m.wide
    columns["module_hv"], columns["pitch_u"], columns["pitch_v"] = m.half_v, m.pitch_u, m.pitch_v
    return pd.DataFrame(columns)[COLUMNS]

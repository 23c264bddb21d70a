"""The layers of the detector and the order in which particles meet them, learnt from the modules."""

from collections import Counter
from typing import NamedTuple

import numpy as np

RADIATION_LENGTH_SILICON = 93.7  # mm
# A layer is more than its sensors: chips, glue, cooling and support scatter particles as well.
MATERIAL_PER_SENSOR = 4.0
# Straight rays from the beam line show in which order layers are met.
RAY_SLOPES = np.sinh(np.linspace(-4.5, 4.5, 601))  # z per radius: the sinh of the pseudorapidity
MAX_NEXT = 12


class Layers(NamedTuple):
    """One entry a layer, except `field`; lengths in mm."""

    is_disk: np.ndarray  # bool: disks lie across the beam, barrels (cylinders) around it
    position: np.ndarray  # z of a disk, radius of a barrel
    low: np.ndarray  # smallest radius of a disk, smallest z of a barrel
    high: np.ndarray
    depth: np.ndarray  # modules lie up to this far from `position`
    sigma_u: np.ndarray  # resolution across the beam and along the layer: the direction that bends
    sigma_v: np.ndarray  # resolution along z (barrel) or along the radius (disk)
    material: np.ndarray  # thickness in radiation lengths
    field: np.ndarray  # what field.measure_field returns; not by layer
    next_layers: np.ndarray  # int, shape (n_layers, MAX_NEXT): layers met soon after this one, filled with -1


def read_layers(detectors):
    """Return the keys (volume * 1000 + layer, sorted) and the `Layers` of a detectors frame."""
    keys, which = np.unique(layer_key(detectors), return_inverse=True)
    column = {name: detectors[name].to_numpy(np.float64) for name in detectors.columns}
    centre = np.array([column["cx"], column["cy"], column["cz"]])
    along_u = np.array([column["rot_xu"], column["rot_yu"], column["rot_zu"]]) * column["module_maxhu"]
    along_v = np.array([column["rot_xv"], column["rot_yv"], column["rot_zv"]]) * column["module_hv"]
    points = [centre + i * along_u + j * along_v for i in (-1, 0, 1) for j in (-1, 0, 1)]
    radius = np.array([np.hypot(x, y) for x, y, _ in points])
    z = np.array([point[2] for point in points])

    def of_layers(values, reduce):
        return np.array([reduce(values[..., which == i]) for i in range(len(keys))])

    is_disk = of_layers(np.abs(column["rot_zw"]), np.mean) > 0.5
    across, along = np.where(is_disk[which], z, radius), np.where(is_disk[which], radius, z)
    position = of_layers(across[4], np.mean)  # point 4 is the centre of the module
    layers = Layers(
        is_disk=is_disk,
        position=position,
        low=of_layers(along, np.min),
        high=of_layers(along, np.max),
        depth=of_layers(np.abs(across - position[which]), np.max),
        sigma_u=of_layers(column["pitch_u"], np.mean) / np.sqrt(12.0),
        sigma_v=of_layers(column["pitch_v"], np.mean) / np.sqrt(12.0),
        material=2 * of_layers(column["module_t"], np.mean) / RADIATION_LENGTH_SILICON * MATERIAL_PER_SENSOR,
        field=np.array([[1.0, 1.0], [0.0, 0.0]]),
        next_layers=np.full((len(keys), MAX_NEXT), -1),
    )
    return keys, layers


def layer_key(frame):
    """Return volume_id * 1000 + layer_id of every row of hits or of modules."""
    return frame["volume_id"].to_numpy(np.int64) * 1000 + frame["layer_id"].to_numpy(np.int64)


def trace_rays(layers, origins):
    """Return the layers, in order, that straight rays from points on the beam line (their z) meet."""
    met = []
    for origin in origins:
        for slope in RAY_SLOPES:
            with np.errstate(divide="ignore"):
                distance = np.where(layers.is_disk, (layers.position - origin) / slope, layers.position)
            height = np.where(layers.is_disk, distance, origin + slope * layers.position)
            hit = (distance > 0) & (height > layers.low) & (height < layers.high)
            met.append([i for i in np.argsort(distance) if hit[i]])
    return met


def neighbours(layers, rays, reach):
    """Return `layers` with `next_layers`: for each the layers up to `reach` steps on, most frequent first."""
    counts = np.zeros((len(layers.position), len(layers.position)))
    for ray in rays:
        for i, first in enumerate(ray):
            for step, second in enumerate(ray[i + 1 : i + 1 + reach]):
                counts[first, second] += 1 / (1 + step)
    next_layers = layers.next_layers.copy()
    for i, row in enumerate(counts):
        found = np.argsort(-row, kind="stable")[: min(MAX_NEXT, np.count_nonzero(row))]
        next_layers[i, : len(found)] = found
    return layers._replace(next_layers=next_layers)


def seed_pairs(rays, pairs_of_ranks):
    """Return the pairs of layers, shape (n, 2), that rays meet as i-th and j-th, for each (i, j); frequent
    first.
    """
    pairs = Counter((ray[i], ray[j]) for i, j in pairs_of_ranks for ray in rays if len(ray) > j)
    return np.array([pair for pair, _ in pairs.most_common()], dtype=np.int64).reshape(-1, 2)

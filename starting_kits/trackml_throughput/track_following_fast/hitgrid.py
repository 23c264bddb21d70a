"""The hits of one event, sorted into cells so that those near a point of a layer are found at once."""

from typing import NamedTuple

import numpy as np
from geometry import layer_key
from kernel import kernel

TURN = 2 * np.pi
HITS_PER_CELL = 1.5
SLICES = 24  # of a layer, along z (barrel) or along the radius (disk)


class Hits(NamedTuple):
    """Hits sorted by layer, slice and azimuth; `start[cell]` to `start[cell + 1]` are the hits of a cell."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    azimuth: np.ndarray  # [0, 2 pi)
    along: np.ndarray  # z in a barrel, radius on a disk
    layer: np.ndarray
    module: np.ndarray
    row: np.ndarray  # where the hit stands in the frame
    start: np.ndarray
    first_cell: np.ndarray  # of a layer
    sectors: np.ndarray  # number of cells around the beam, of a layer
    density: np.ndarray  # free hits per mm^2, shape (layers, SLICES)
    area: np.ndarray  # mm^2, of the slices


def sort_hits(hits, keys, layers):
    """Return the `Hits` of a hits frame; hits on layers that the detector does not have are left out."""
    key = layer_key(hits)
    layer = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
    row = np.flatnonzero(keys[layer] == key)
    layer = layer[row]
    x, y, z = (hits[name].to_numpy(np.float64)[row] for name in "xyz")
    azimuth = np.arctan2(y, x) % TURN
    along = np.where(layers.is_disk[layer], np.hypot(x, y), z)

    counts = np.bincount(layer, minlength=len(keys))
    sectors = np.maximum(8, (counts / (SLICES * HITS_PER_CELL)).astype(np.int64))
    first_cell = np.concatenate([[0], np.cumsum(SLICES * sectors)])
    place = np.empty(len(row))
    sort_key(layer, azimuth, along, layers.low, layers.high, sectors, first_cell, place)
    order = np.argsort(place, kind="stable")
    start = np.searchsorted(place[order], np.arange(first_cell[-1] + 1))
    module = hits["module_id"].to_numpy(np.int64)[row]
    columns = [values[order] for values in (x, y, z, azimuth, along, layer, module, row)]
    area = cell_areas(layers)
    return Hits(*columns, start, first_cell, sectors, np.empty((len(keys), SLICES)), area)


def cell_areas(layers):
    """Return the areas [mm^2] of the slices of all layers, shape (layers, SLICES)."""
    edges = np.linspace(layers.low, layers.high, SLICES + 1)
    barrel = TURN * layers.position * np.diff(edges, axis=0)
    return np.where(layers.is_disk, np.pi * np.diff(edges**2, axis=0), barrel).T.copy()


def count_free(hits, used):
    """Write the density of the hits that are not used into `hits.density`."""
    before = np.concatenate([[0], np.cumsum(~used)])[hits.start]
    first = hits.first_cell[:-1, None] + np.arange(SLICES) * hits.sectors[:, None]
    hits.density[:] = (before[first + hits.sectors[:, None]] - before[first] + 1) / hits.area


@kernel
def slice_of(along, low, high):
    """Return the number of the slice of a layer in which `along` lies, the outermost ones if outside."""
    return min(max(int((along - low) / (high - low) * SLICES), 0), SLICES - 1)


@kernel
def sort_key(layer, azimuth, along, low, high, sectors, first_cell, place):
    """Fill `place` with the cell of every hit plus, as a fraction, where in the cell's azimuth it lies."""
    for i in range(len(layer)):
        j = layer[i]
        sector = azimuth[i] / TURN * sectors[j]
        place[i] = (
            first_cell[j] + slice_of(along[i], low[j], high[j]) * sectors[j] + min(sector, sectors[j] - 1e-6)
        )


@kernel
def find_near(hits, layers, used, layer, azimuth, half_width, along_low, along_high, found):
    """Fill `found` with the free hits of a layer within a window, and return how many there are.

    More than `found` can hold are left out. Hits of the cells that the window touches are compared one by
    one.
    """
    sectors = hits.sectors[layer]
    low, high = layers.low[layer], layers.high[layer]
    first = int(np.floor((azimuth - half_width) / TURN * sectors))
    last = min(int(np.floor((azimuth + half_width) / TURN * sectors)), first + sectors - 1)
    n_found = 0
    for band in range(slice_of(along_low, low, high), slice_of(along_high, low, high) + 1):
        cell0 = hits.first_cell[layer] + band * sectors
        for sector in range(first, last + 1):
            cell = cell0 + sector % sectors
            for i in range(hits.start[cell], hits.start[cell + 1]):
                if used[i] or hits.along[i] < along_low or hits.along[i] > along_high:
                    continue
                apart = abs(hits.azimuth[i] - azimuth) % TURN
                if min(apart, TURN - apart) > half_width or n_found == len(found):
                    continue
                found[n_found] = i
                n_found += 1
    return n_found

"""Constituents of jets as networks take them: seen from the jet's axis, padded, with a mask."""

from typing import NamedTuple

import numpy as np

FEWEST = 10  # places for constituents, even if no jet has as many


class Constituents(NamedTuple):
    """The hardest constituents of n jets, arrays of shape (n, k); rows of `real` end where a jet does."""

    real: np.ndarray  # bool: false for what fills up
    pt: np.ndarray  # GeV
    energy: np.ndarray  # GeV
    eta: np.ndarray  # pseudorapidity from that of the jet
    phi: np.ndarray  # azimuth from that of the jet, from -pi to pi
    pt_share: np.ndarray  # of the jet's pT
    energy_share: np.ndarray  # of the jet's energy


def constituents(jets, most):
    """Return the up to `most` hardest constituents of every jet; values of what fills up are 0."""
    # Not much further than the largest jet here: what fills up costs time.
    most = min(most, int(jets.counts.max(initial=FEWEST)))
    real = np.arange(most) < jets.counts[:, None]
    energy, px, py, pz = np.moveaxis(jets.padded(most).astype(np.float64), 2, 0)
    pt = np.hypot(px, py)
    jet_energy, jet_px, jet_py, jet_pz = jets.momentum.T[:, :, None]
    jet_pt = np.hypot(jet_px, jet_py)
    tiny = 1e-9
    eta = np.arcsinh(pz / np.maximum(pt, tiny)) - np.arcsinh(jet_pz / np.maximum(jet_pt, tiny))
    phi = (np.arctan2(py, px) - np.arctan2(jet_py, jet_px) + np.pi) % (2 * np.pi) - np.pi
    shares = pt / np.maximum(jet_pt, tiny), energy / np.maximum(jet_energy, tiny)
    return Constituents(real, *(np.where(real, one, 0) for one in (pt, energy, eta, phi, *shares)))


def log(values):
    """Return logarithms; of less than 1e-6, and so of what fills up, that of 1e-6."""
    return np.log(np.maximum(values, 1e-6))


def straighten(c):
    """Return where constituents are, two arrays (n, k), in a frame of the jet's own.

    Its origin is the centre of pT, the second axis that along which pT spreads most, and each axis points to
    where there is more pT.
    """
    total = np.maximum(c.pt_share.sum(axis=1, keepdims=True), 1e-9)
    share = c.pt_share / total

    def mean(values):
        return (share * values).sum(axis=1, keepdims=True)

    x, y = c.eta - mean(c.eta), c.phi - mean(c.phi)
    # The angle of the largest eigenvector of the covariance, from the second axis.
    turn = 0.5 * np.arctan2(2 * mean(x * y), mean(y * y) - mean(x * x))
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    return tuple(np.where(mean(np.sign(axis)) < 0, -axis, axis) for axis in (x, y))

"""What a detector sees of hadrons: tracks of charged ones, calorimeter cells of the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Detector"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Calorimeter:
    """Cells of `size` in eta and phi; resolution `stochastic` / sqrt(E) and `constant`; least pT in GeV."""

    size: float
    stochastic: float
    constant: float
    threshold: float

    def measure(
        self, rng: np.random.Generator, event: Ints, energy: Floats, eta: Floats, phi: Floats
    ) -> tuple[Ints, Floats, Floats, Floats]:
        """Return event, pT, eta and phi of the cells above threshold."""
        columns = int(np.ceil(2 * np.pi / self.size))
        rows = int(np.ceil(2 * _ETA / self.size))
        step = 2 * np.pi / columns
        i_eta = np.floor((eta + _ETA) / self.size).astype(np.int64)
        i_phi = np.floor(phi / step).astype(np.int64) % columns
        cells, which = np.unique((event * rows + i_eta) * columns + i_phi, return_inverse=True)
        total = np.bincount(which, energy)
        spread = np.hypot(self.stochastic * np.sqrt(total), self.constant * total)
        total = total + spread * rng.standard_normal(len(total))
        rest, i_phi = np.divmod(cells, columns)
        event, i_eta = np.divmod(rest, rows)
        # Anywhere in the cell: centres would make a pattern that no real jet has.
        eta = (i_eta + rng.random(len(cells))) * self.size - _ETA
        phi = (i_phi + rng.random(len(cells))) * step
        pt = total / np.cosh(eta)
        seen = pt > self.threshold
        return event[seen], pt[seen], eta[seen], phi[seen]


_ETA = 5.0


@dataclass(frozen=True)
class Detector:
    """The detector's numbers.

    Parameters
    ----------
    charged, photons : float
        Shares of the hadrons that leave tracks, and that are photons; the others are neutral hadrons.
    efficiency : float
        Chance that a track is found. A charged hadron without a track is seen as a neutral one.
    track_threshold : float
        Least pT of a track in GeV.
    """

    charged: float = 0.60
    photons: float = 0.28
    efficiency: float = 0.93
    track_threshold: float = 0.3
    electromagnetic: _Calorimeter = _Calorimeter(0.025, 0.10, 0.007, 0.5)
    hadronic: _Calorimeter = _Calorimeter(0.1, 0.50, 0.03, 1.0)

    def see(self, rng: np.random.Generator, event: Ints, p: Floats) -> tuple[Ints, Floats]:
        """Return events and momenta (E, px, py, pz) of massless objects, in the order of the events."""
        pt = np.hypot(p[:, 1], p[:, 2])
        eta = np.arcsinh(p[:, 3] / np.maximum(pt, 1e-9))
        inside = (np.abs(eta) < _ETA) & (pt > 0.05)
        event, pt, eta, energy = event[inside], pt[inside], eta[inside], p[inside, 0]
        phi = np.arctan2(p[inside, 2], p[inside, 1]) % (2 * np.pi)
        u = rng.random(len(event))
        track = u < self.charged * self.efficiency
        photon = (u >= self.charged) & (u < self.charged + self.photons)
        neutral = ~(track | photon)
        track &= pt > self.track_threshold
        n = int(np.count_nonzero(track))
        smeared = pt[track] * (1 + np.hypot(0.01, 2e-4 * pt[track]) * rng.standard_normal(n))
        parts = [
            (
                event[track],
                np.abs(smeared),
                eta[track] + 1e-3 * rng.standard_normal(n),
                phi[track] + 1e-3 * rng.standard_normal(n),
            ),
            self.electromagnetic.measure(rng, event[photon], energy[photon], eta[photon], phi[photon]),
            self.hadronic.measure(rng, event[neutral], energy[neutral], eta[neutral], phi[neutral]),
        ]
        event, pt, eta, phi = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.argsort(event, kind="stable")
        event, pt, eta, phi = event[order], pt[order], eta[order], phi[order]
        seen = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)
        return event, seen

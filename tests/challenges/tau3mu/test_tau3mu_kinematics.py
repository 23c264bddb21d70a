"""Decays conserve energy and momentum, and the published columns give the mass away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.challenges.tau3mu import kinematics as k


def _parents(n: int, mass: float, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return k.momentum(rng.uniform(500, 20_000, n), rng.uniform(2, 5, n), rng.uniform(-3, 3, n), mass)


@pytest.mark.parametrize(
    ("decay", "mass", "daughters"),
    [
        (k.phase_space_decay, k.TAU_MASS, (k.MUON_MASS, k.MUON_MASS, k.MUON_MASS)),
        (k.resonance_decay, k.DS_MASS, (k.PION_MASS, k.MUON_MASS, k.MUON_MASS)),
    ],
)
def test_decays_conserve_four_momentum_and_give_daughters_their_masses(
    decay: Any, mass: float, daughters: tuple[float, ...]
) -> None:
    parents = _parents(1000, mass)
    tracks = decay(np.random.default_rng(1), parents)
    np.testing.assert_allclose(sum(tracks), parents, rtol=1e-9, atol=1e-6)
    for track, expected in zip(tracks, daughters, strict=True):
        # Rounding of energies around 100 GeV costs digits of a mass of 0.1 GeV.
        np.testing.assert_allclose(k.invariant_mass(track), expected, rtol=1e-3)


def test_muons_of_the_control_channel_come_from_a_phi() -> None:
    _, first, second = k.resonance_decay(np.random.default_rng(1), _parents(1000, k.DS_MASS))
    np.testing.assert_allclose(k.invariant_mass(first + second), k.PHI_MASS, rtol=1e-6)


def test_three_muons_of_phase_space_are_alike() -> None:
    at_rest = np.zeros((4, 40_000))
    at_rest[0] = k.TAU_MASS
    tracks = k.phase_space_decay(np.random.default_rng(2), at_rest)
    energies = np.array([np.quantile(track[0], [0.1, 0.3, 0.5, 0.7, 0.9]) for track in tracks])
    np.testing.assert_allclose(energies, energies.mean(axis=0) + 0 * energies, rtol=0.015)
    for track in tracks:
        assert abs((track[3] / np.hypot(k.transverse(track), track[3])).mean()) < 0.01


@given(pt=st.floats(10, 1e5), eta=st.floats(-6, 6), phi=st.floats(-3.14, 3.14), mass=st.floats(50, 3000))
def test_particle_at_rest_is_boosted_to_its_parent(pt: float, eta: float, phi: float, mass: float) -> None:
    parent = k.momentum(np.array([pt]), eta, phi, mass)
    at_rest = np.array([[k.invariant_mass(parent)[0]], [0.0], [0.0], [0.0]])
    np.testing.assert_allclose(k.boost(at_rest, parent), parent, rtol=1e-9, atol=1e-9 * parent[0, 0])


def _columns(tracks: Any) -> dict[str, Any]:
    columns = {"pt": k.transverse(sum(tracks))}
    for number, track in enumerate(tracks):
        columns[f"p{number}_pt"] = k.transverse(track)
        columns[f"p{number}_eta"] = np.arcsinh(track[3] / k.transverse(track))
        columns[f"p{number}_p"] = columns[f"p{number}_pt"] * np.cosh(columns[f"p{number}_eta"])
    return columns


def test_mass_is_rebuilt_from_exact_momenta_without_azimuths() -> None:
    tracks = k.phase_space_decay(np.random.default_rng(1), _parents(1000, 1700.0))
    np.testing.assert_allclose(k.mass_from_momenta(_columns(tracks)), 1700.0, rtol=1e-6)


def test_mass_is_rebuilt_from_the_proper_time_of_a_flight() -> None:
    parents = _parents(1000, 1700.0)
    columns = _columns(k.phase_space_decay(np.random.default_rng(1), parents))
    size = np.sqrt(np.square(parents[1:]).sum(axis=0))
    columns["LifeTime"] = np.full(1000, 3e-4)
    # beta gamma c t
    columns["FlightDistance"] = size / 1700.0 * k.LIGHT_SPEED * 3e-4
    np.testing.assert_allclose(k.mass_from_lifetime(columns), 1700.0, rtol=1e-9)


@pytest.mark.parametrize(
    ("rebuilt", "half_within"), [("mass_from_momenta", 5.0), ("mass_from_lifetime", 9.0)]
)
def test_published_columns_give_the_mass_away(
    published: pd.DataFrame, rebuilt: str, half_within: float
) -> None:
    off = getattr(k, rebuilt)(published) - published["mass"]
    assert np.median(np.abs(off)) < half_within

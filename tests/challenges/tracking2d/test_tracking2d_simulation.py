"""The simulated events obey the constants that were published for the hackathon."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.challenges.tracking2d import simulation
from hepchallenge.challenges.tracking2d.simulation import RADII, Crossings, Particles

N = 20_000


def _random(seed: int = 5) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _particles(pt: float, charge: int = 1, n: int = N) -> Particles:
    """Return particles that leave the origin in the direction of x, one an event."""
    zero = np.zeros(n)
    event, number = np.arange(n), np.zeros(n, dtype=np.int64)
    return Particles(event, number, zero, zero, zero, np.full(n, pt), np.full(n, charge))


def _azimuths(particles: Particles, layer: int) -> np.ndarray:
    """Return the signed azimuth of every particle at a layer, NaN where it did not get there."""
    crossings = simulation.propagate(particles, _random())
    here = crossings.layer == layer
    phi = np.full(len(particles), np.nan)
    phi[crossings.particle[here]] = (crossings.phi[here] + np.pi) % (2 * np.pi) - np.pi
    return phi


@pytest.mark.parametrize("charge", [-1, 1])
@pytest.mark.parametrize("pt", [300.0, 2000.0])
def test_particles_fly_on_circles_of_radius_pt_over_0_3(
    pt: float, charge: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation, "SCATTERING", 0.0)
    for layer, radius in enumerate(RADII):
        phi = _azimuths(_particles(pt, charge, 50), layer)
        # The chord from the origin turns half as far as the arc; positive charges turn clockwise.
        np.testing.assert_allclose(
            phi[~np.isnan(phi)], -charge * np.arcsin(radius / (2 * pt / 0.3)), atol=1e-11
        )


def test_particles_start_at_their_vertices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "SCATTERING", 0.0)
    particles = simulation.make_particles(500, _random(1))
    crossings = simulation.propagate(particles, _random())
    row, phi = crossings.particle, crossings.phi
    turn = -particles.charge[row] * particles.pt[row] / 0.3
    centre = (
        particles.x[row] - turn * np.sin(particles.phi[row]),
        particles.y[row] + turn * np.cos(particles.phi[row]),
    )
    r = RADII[crossings.layer]
    distance = np.hypot(r * np.cos(phi) - centre[0], r * np.sin(phi) - centre[1])
    np.testing.assert_allclose(distance, np.abs(turn), rtol=1e-9)


@pytest.mark.parametrize("pt", [1000.0, 8000.0])
def test_a_layer_scatters_by_13_6_mev_over_the_momentum(pt: float, monkeypatch: pytest.MonkeyPatch) -> None:
    particles = _particles(pt)
    scattered = _azimuths(particles, 1)
    monkeypatch.setattr(simulation, "SCATTERING", 0.0)
    # A deflection in layer 0 shows in layer 1, over the distance between them.
    deflection = (scattered - _azimuths(particles, 1)) * RADII[1] / (RADII[1] - RADII[0])
    expected = 13.6 * np.sqrt(0.02) / pt
    assert np.nanstd(deflection) == pytest.approx(expected, rel=0.03)
    assert abs(np.nanmean(deflection)) < 4 * expected / np.sqrt(N)


def test_three_percent_of_crossings_go_unseen_and_one_percent_of_particles_stop_in_a_layer() -> None:
    crossings = simulation.propagate(_particles(5000.0), _random())
    assert np.mean(crossings.seen) == pytest.approx(0.97, abs=4 * np.sqrt(0.03 / len(crossings.seen)))
    reached = np.bincount(crossings.layer)
    assert reached[0] == N
    assert len(reached) == len(RADII)
    np.testing.assert_allclose(reached[1:] / reached[:-1], 0.99, atol=4 * np.sqrt(0.01 / N))
    # Stopping is independent of being seen.
    last = np.zeros(N, dtype=int)
    np.maximum.at(last, crossings.particle, crossings.layer)
    at_end = (crossings.layer == last[crossings.particle]) & (crossings.layer < 8)
    assert np.mean(crossings.seen[at_end]) == pytest.approx(0.97, abs=4 * np.sqrt(0.03 / at_end.sum()))


def test_particles_are_drawn_as_published() -> None:
    particles = simulation.make_particles(2000, _random(2))
    n = len(particles)
    assert n / 2000 == pytest.approx(10.0, abs=4 * np.sqrt(10 / 2000))
    assert (np.bincount(particles.event) > 0).all()
    for spread in (particles.x.std(), particles.y.std()):
        assert spread == pytest.approx(2 / 3, rel=4 / np.sqrt(2 * n))
    uniform = [(particles.pt - 300) / 9700, (particles.phi + np.pi) / (2 * np.pi)]
    for values in uniform:
        assert values.min() >= 0
        assert values.max() <= 1
        np.testing.assert_allclose(np.histogram(values, 10, (0, 1))[0] / n, 0.1, atol=4 * np.sqrt(0.09 / n))
    assert set(particles.charge) == {-1, 1}
    assert abs(particles.charge.mean()) < 4 / np.sqrt(n)


def test_the_multiplicity_can_be_chosen_and_is_never_zero() -> None:
    particles = simulation.make_particles(1000, _random(), mean_multiplicity=20)
    assert len(particles) / 1000 == pytest.approx(20, abs=0.6)
    few = np.bincount(simulation.make_particles(1000, _random(), mean_multiplicity=0.1).event)
    assert few.min() == 1
    assert few.mean() == pytest.approx(0.1 / (1 - np.exp(-0.1)), abs=0.05)


def test_a_hit_stands_at_the_lower_edge_of_its_cell_or_at_the_centre() -> None:
    edge = simulation.simulate(50, seed=4)
    centre = simulation.simulate(50, seed=4, half_cell_bias=False)
    pd.testing.assert_frame_equal(
        edge[["event_id", "cluster_id", "layer", "iphi"]], centre[["event_id", "cluster_id", "layer", "iphi"]]
    )
    layer = edge.layer.to_numpy()
    np.testing.assert_allclose(np.hypot(edge.x, edge.y), RADII[layer])
    moved = np.arctan2(centre.y, centre.x) - np.arctan2(edge.y, edge.x)
    half = np.pi / simulation.CELLS[layer]
    np.testing.assert_allclose((moved + np.pi) % (2 * np.pi) - np.pi, half, rtol=1e-6)
    # Half a cell is half the pitch of 25 or 50 micrometres.
    np.testing.assert_allclose(half * RADII[layer], np.where(layer < 5, 0.0125, 0.025), rtol=2e-4)


def test_of_two_particles_in_one_cell_the_last_is_recorded() -> None:
    particles = Particles(
        np.array([0, 0, 0, 1]), np.array([0, 1, 2, 0]), *np.zeros((4, 4)), np.ones(4, dtype=np.int64)
    )
    cell = 2 * np.pi / simulation.CELLS[3]
    crossings = Crossings(
        np.arange(4), np.full(4, 3), np.array([7.9, 7.1, 8.1, 7.5]) * cell, np.ones(4, dtype=bool)
    )
    hits = simulation.record(particles, crossings, _random())
    assert sorted(zip(hits.event_id, hits.cluster_id, hits.iphi, strict=True)) == [
        (0, 1, 7),
        (0, 2, 8),
        (1, 0, 7),
    ]
    both = simulation.record(particles, crossings, _random(), last_particle_wins=False)
    assert sorted(zip(both.event_id, both.cluster_id, both.iphi, strict=True)) == [
        (0, 0, 7),
        (0, 1, 7),
        (0, 2, 8),
        (1, 0, 7),
    ]


def test_an_azimuth_that_rounds_up_to_a_whole_turn_is_in_the_first_cell() -> None:
    particles = _particles(1000.0, n=1)
    crossings = Crossings(np.array([0]), np.array([0]), np.array([2 * np.pi]), np.array([True]))
    assert list(simulation.record(particles, crossings, _random()).iphi) == [0]


def test_hits_are_shuffled_within_their_events() -> None:
    hits = simulation.simulate(200, seed=3)
    assert hits.event_id.is_monotonic_increasing
    for name in ("layer", "cluster_id"):
        rank = hits.groupby("event_id").cumcount()
        assert abs(np.corrcoef(rank - rank.mean(), hits[name])[0, 1]) < 0.2, name
        steps = hits.groupby("event_id")[name].diff().dropna()
        assert (steps < 0).mean() > 0.3, name


def test_events_are_the_same_for_the_same_seed_only() -> None:
    first = simulation.simulate(20, seed=1)
    pd.testing.assert_frame_equal(first, simulation.simulate(20, seed=1))
    assert not first.equals(simulation.simulate(20, seed=2))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 20), st.integers(0, 2**32), st.floats(0.01, 60.0), st.booleans(), st.booleans())
def test_every_table_is_consistent(n: int, seed: int, mean: float, bias: bool, last: bool) -> None:
    hits = simulation.simulate(n, seed, mean_multiplicity=mean, half_cell_bias=bias, last_particle_wins=last)
    assert hits.event_id.between(0, n - 1).all()
    assert hits.layer.between(0, 8).all()
    assert (hits.iphi >= 0).all()
    assert (hits.iphi < simulation.CELLS[hits.layer]).all()
    assert not hits.duplicated(["event_id", "cluster_id", "layer"]).any()
    if last:
        assert not hits.duplicated(["event_id", "layer", "iphi"]).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_events": 0}, "n_events must be at least 1, found 0"),
        ({"n_events": 1, "mean_multiplicity": 0.0}, "at least 0.01, found 0"),
        ({"n_events": 1, "mean_multiplicity": float("nan")}, "at least 0.01, found nan"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulation.simulate(**arguments)  # type: ignore[arg-type]

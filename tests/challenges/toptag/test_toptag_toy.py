"""Toy jets: every step keeps momentum, and the jets are what the published ones are said to be."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from hepchallenge.challenges.toptag.jets import Jets
from hepchallenge.challenges.toptag.toy import cluster, simulate_jets, toy_table
from hepchallenge.challenges.toptag.toy.detector import Detector
from hepchallenge.challenges.toptag.toy.hadrons import Hadronisation
from hepchallenge.challenges.toptag.toy.hard import HardPartons, HardProcess
from hepchallenge.challenges.toptag.toy.jets import CONE, selected
from hepchallenge.challenges.toptag.toy.kinematics import (
    boosted,
    distances,
    isotropic,
    masses,
    sums,
    turned,
    two_body_momentum,
)
from hepchallenge.challenges.toptag.toy.shower import (
    BOTTOM,
    GLUON,
    LIGHT,
    TOP,
    Shower,
    jet_masses,
    placed,
    running_coupling,
)
from hepchallenge.exceptions import UsageError

needs_fastjet = pytest.mark.usefixtures("fastjet")


@pytest.fixture(scope="session")
def fastjet() -> None:
    pytest.importorskip("fastjet", reason="no fastjet: toy jets cannot be clustered")


@pytest.fixture(scope="session")
def tops(fastjet: None) -> Jets:
    """Some hundred toy top jets."""
    return as_jets(400, top=True)


@pytest.fixture(scope="session")
def others(fastjet: None) -> Jets:
    """As many toy jets of quarks and gluons."""
    return as_jets(400, top=False)


def as_jets(n: int, *, top: bool, seed: int = 3) -> Jets:
    pieces = list(simulate_jets(n, top=top, seed=seed))
    counts = np.concatenate([piece.counts for piece in pieces])
    flat = np.concatenate([piece.constituents for piece in pieces])
    return Jets(flat, np.concatenate([[0], np.cumsum(counts)]), np.zeros(len(counts), dtype=bool))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# Shower


@pytest.mark.parametrize(("kind", "mass"), [(GLUON, 0.0), (LIGHT, 0.0), (BOTTOM, 4.8), (TOP, 173.0)])
def test_every_branching_shares_out_its_momentum(kind: int, mass: float) -> None:
    n = 200
    partons = Shower().run(rng(), np.full(n, kind), np.full(n, 800.0), np.full(n, mass))
    assert len(partons.jet) > 1.2 * n
    for values, expected in ((partons.alpha, 1.0), (partons.kx, 0.0), (partons.ky, 0.0)):
        np.testing.assert_allclose(np.bincount(partons.jet, values, n), expected, atol=1e-9)
    assert (partons.alpha > 0).all()
    if kind in (BOTTOM, TOP):
        assert np.array_equal(np.bincount(partons.jet[partons.kind == kind], minlength=n), np.ones(n))


def test_a_showered_jet_has_the_momentum_that_was_asked_for() -> None:
    n = 100
    partons = Shower().run(rng(), np.full(n, GLUON), np.full(n, 800.0), np.zeros(n))
    mass = rng().uniform(0.1, 2.0, len(partons.jet))
    axis, momentum = isotropic(rng(), n), rng().uniform(1, 600, n)
    together = jet_masses(partons, mass, n)
    p = placed(partons, mass, together, axis, momentum)
    np.testing.assert_allclose(masses(p), mass, rtol=1e-5)
    jet = sums(partons.jet, p, n)
    np.testing.assert_allclose(jet[:, 1:], axis * momentum[:, None], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(jet[:, 0], np.hypot(together, momentum), rtol=1e-9)


def test_gluons_radiate_more_than_quarks_and_quarks_more_than_tops() -> None:
    n = 500
    numbers = [
        len(Shower().run(rng(), np.full(n, kind), np.full(n, 800.0), np.full(n, mass)).jet) / n
        for kind, mass in ((GLUON, 0.0), (LIGHT, 0.0), (TOP, 173.0))
    ]
    assert numbers[0] > 1.5 * numbers[1] > 3 * numbers[2] > 3


def test_a_parton_below_the_cut_off_stays_as_it_is() -> None:
    partons = Shower(smallest_kt=1.0).run(rng(), np.full(9, GLUON), np.full(9, 3.9), np.zeros(9))
    assert np.array_equal(np.sort(partons.jet), np.arange(9))


def test_a_first_branching_falls_like_the_coupling_and_the_splitting_function() -> None:
    # With little evolution left, the rate is that of one branching: an integral over scale and z.
    n, low, high, cut = 200_000, 40.0, 44.0, 10.0
    partons = Shower(smallest_kt=cut).run(rng(), np.full(n, LIGHT), np.full(n, high), np.zeros(n))
    branched = (np.bincount(partons.jet, minlength=n) > 1).mean()
    q, z = np.meshgrid(np.linspace(low, high, 201), np.linspace(0, 1, 4001)[1:-1], indexing="ij")
    kt2 = (z * (1 - z) * q) ** 2
    splitting = 4 / 3 * (1 + z**2) / (1 - z) * 2 / q
    rate = np.where(kt2 > cut**2, running_coupling(np.maximum(kt2, 1), 0.116) / (2 * np.pi) * splitting, 0)
    expected = rate.mean() * (high - low)
    assert branched == pytest.approx(expected, rel=0.05)


# Kinematics and decays


def test_a_boost_takes_a_body_at_rest_to_its_frame_and_keeps_masses() -> None:
    frame = np.array([[5.0, 0.0, 3.0, 0.0], [13.0, 0.0, 0.0, -12.0]])
    at_rest = np.array([[4.0, 0, 0, 0], [5.0, 0, 0, 0]])
    np.testing.assert_allclose(boosted(at_rest, frame), frame)
    moving = np.concatenate([np.full((2, 1), 3.0), isotropic(rng(), 2)], axis=1)
    np.testing.assert_allclose(masses(boosted(moving, frame)), masses(moving))
    np.testing.assert_allclose(masses(turned(frame, np.array([1.0, -2]), np.array([0.3, 2]))), [4, 5])


def test_two_bodies_at_rest_have_the_energy_of_their_parent() -> None:
    momentum = two_body_momentum(np.array([173.0, 1.0]), np.array([80.4, 0.6]), np.array([4.8, 0.6]))
    assert np.hypot(80.4, momentum[0]) + np.hypot(4.8, momentum[0]) == pytest.approx(173.0)
    assert np.isnan(momentum[1])


def test_hadrons_have_the_momentum_of_their_clusters() -> None:
    mass = np.linspace(0.3, 6, 50)
    direction = isotropic(rng(), 50) * 20
    p = np.concatenate([np.hypot(mass, 20)[:, None], direction], axis=1)
    event, hadrons = Hadronisation().decay(rng(), np.arange(50), p)
    np.testing.assert_allclose(sums(event, hadrons, 50), p, rtol=1e-9)
    assert len(event) > 150
    assert masses(hadrons).max() < 0.4


def test_only_bottom_loses_neutrinos() -> None:
    kind = np.repeat([BOTTOM, LIGHT], 500)
    p = np.tile([30.0, 29.0, 0, 0], (1000, 1))
    visible = Hadronisation(neutrinos=0.5).without_neutrinos(rng(), kind, p)
    lost = visible[:, 0] < 30
    assert 0.4 < lost[:500].mean() < 0.6
    assert not lost[500:].any()
    assert (masses(visible) > 0).all()


def test_tops_decay_into_w_and_b_on_their_mass_shells() -> None:
    process = HardProcess(initial=0.0, hadronisation=Hadronisation(neutrinos=0.0))
    hard = process.top(rng(), 400)
    top, b, first, second = hard.decay.transpose(1, 0, 2)
    np.testing.assert_allclose(top, b + first + second, rtol=1e-6, atol=1e-6)
    assert abs(np.median(masses(top)) - 173) < 0.5
    assert abs(np.median(masses(first + second)) - 80.4) < 0.7
    assert hard.event.max() == len(top) - 1
    # The clusters of an event are all there is: they have what the hard parton had across its direction.
    assert (sums(hard.event, hard.p, len(top))[:, 0] >= top[:, 0] * 0.999).all()


def test_quarks_and_gluons_keep_the_momentum_of_the_hard_parton() -> None:
    process = HardProcess(initial=0.0, lowest_pt=600.0, highest_pt=600.1)
    hard = process.qcd(rng(), 300)
    total = sums(hard.event, hard.p, 300)
    np.testing.assert_allclose(np.hypot(total[:, 1], total[:, 2]), 600, rtol=1e-3)
    assert not hard.decay.any()


# Detector and jets


def test_the_detector_sees_most_of_the_energy_in_the_right_place() -> None:
    n = 300
    phi, eta = rng().uniform(-np.pi, np.pi, n), rng(1).uniform(-2, 2, n)
    p = np.repeat(50 * np.stack([np.cosh(eta), np.cos(phi), np.sin(phi), np.sinh(eta)], axis=1), 4, axis=0)
    event, seen = Detector().see(rng(), np.repeat(np.arange(n), 4), p)
    assert (np.diff(event) >= 0).all()
    np.testing.assert_allclose(masses(seen), 0, atol=1e-4)
    total = sums(event, seen, n)
    assert np.median(np.hypot(total[:, 1], total[:, 2])) == pytest.approx(200, rel=0.03)
    assert np.quantile(distances(total, p[::4]), 0.99) < 0.1


def test_photons_in_one_cell_are_one_object() -> None:
    p = np.tile([[10.0, 10.0 / np.cosh(0.01), 0.0, 10.0 * np.tanh(0.01)]], (50, 1))
    detector = Detector(charged=0.0, photons=1.0)
    event, seen = detector.see(rng(), np.zeros(50, dtype=np.int64), p)
    assert len(event) == 1
    assert seen[0, 0] == pytest.approx(500, rel=0.05)


def massless(pt: float, eta: float, phi: float) -> list[float]:
    return [pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]


@pytest.mark.parametrize(
    ("pt", "eta", "far", "taken"),
    [
        (600.0, 1.9, None, True),
        (549.0, 1.9, None, False),
        (651.0, 1.9, None, False),
        (600.0, 2.01, None, False),
        (600.0, 1.9, 0, False),
        (600.0, 1.9, 1, False),
        (600.0, 1.9, 2, False),
        (600.0, 1.9, 3, False),
    ],
)
def test_a_jet_is_taken_if_it_is_in_range_and_near_the_top_and_its_quarks(
    pt: float, eta: float, far: int | None, taken: bool
) -> None:
    decay = np.array([[massless(100, eta + 0.5 if i != far else eta + 0.81, 0) for i in range(4)]])
    p = np.array([massless(pt / 3, eta, 0), massless(2 * pt / 3, eta, 0)])
    jets = selected(np.zeros(2, dtype=np.int64), p, HardPartons(np.zeros(0, int), np.zeros((0, 4)), decay))
    assert len(jets.counts) == taken
    np.testing.assert_allclose(jets.constituents, p[::-1] if taken else np.zeros((0, 4)), rtol=1e-6)


def test_a_jet_of_no_top_needs_no_match_and_keeps_its_200_hardest_constituents() -> None:
    pt = np.linspace(1, 4.9, 203)
    p = np.array([massless(x, 0, 0) for x in pt])
    nothing = HardPartons(np.zeros(0, int), np.zeros((0, 4)), np.zeros((1, 4, 4)))
    jets = selected(np.zeros(203, dtype=np.int64), p, nothing)
    assert jets.counts.tolist() == [200]
    np.testing.assert_allclose(jets.constituents[:, 1], pt[:2:-1], rtol=1e-6)


@needs_fastjet
def test_the_hardest_jet_of_every_event_is_found() -> None:
    def objects(*pt_eta_phi: tuple[float, float, float]) -> np.ndarray:
        pt, eta, phi = np.array(pt_eta_phi).T
        return np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)

    p = np.concatenate(
        [
            objects((200.0, 0.0, 0.0), (20.0, 0.5, 0.5), (300.0, 1.5, 2.0), (10.0, 1.5, 2.7)),
            objects((50.0, 0.0, 0.0)),
            objects((400.0, 0.0, 3.1), (5.0, 0.1, -3.1)),
        ]
    )
    rows, event = cluster(np.array([0, 0, 0, 0, 1, 3, 3]), p, 4)
    assert sorted(zip(rows.tolist(), event.tolist(), strict=True)) == [(2, 0), (3, 0), (5, 3), (6, 3)]


def test_without_fastjet_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastjet", None)
    with pytest.raises(UsageError, match=r"fastjet.*not installed.*pip install hepchallenge\[toptag\]"):
        toy_table(2, 0)


@needs_fastjet
def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    as_jets(1, top=True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["tops", "others"])
def test_jets_are_within_the_published_selection(name: str, request: pytest.FixtureRequest) -> None:
    jets: Jets = request.getfixturevalue(name)
    assert ((jets.pt >= 549.99) & (jets.pt <= 650.01)).all()
    momentum = jets.momentum
    assert (np.abs(np.arcsinh(momentum[:, 3] / jets.pt)) < 2).all()
    assert jets.counts.min() >= 1
    assert jets.counts.max() <= 200
    for jet in jets[:50]:
        pt = np.hypot(jet[:, 1], jet[:, 2])
        assert (np.diff(pt) <= 1e-4).all()
        axis = jet.sum(axis=0, dtype=float)
        assert distances(jet.astype(float), np.tile(axis, (len(jet), 1))).max() < 1.6 * CONE


def test_tops_are_where_their_jets_are(fastjet: None) -> None:
    pieces = list(simulate_jets(300, top=True, seed=1))
    truth = np.concatenate([piece.truth for piece in pieces]).astype(float)
    assert (distances(truth, as_jets(300, top=True, seed=1).momentum) < CONE).all()
    assert np.median(masses(truth)) == pytest.approx(173, abs=0.5)
    assert not any(piece.truth.any() for piece in simulate_jets(50, top=False, seed=1))


def test_top_jets_have_the_mass_of_the_top_and_others_fall(tops: Jets, others: Jets) -> None:
    assert 160 < np.median(tops.mass) < 178
    assert np.mean(np.abs(tops.mass - 170) < 30) > 0.7
    histogram, _ = np.histogram(others.mass, [20, 60, 120, 180, 240])
    assert histogram[0] > histogram[2] > histogram[3]
    assert np.mean(np.abs(others.mass - 170) < 30) < 0.2


def test_top_jets_have_more_constituents(tops: Jets, others: Jets) -> None:
    assert 30 < others.counts.mean() < 45
    assert 50 < tops.counts.mean() < 65


@needs_fastjet
def test_jets_depend_on_the_seed_alone() -> None:
    few, many = as_jets(30, top=True), as_jets(150, top=True)
    assert np.array_equal(many[:30].constituents[: many.offsets[30]], few.constituents)
    assert not np.array_equal(as_jets(30, top=True, seed=4).counts, few.counts)
    one, two = toy_table(40, 7), toy_table(40, 7)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@needs_fastjet
def test_classes_are_shuffled_with_what_belongs_to_them() -> None:
    table = toy_table(101, 5)
    assert table.is_signal.sum() == 50
    assert 10 < np.count_nonzero(np.diff(table.is_signal)) < 90
    assert np.array_equal(table.truth.any(axis=1), table.is_signal == 1)
    jets = Jets(table.constituents, np.concatenate([[0], np.cumsum(table.counts)]), table.is_signal == 1)
    own = as_jets(50, top=True, seed=5)
    np.testing.assert_allclose(np.sort(jets.mass[table.is_signal == 1]), np.sort(own.mass))


@pytest.mark.parametrize(("n", "seed"), [(-1, 0), (1, -1)])
def test_negative_numbers_are_refused(n: int, seed: int) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        list(simulate_jets(n, top=True, seed=seed))


@needs_fastjet
def test_partons_that_make_no_jets_in_range_are_refused() -> None:
    with pytest.raises(ValueError, match="none of the hard partons makes a jet in range"):
        list(simulate_jets(1, top=False, seed=0, process=HardProcess(lowest_pt=100.0, highest_pt=110.0)))


def test_no_jets_need_no_simulation() -> None:
    assert len(toy_table(0, 0).counts) == 0

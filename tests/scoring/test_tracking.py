"""Efficiency, split, fake and duplicate rates, purity and completeness of tracks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.scoring.tracking import (
    Curve,
    Matching,
    duplicate_curves,
    efficiency_curves,
    fake_curves,
    match_event,
    match_tracks,
    overall_rates,
    split_curves,
    sum_curves,
    track_quality,
)
from hepchallenge.scoring.trackml import event_score

# Six hits of each of four particles, two of a fifth, and three of noise; the fourth is neutral.
PARTICLES = pd.DataFrame(
    {
        "particle_id": [11, 12, 13, 14, 15],
        "vx": [0.0, 3.0, 30.0, 0.0, 0.0],
        "vy": [0.0, 4.0, 40.0, 0.0, 0.0],
        "px": [0.3, 1.2, 3.0, 1.0, 1.0],
        "py": [0.4, 1.6, 4.0, 0.0, 0.0],
        "pz": [0.0, -2.0, 5.0, 0.0, 0.0],
        "q": [1, -1, 1, 0, 1],
    }
)
HITS = np.repeat([11, 12, 13, 14, 15, 0], [6, 6, 6, 6, 2, 3])

answers = st.lists(st.integers(0, 8), min_size=len(HITS), max_size=len(HITS)).map(np.array)


def rates(tracks: np.ndarray, hits: np.ndarray = HITS) -> dict[str, tuple[int, int]]:
    """Return passing and all cases of every rate."""
    curves = overall_rates(match_event(hits, tracks, PARTICLES))
    return {name: (int(curve.passed[0]), int(curve.total[0])) for name, curve in curves.items()}


def tracks_of(*tracks: tuple[int, int, int]) -> np.ndarray:
    """Return track ids from (particle, number of its next hits, track id); the rest is track 0."""
    ids, used = np.zeros(len(HITS), dtype=np.int64), {}
    for particle, number, track in tracks:
        start = used.get(particle, 0)
        ids[np.flatnonzero(particle == HITS)[start : start + number]] = track
        used[particle] = start + number
    return ids


def test_exact_tracks_find_every_reconstructible_particle_and_nothing_else() -> None:
    # Counted are four tracks of particles: the fifth particle's is too short, noise is left over.
    assert rates(HITS) == {"efficiency": (3, 3), "split": (0, 3), "fake": (0, 4), "duplicate": (0, 4)}
    quality = track_quality(match_event(HITS, HITS, PARTICLES))
    assert quality.purity.tolist() == quality.completeness.tolist() == [1.0] * 4


def test_an_answer_of_leftovers_only_has_no_tracks() -> None:
    assert rates(np.zeros(len(HITS), dtype=int)) == {
        "efficiency": (0, 3),
        "split": (0, 3),
        "fake": (0, 0),
        "duplicate": (0, 0),
    }


def test_all_hits_in_one_track_are_one_fake() -> None:
    assert rates(np.full(len(HITS), 5))["fake"] == (1, 1)
    assert rates(np.full(len(HITS), 5))["efficiency"] == (0, 3)


def test_one_track_a_hit_finds_nothing_and_has_no_counted_tracks() -> None:
    found = rates(np.arange(len(HITS)))
    assert found["efficiency"] == (0, 3)
    assert found["fake"] == found["duplicate"] == (0, 0)


def test_a_particle_in_two_halves_is_split_and_not_found() -> None:
    found = rates(tracks_of((11, 3, 1), (11, 3, 2)))
    assert found == {"efficiency": (0, 3), "split": (1, 3), "fake": (0, 2), "duplicate": (1, 2)}


def test_the_track_with_most_hits_of_the_particle_is_no_duplicate() -> None:
    particles = PARTICLES.assign(q=1)
    hits = np.array([11] * 9)
    matching = match_event(hits, np.array([1, 1, 1, 7, 7, 7, 7, 7, 7]), particles)
    assert matching.table.track_id[matching.duplicate].tolist() == [1]
    assert matching.found.tolist() == [True]


def test_of_equally_good_tracks_the_smallest_id_is_no_duplicate() -> None:
    matching = match_event(HITS, tracks_of((11, 3, 6), (11, 3, 2)), PARTICLES)
    assert matching.table.track_id[matching.duplicate].tolist() == [6]


def test_a_track_of_noise_is_a_fake_of_no_purity() -> None:
    matching = match_event(HITS, tracks_of((0, 3, 4)), PARTICLES)
    assert matching.fake.tolist() == [True]
    assert [values.tolist() for values in track_quality(matching)] == [[0.0], [0.0]]


def test_half_of_a_track_is_not_a_majority() -> None:
    assert rates(tracks_of((11, 4, 1), (12, 4, 1)))["fake"] == (1, 1)
    assert rates(tracks_of((11, 4, 1), (12, 3, 1)))["efficiency"] == (1, 3)


def test_a_good_track_of_id_0_is_counted() -> None:
    only = np.array([11] * 6)
    assert rates(np.zeros(6, dtype=int), only) == {
        "efficiency": (1, 1),
        "split": (0, 1),
        "fake": (0, 1),
        "duplicate": (0, 1),
    }


def test_efficiency_is_put_at_the_properties_of_particles() -> None:
    curves = efficiency_curves(match_event(HITS, tracks_of((11, 6, 1), (13, 4, 3)), PARTICLES))
    for name, values in {"pt": [0.5, 2.0, 5.0], "radius": [0.0, 5.0, 50.0]}.items():
        bins = np.searchsorted(curves[name].edges, values, side="right") - 1
        assert curves[name].total[bins].tolist() == [1, 1, 1]
        assert curves[name].value[bins].tolist() == [1.0, 0.0, 1.0]
    # pz over pT is 0, -1 and 1.
    bins = np.searchsorted(curves["eta"].edges, np.arcsinh([0.0, -1.0, 1.0]), side="right") - 1
    assert curves["eta"].value[bins].tolist() == [1.0, 0.0, 1.0]
    assert curves["hits"].total[np.searchsorted(curves["hits"].edges, 6) - 1] == 3


def test_fakes_are_put_at_the_particle_and_at_the_hits_of_the_track() -> None:
    curves = fake_curves(match_event(HITS, tracks_of((11, 4, 1), (12, 3, 1), (13, 3, 1)), PARTICLES))
    assert curves["pt"].passed[np.searchsorted(curves["pt"].edges, 0.5) - 1] == 1
    assert curves["hits"].passed[np.searchsorted(curves["hits"].edges, 10) - 1] == 1


def test_tracks_of_particles_that_are_not_listed_are_in_the_curve_of_hits_only() -> None:
    matching = match_event(np.array([77] * 5), np.array([1] * 5), PARTICLES)
    curves = duplicate_curves(matching)
    assert curves["hits"].total.sum() == 1
    assert curves["pt"].total.sum() == 0


def test_noise_has_no_properties_even_if_it_is_listed() -> None:
    listed = PARTICLES.assign(particle_id=[0, 12, 13, 14, 15])
    matching = match_event(np.array([0] * 5), np.array([1] * 5), listed)
    assert matching.particle_id.size == 0
    assert fake_curves(matching)["pt"].total.sum() == 0


def test_reconstructible_particles_are_charged_and_have_hits_enough() -> None:
    assert match_event(HITS, HITS, PARTICLES).particle_id.tolist() == [11, 12, 13]
    assert match_event(HITS, HITS, PARTICLES, min_hits=2).particle_id.tolist() == [11, 12, 13, 15]


def test_of_equally_frequent_particles_the_smallest_id_is_the_majority() -> None:
    tracks = match_tracks([9, 9, 2, 2, 5], [1, 1, 1, 1, 1])
    assert (tracks.particle_id.tolist(), tracks.n_common.tolist()) == ([2], [2])


@settings(deadline=None)
@given(answers)
def test_rates_of_particles_and_tracks_fit_together(tracks: np.ndarray) -> None:
    matching = match_event(HITS, tracks, PARTICLES)
    assert not (matching.fake & matching.duplicate).any()
    # Each pure track is the best one of its particle or a duplicate.
    pure = ~matching.fake
    assert np.count_nonzero(pure & ~matching.duplicate) == len(np.unique(matching.table.particle_id[pure]))
    quality = track_quality(matching)
    assert ((quality.purity >= 0) & (quality.purity <= 1) & (quality.completeness <= 1)).all()
    assert (quality.purity[pure] > 0.5).all()
    double = (quality.purity > 0.5) & (quality.completeness > 0.5)
    assert set(matching.particle_id[matching.found]) <= set(matching.table.particle_id[double])


@settings(deadline=None)
@given(answers, st.randoms(use_true_random=False))
def test_rates_do_not_depend_on_the_order_of_rows_or_the_names_of_tracks(tracks: np.ndarray, random) -> None:
    order = random.sample(range(len(HITS)), len(HITS))
    # Track 0 is the one name that means something.
    names = np.array([0, *random.sample(range(1, 2**62), 8)])
    assert rates(names[tracks][order], HITS[order]) == rates(tracks)


@settings(deadline=None)
@given(answers)
def test_found_particles_are_those_of_the_event_score(tracks: np.ndarray) -> None:
    matching = match_event(HITS, tracks, PARTICLES)
    for particle, found in zip(matching.particle_id, matching.found, strict=True):
        assert (event_score(HITS, particle == HITS, tracks) > 0) == found


def test_curves_of_events_add_up() -> None:
    matchings = [match_event(HITS, tracks, PARTICLES) for tracks in (HITS, np.zeros(len(HITS), dtype=int))]
    total = sum_curves(efficiency_curves(matching) for matching in matchings)
    assert total["hits"].total.sum() == 6
    assert np.nanmax(total["hits"].value) == 0.5


def test_curves_that_differ_do_not_add_up() -> None:
    matching = match_event(HITS, HITS, PARTICLES)
    with pytest.raises(ValueError, match="different edges"):
        sum_curves([split_curves(matching, {"pt": [0, 1]}), split_curves(matching, {"pt": [0, 2]})])
    with pytest.raises(ValueError, match="cannot be added"):
        sum_curves([split_curves(matching, {"pt": [0, 1]}), split_curves(matching, {"eta": [0, 1]})])
    with pytest.raises(ValueError, match="no curves"):
        sum_curves([])


def curve(passed: list[int], total: list[int]) -> Curve:
    return Curve(np.arange(len(total) + 1.0), np.array(passed), np.array(total))


def test_error_bars_of_nothing_and_everything_end_at_zero_and_one() -> None:
    found = curve([0, 10, 0], [10, 10, 0])
    tail = 0.15865525393145707
    # All or none of n: the solution of p**n = tail.
    np.testing.assert_allclose(found.low, [0, tail**0.1, 0], rtol=1e-9)
    np.testing.assert_allclose(found.high, [1 - tail**0.1, 1, 1], rtol=1e-9)
    assert np.isnan(found.value[2])


@settings(deadline=None)
@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_error_bars_hold_the_value_and_mirror_passing_and_failing(case: tuple[int, int]) -> None:
    passed, total = case
    found, mirrored = curve([passed], [total]), curve([total - passed], [total])
    assert 0 <= found.low[0] <= found.value[0] <= found.high[0] <= 1
    assert found.low[0] == pytest.approx(1 - mirrored.high[0], abs=1e-9)


def test_error_bars_of_a_million_cases_are_those_of_a_normal_distribution() -> None:
    found = curve([300_000], [1_000_000])
    sigma = (0.3 * 0.7 / 1e6) ** 0.5
    assert found.high[0] - found.low[0] == pytest.approx(2 * sigma, rel=1e-2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"track_id": HITS[:-1]}, "29 particle ids for 28 track ids"),
        ({"track_id": HITS * 1.0}, "track_id must be a row of integers"),
        ({"min_hits": 0}, "min_hits must be positive"),
        ({"particles": pd.concat([PARTICLES, PARTICLES])}, "particle 11 is listed twice"),
    ],
)
def test_what_has_no_meaning_is_refused(change: dict[str, object], message: str) -> None:
    arguments = {"particle_id": HITS, "track_id": HITS, "particles": PARTICLES} | change
    with pytest.raises(ValueError, match=message):
        match_event(**arguments)


def test_edges_must_rise_and_coverage_must_be_a_share() -> None:
    matching: Matching = match_event(HITS, HITS, PARTICLES)
    with pytest.raises(ValueError, match="edges of pt must rise"):
        efficiency_curves(matching, {"pt": [1, 1]})
    with pytest.raises(ValueError, match="coverage"):
        curve([1], [2]).interval(1.0)

"""Right, wrong and missed hits, in cases that can be checked by hand and against the score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.challenges.trackml.pictures import MISSED, RIGHT, WRONG, choose_particles, hit_status
from hepchallenge.scoring.trackml import event_score


def status(*pairs: tuple[int, int]) -> list[int]:
    particles, tracks = np.array(pairs).T
    return hit_status(particles, tracks).tolist()


def test_a_perfect_track_is_right() -> None:
    assert status((7, 1), (7, 1), (7, 1)) == [RIGHT] * 3


def test_a_foreign_hit_is_wrong_and_missing_in_its_own_track() -> None:
    assert status((7, 1), (7, 1), (7, 1), (8, 1), (8, 2), (8, 2)) == [
        *(RIGHT,) * 3,
        WRONG | MISSED,
        *(RIGHT,) * 2,
    ]


def test_noise_is_wrong_on_a_matched_track_and_nothing_elsewhere() -> None:
    assert status((7, 1), (7, 1), (0, 1), (0, 2), (0, 2)) == [RIGHT, RIGHT, WRONG, 0, 0]


def test_noise_is_never_matched() -> None:
    assert status((0, 1), (0, 1), (0, 1)) == [0, 0, 0]


def test_half_is_not_the_majority_of_a_track() -> None:
    assert status((7, 1), (7, 1), (8, 1), (8, 1)) == [MISSED] * 4


def test_half_of_the_particle_is_not_enough() -> None:
    assert status((7, 1), (7, 1), (7, 2), (7, 3)) == [MISSED] * 4


def test_a_negative_track_is_none() -> None:
    assert status((7, -1), (7, -1), (7, -1)) == [MISSED] * 3


def test_an_event_without_hits_has_no_status() -> None:
    assert hit_status(np.array([], dtype=int), np.array([], dtype=int)).size == 0


def test_arrays_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3,\) and \(2,\)"):
        hit_status(np.arange(3), np.arange(2))


hits = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.floats(0, 1)), min_size=1, max_size=60)


@given(hits)
def test_the_weight_of_right_hits_is_the_score(event: list[tuple[int, int, float]]) -> None:
    particles, tracks = np.array([hit[:2] for hit in event]).T
    weights = np.array([hit[2] for hit in event]) + 0.01
    weights[particles == 0] = 0
    if not weights.any():
        return
    right = hit_status(particles, tracks) & RIGHT > 0
    assert weights[right].sum() / weights.sum() == pytest.approx(event_score(particles, weights, tracks))


@given(hits)
def test_a_particles_hit_is_right_or_missed_and_no_right_hit_is_wrong(
    event: list[tuple[int, int, float]],
) -> None:
    particles, tracks = np.array([hit[:2] for hit in event]).T
    found = hit_status(particles, tracks)
    right, wrong, missed = (found & code > 0 for code in (RIGHT, WRONG, MISSED))
    assert np.array_equal(right ^ missed, particles != 0)
    assert not (right & wrong).any()


def test_the_particles_of_highest_pt_that_have_enough_hits_are_drawn() -> None:
    of_hits = np.repeat([0, 11, 12, 13, 14], [9, 4, 3, 6, 5])
    ids, pt = np.array([14, 13, 12, 11, 10]), np.array([1.0, 3.0, 9.0, 2.0, 99.0])
    assert choose_particles(ids, of_hits, pt, 2).tolist() == [13, 11]
    assert choose_particles(ids, of_hits, pt, 10).tolist() == [13, 11, 14]

"""The score types of the TrackML challenges."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hepchallenge.exceptions import DataError, InvalidSubmission
from hepchallenge.scoring.trackml import (
    SecondsPerEvent,
    TrackMLAccuracy,
    TrackMLAccuracyPhase2,
    TrackMLThroughput,
    event_weights,
    throughput_score,
)

PRIMARY, SECONDARY = 7 << 52 | 3 << 36, 7 << 52 | 3 << 36 | 1 << 24


def event(weight: list[float] | None = None) -> SimpleNamespace:
    """Return a truth of a primary and a secondary particle of four hits each, weighing 3 to 1."""
    truth = pd.DataFrame(
        {
            "hit_id": np.arange(1, 9, dtype=np.int32),
            "particle_id": [PRIMARY] * 4 + [SECONDARY] * 4,
            "tz": np.array([1, 2, 3, 4] * 2, dtype=np.float32),
            "weight": np.array([3.0] * 4 + [1.0] * 4 if weight is None else weight, dtype=np.float32),
        }
    )
    particles = pd.DataFrame(
        {"particle_id": [PRIMARY, SECONDARY], "vz": 0.0, "px": 3.0, "py": 4.0, "nhits": [4, 4]}
    )
    return SimpleNamespace(truth=truth, particles=particles)


BOTH = np.array([1, 1, 1, 1, 2, 2, 2, 2])
PRIMARY_ONLY = np.array([1, 1, 1, 1, 2, 3, 4, 5])
SECONDARY_ONLY = np.array([2, 3, 4, 5, 1, 1, 1, 1])


def test_accuracy_is_the_mean_over_events_of_published_weights_even_if_they_do_not_sum_to_one() -> None:
    assert TrackMLAccuracy()([event(), event()], [BOTH, PRIMARY_ONLY]) == pytest.approx((1 + 0.75) / 2)


def test_accuracy_of_phase_2_counts_primary_particles_only() -> None:
    score = TrackMLAccuracyPhase2()
    assert score([event()], [PRIMARY_ONLY]) == pytest.approx(1)
    assert score([event()], [SECONDARY_ONLY]) == 0


def test_accuracy_of_phase_2_computes_weights_that_are_published_for_phase_1() -> None:
    three_of_four = np.array([1, 1, 1, 9, 2, 2, 2, 2])
    truth = event()
    expected = event_weights(truth.truth, truth.particles, phase=2)[:3].sum()
    assert TrackMLAccuracyPhase2()([truth], [three_of_four]) == pytest.approx(expected, rel=1e-12)


def test_accuracy_of_phase_2_keeps_weights_that_are_published_for_it() -> None:
    truth = event([1.0, 1.0, 1.0, 5.0, 0.0, 0.0, 0.0, 0.0])
    three_of_four = np.array([1, 1, 1, 9, 2, 2, 2, 2])
    assert TrackMLAccuracyPhase2()([truth], [three_of_four]) == pytest.approx(3 / 8)


def test_throughput_is_the_score_of_the_mean_accuracy_and_the_mean_time() -> None:
    found = TrackMLThroughput().combine(np.array([0.8, 1.0]), np.array([1.0, 3.0]))
    assert found == pytest.approx(throughput_score(0.9, 2.0), rel=1e-12)


def test_throughput_of_a_mean_time_above_the_cap_is_minus_one() -> None:
    assert TrackMLThroughput().combine(np.array([1.0, 1.0]), np.array([1.0, 1300.0])) == -1.0


def test_seconds_per_event_is_the_mean_time() -> None:
    score = SecondsPerEvent()
    assert score.combine(np.zeros(3), np.array([1.0, 2.0, 6.0])) == 3.0
    assert score.is_lower_the_better
    assert score.worst == math.inf


@pytest.mark.parametrize("score", [TrackMLThroughput(), SecondsPerEvent()])
def test_scores_of_time_are_not_a_number_without_times(score: TrackMLThroughput) -> None:
    assert score.needs_seconds
    assert math.isnan(score([event()], [BOTH]))


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        (BOTH[:7], "one integer track id for each of 8 hits"),
        (BOTH.astype(float), "found float64"),
        (BOTH.reshape(2, 4), "shape \\(2, 4\\)"),
        (BOTH - 2, "must not be negative, found -1"),
    ],
)
def test_wrong_tracks_are_the_submissions_fault(tracks: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidSubmission, match=message):
        TrackMLAccuracy().score_event(event(), tracks)


@pytest.mark.parametrize("weight", [0.0, math.nan])
def test_an_event_without_weight_is_the_organisers_fault(weight: float) -> None:
    with pytest.raises(DataError, match="positive finite sum"):
        TrackMLAccuracy().score_event(event([weight] * 8), BOTH)

"""The TrackML kernels: known values, edge cases and properties."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.exceptions import DataError, InvalidSubmission
from hepchallenge.scoring import groups
from hepchallenge.scoring.trackml import (
    drop_hits,
    event_score,
    event_weights,
    hit_weights,
    is_secondary,
    order_matrix,
    order_weights,
    pt_weight,
    random_solution,
    score_event,
    shuffle_hits,
    throughput_score,
)

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason=f"reference values are not at {VECTORS}")

PRIMARY = 7 << 52 | 3 << 36
SECONDARY = PRIMARY | 1 << 24

# Hits of an event: particle, weight and track; few different values, so that everything meets everything.
events = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, PRIMARY, 2**62 + 5]), st.integers(1, 4), st.integers(0, 4)),
    min_size=1,
    max_size=30,
).map(lambda rows: tuple(np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)))
Event = tuple[np.ndarray, np.ndarray, np.ndarray]


def toy() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, dict[str, float]]]:
    tables = [
        pd.read_csv(VECTORS / f"trackml_toy_{name}.csv") for name in ("truth", "particles", "submissions")
    ]
    return (*tables, json.loads((VECTORS / "trackml_toy_expected.json").read_text()))


def score_by_walking(particles: np.ndarray, weights: np.ndarray, tracks: np.ndarray) -> float:
    """Return the event score as its definition says, track by track."""
    score = 0.0
    for track in np.unique(tracks):
        on_track = tracks == track
        ids, counts = np.unique(particles[on_track], return_counts=True)
        majority = ids[np.argmax(counts)]
        common = counts.max()
        if 2 * common > on_track.sum() and 2 * common > (particles == majority).sum():
            score += weights[on_track & (particles == majority)].sum()
    return float(score / weights.sum())


@needs_vectors
def test_order_weights_equal_the_official_table() -> None:
    with (VECTORS / "trackml_order_matrix.csv").open(newline="") as file:
        rows = [[float(word) for word in row] for row in list(csv.reader(file))[1:]]
    assert [row[0] for row in rows] == list(range(4, 21))
    for n_hits, *expected in rows:
        np.testing.assert_allclose(order_matrix()[int(n_hits), :20], expected, rtol=1e-9)


@needs_vectors
def test_pt_weights_equal_the_official_ones() -> None:
    with (VECTORS / "trackml_weight_pt.csv").open(newline="") as file:
        rows = [(float(row["pt"]), float(row["weight_pt"])) for row in csv.DictReader(file)]
    pt, expected = np.array(rows).T
    np.testing.assert_allclose(pt_weight(pt), expected, rtol=1e-9)


@needs_vectors
@pytest.mark.parametrize("phase", [1, 2])
def test_weights_of_the_toy_event_equal_the_official_ones(phase: int) -> None:
    truth, particles, _, _ = toy()
    found = event_weights(truth, particles, phase)
    np.testing.assert_allclose(found, truth[f"weight_phase{phase}"], rtol=1e-9)


@needs_vectors
@pytest.mark.parametrize("phase", [1, 2])
def test_scores_of_the_toy_event_equal_the_official_ones(phase: int) -> None:
    truth, particles, submissions, expected = toy()
    truth["weight"] = event_weights(truth, particles, phase)
    answers = expected[f"weight_phase{phase}"]
    assert len(answers) == 11
    for name, value in answers.items():
        found = event_score(truth["particle_id"], truth["weight"], submissions[name])
        assert found == pytest.approx(value, rel=1e-9, abs=1e-15), name
        frame = submissions[["hit_id", name]].rename(columns={name: "track_id"}).iloc[::-1]
        assert score_event(truth, frame) == pytest.approx(value, rel=1e-9, abs=1e-15), name


@needs_vectors
def test_missing_hits_are_tracks_of_their_own_as_in_the_official_code() -> None:
    truth, _, submissions, expected = toy()
    truth["weight"] = truth["weight_phase1"]
    first = submissions[["hit_id", "perfect"]].rename(columns={"perfect": "track_id"})[:70]
    value = expected["perfect_but_only_first_70_rows_submitted_phase1"]
    assert score_event(truth, first) == pytest.approx(value, rel=1e-9)


@needs_vectors
def test_throughput_scores_equal_the_reference_values() -> None:
    with (VECTORS / "trackml_throughput_score.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 13
    for row in rows:
        found = throughput_score(float(row["mean_accuracy"]), float(row["mean_seconds_per_event"]))
        assert found == pytest.approx(float(row["expected_score"]), rel=1e-9, abs=0), row["case"]


def test_scores_equal_those_of_the_official_library() -> None:
    official = pytest.importorskip("trackml.score", reason="trackml-library is not installed")
    rng = np.random.default_rng(1)
    particles = rng.choice(np.append(rng.integers(1, 2**60, 40), 0), 400)
    truth = pd.DataFrame({"hit_id": np.arange(1, 401), "particle_id": particles, "weight": rng.random(400)})
    for probability in (0.0, 0.2, 0.5):
        tracks = shuffle_hits(particles, probability, rng)
        submission = pd.DataFrame({"hit_id": truth["hit_id"], "track_id": tracks}).sample(
            frac=1, random_state=1
        )
        assert score_event(truth, submission) == pytest.approx(
            official.score_event(truth, submission), rel=1e-9
        )


@pytest.mark.parametrize("n_hits", [4, 7, 20, 35])
def test_order_weights_of_a_particle_sum_to_one(n_hits: int) -> None:
    assert order_weights(n_hits).shape == (n_hits,)
    assert order_weights(n_hits).sum() == pytest.approx(1, rel=1e-12)


def test_order_weights_of_fewer_than_four_hits_are_zero() -> None:
    assert not order_matrix()[:4].any()
    assert not order_weights(3).any()


def test_order_weights_refuse_a_negative_number_of_hits() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        order_weights(-1)


def straight(
    particle: int, distances: list[float], nhits: int | None = None, **other: float
) -> dict[str, object]:
    """Return the arguments of `hit_weights` for one particle with hits at these distances in z."""
    values = {"vz": 0.0, "px": 3.0, "py": 4.0} | other
    return {
        "particle_id": [particle] * len(distances),
        "tz": distances,
        "particles_id": [particle],
        "nhits": [len(distances) if nhits is None else nhits],
    } | {name: [value] for name, value in values.items()}


def test_hits_at_one_distance_share_their_mean_rank_rounded_down() -> None:
    found = hit_weights(**straight(PRIMARY, [1.0, -2.0, 2.0, 5.0, 9.0]))
    ranks = order_weights(5)[[0, 1, 1, 3, 4]]
    np.testing.assert_allclose(found, ranks / ranks.sum(), rtol=1e-12)


def test_ranks_count_from_the_vertex_whatever_the_order_of_the_rows() -> None:
    found = hit_weights(**straight(PRIMARY, [14.0, 9.0, 10.0, 12.0], vz=9.5))
    # Distances 4.5, .5, .5, 2.5: the first two places are shared.
    expected = order_weights(4)[[3, 0, 0, 2]]
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-12)


def test_single_and_double_precision_give_the_same_ranks() -> None:
    rng = np.random.default_rng(0)
    ids = np.array([5, 6, 7, SECONDARY])
    particle, tz = rng.choice(ids, 60), rng.integers(-40, 40, 60).astype(np.float32)
    nhits = [(particle == one).sum() for one in ids]
    columns = [np.array(column, dtype=np.float32) for column in ([1, 2, 3, 4], [1, 2, 1, 2], [0, 1, 0, 1])]
    single = hit_weights(particle, tz, ids, *columns, nhits)
    double = hit_weights(
        particle, tz.astype(float), ids, *(column.astype(float) for column in columns), nhits
    )
    np.testing.assert_allclose(single, double, rtol=1e-6)


def test_hits_beyond_the_twentieth_weigh_nothing() -> None:
    found = hit_weights(**straight(PRIMARY, [float(z) for z in range(23)]))
    np.testing.assert_allclose(found[:20], order_weights(20), rtol=1e-12)
    assert not found[20:].any()


def test_a_particle_with_a_hit_missing_keeps_the_weights_of_its_full_number() -> None:
    together: dict[str, list[object]] = {name: [] for name in straight(1, [])}
    for one in (straight(8, [1.0, 2.0, 3.0, 4.0], nhits=5), straight(9, [1.0, 2.0, 3.0, 4.0, 5.0])):
        for name, values in one.items():
            together[name] += list(values)
    found = hit_weights(**together)
    np.testing.assert_allclose(found[:4], found[4:8], rtol=1e-12)


def test_noise_and_particles_that_are_not_listed_weigh_nothing() -> None:
    arguments = straight(PRIMARY, [1.0, 2.0, 3.0, 4.0])
    arguments["particle_id"], arguments["tz"] = [PRIMARY] * 4 + [0, 99], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    found = hit_weights(**arguments)
    assert not found[4:].any()
    assert found.sum() == pytest.approx(1)


def test_noise_weighs_nothing_even_if_it_is_listed() -> None:
    with pytest.raises(ValueError, match="none of the 4 hits"):
        hit_weights(**straight(0, [1.0, 2.0, 3.0, 4.0]))


def test_secondary_particles_weigh_something_in_phase_1_only() -> None:
    arguments = straight(SECONDARY, [1.0, 2.0, 3.0, 4.0])
    assert hit_weights(**arguments).all()
    with pytest.raises(ValueError, match="none of the 4 hits weighs anything"):
        hit_weights(**arguments, phase=2)


def test_generation_is_read_from_its_bits_only() -> None:
    everything_else = (1 << 63) - 1 - (0xFFF << 24)
    assert not is_secondary([0, PRIMARY, everything_else]).any()
    assert is_secondary([SECONDARY, 1 << 24, 1 << 35]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tz": [1.0, math.nan, 3.0, 4.0]}, "tz must be finite, got nan in row 1"),
        ({"tz": [1.0]}, "tz must have the shape"),
        ({"particle_id": [0.5] * 4}, "particle_id must be integers"),
        ({"nhits": [2]}, "none of the 4 hits"),
        ({"px": [0.0], "py": [0.04]}, "none of the 4 hits"),
        ({"particle_id": [0] * 4}, "none of the 4 hits"),
        ({"phase": 3}, "phase must be 1 or 2"),
    ],
)
def test_hit_weights_refuse_what_has_no_meaning(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hit_weights(**(straight(PRIMARY, [1.0, 2.0, 3.0, 4.0]) | change))


def test_more_hits_than_a_particle_is_said_to_have_are_refused() -> None:
    with pytest.raises(
        ValueError, match=f"particle {PRIMARY} has more hits in the event than its nhits of 4"
    ):
        hit_weights(**straight(PRIMARY, [1.0, 2.0, 3.0, 4.0, 5.0], nhits=4))


def test_a_particle_listed_twice_is_refused() -> None:
    arguments = straight(6, [1.0, 2.0, 3.0, 4.0])
    doubled = {name: arguments[name] * 2 for name in ("particles_id", "vz", "px", "py", "nhits")}
    with pytest.raises(ValueError, match="particle 6 is listed twice"):
        hit_weights(**(arguments | doubled))


@settings(deadline=None)
@given(events)
def test_score_equals_walking_through_the_tracks(event: Event) -> None:
    assert event_score(*event) == pytest.approx(score_by_walking(*event), rel=1e-12)


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(0, 1))
def test_score_of_many_hits_equals_walking_through_the_tracks(seed: int, probability: float) -> None:
    rng = np.random.default_rng(seed)
    # Enough hits for several rounds of guessing before the rest is sorted.
    particles = rng.choice(rng.integers(1, 2**62, 300), 9000)
    weights, tracks = rng.random(9000), shuffle_hits(particles, probability, rng)
    assert event_score(particles, weights, tracks) == pytest.approx(
        score_by_walking(particles, weights, tracks), rel=1e-9
    )


@settings(deadline=None)
@given(events, st.randoms(use_true_random=False))
def test_score_does_not_depend_on_the_order_of_rows_or_the_names_of_tracks(event: Event, random) -> None:
    order = list(range(len(event[0])))
    random.shuffle(order)
    particles, weights, tracks = (column[order] for column in event)
    names = np.array(random.sample(range(2**62), 5))
    assert event_score(particles, weights, names[tracks]) == pytest.approx(event_score(*event), rel=1e-12)


@settings(deadline=None)
@given(events)
def test_score_is_from_zero_to_one_and_one_for_the_truth(event: Event) -> None:
    particles, weights, _ = event
    assert 0 <= event_score(*event) <= 1 + 1e-12
    assert event_score(particles, weights, particles) == pytest.approx(1, rel=1e-12)


@settings(deadline=None)
@given(events)
def test_score_is_exact_when_hashes_collide(event: Event) -> None:
    expected = event_score(*event)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "_MULTIPLIERS", (np.uint64(0),) * 3)
        assert event_score(*event) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("particles", "tracks", "expected"),
    [
        ([1, 1, 1, 1], [0, 0, 1, 1], 0.0),  # half of the particle is not more than half
        ([1, 1, 2, 2], [5, 5, 5, 5], 0.0),  # nor is half of the track
        ([1, 1, 1, 2], [5, 5, 5, 5], 0.75),
        ([1, 1, 1, 1], [5, 5, 5, 6], 0.75),
        ([1, 2, 3, 4], [1, 2, 3, 4], 1.0),  # one hit each is found by one hit each
    ],
)
def test_both_majorities_must_be_more_than_half(
    particles: list[int], tracks: list[int], expected: float
) -> None:
    assert event_score(particles, [1.0] * 4, tracks) == expected


def test_single_precision_weights_are_summed_in_double_precision() -> None:
    particles = np.array([1] * 4 + [2] * 10_001)
    weights = np.where(particles == 1, 1, 1e-3).astype(np.float32)
    small = 10_001 * float(np.float32(1e-3))
    for found, share in ((1, 4 / (4 + small)), (2, small / (4 + small))):
        tracks = np.where(particles == found, 0, np.arange(1, 10_006))
        assert event_score(particles, weights, tracks) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 1], [1, 1], [0, -1]), "track_id must not be negative, got -1 in row 1"),
        (([1, 1], [1, 1], [0.0, 1.0]), "track_id must be integers"),
        (([1, 1], [1, 1], [1]), "track_id must have shape"),
        (([1, 1], [1], [1, 1]), "weight must have the shape"),
        (([1, 1], [1, -1], [1, 1]), "weight must not be negative"),
        (([1, 1], [1, math.nan], [1, 1]), "weight must not be negative, got nan"),
        (([1, 1], [0, 0], [1, 1]), "weights of the 2 hits sum to 0"),
        (([], [], []), "weights of the 0 hits sum to 0"),
        ((np.array([2**63], dtype=np.uint64), [1], [1]), "at most"),
    ],
)
def test_event_score_refuses_what_has_no_meaning(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        event_score(*arguments)


def frames(hits: list[int], submitted: list[int], tracks: list[object]) -> tuple[pd.DataFrame, pd.DataFrame]:
    truth = pd.DataFrame({"hit_id": hits, "particle_id": [1] * len(hits), "weight": [1.0] * len(hits)})
    return truth, pd.DataFrame({"hit_id": submitted, "track_id": tracks})


@pytest.mark.parametrize(
    ("submitted", "tracks", "message"),
    [
        ([1, 2, 2], [0, 0, 0], "hit 2 is submitted twice"),
        ([1, 2, 9], [0, 0, 0], "hit 9 is not a hit of this event"),
        ([1, 2, 2**60], [0, 0, 0], "is not a hit of this event"),
        ([1, 2, 3], [0, -4, 0], "hit 2: track_id must not be negative, got -4"),
        ([1, 2, 3], [0, 1.5, 0], "track_id must be integers"),
    ],
)
def test_a_wrong_submission_is_refused_by_hit(
    submitted: list[int], tracks: list[object], message: str
) -> None:
    with pytest.raises(InvalidSubmission, match=message):
        score_event(*frames([1, 2, 3], submitted, tracks))


def test_a_truth_that_lists_a_hit_twice_is_the_organisers_error() -> None:
    with pytest.raises(DataError, match="hit 2 twice"):
        score_event(*frames([1, 2, 2], [1, 2, 2], [0, 0, 0]))


def test_a_truth_without_weight_is_the_organisers_error() -> None:
    truth, submission = frames([1, 2], [1, 2], [0, 0])
    with pytest.raises(DataError, match="sum to 0"):
        score_event(truth.assign(weight=0.0), submission)


def test_a_submission_of_no_hits_scores_zero() -> None:
    assert score_event(*frames([1, 2, 3], [], [])) == 0.0


@settings(deadline=None)
@given(events, st.booleans(), st.randoms(use_true_random=False))
def test_frames_in_any_order_score_as_aligned_arrays_do(event: Event, sparse: bool, random) -> None:
    particles, weights, tracks = event
    ids = random.sample(range(2**50 if sparse else 100), len(tracks))
    truth = pd.DataFrame({"hit_id": ids, "particle_id": particles, "weight": weights})
    submission = pd.DataFrame({"hit_id": ids, "track_id": tracks})
    shuffled = submission.iloc[random.sample(range(len(ids)), len(ids))]
    assert score_event(truth, shuffled) == pytest.approx(event_score(*event), rel=1e-12)


@settings(deadline=None)
@given(st.floats(0.5, 1), st.floats(0.5, 1), st.floats(1e-3, 600), st.floats(1e-3, 600))
def test_throughput_score_never_falls_with_accuracy_nor_rises_with_time(
    a: float, b: float, s: float, t: float
) -> None:
    assert throughput_score(max(a, b), min(s, t)) >= throughput_score(min(a, b), max(s, t))


def test_throughput_score_of_times_outside_the_limit_is_minus_one_whatever_the_accuracy() -> None:
    for seconds in (0.0, -1.0, 600.1, math.inf):
        assert throughput_score(0.3, seconds) == throughput_score(1.0, seconds) == -1.0


@pytest.mark.parametrize("arguments", [(math.nan, 1.0), (0.9, math.nan), (math.inf, 1.0)])
def test_throughput_score_refuses_what_is_not_a_number(arguments: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="throughput_score"):
        throughput_score(*arguments)


def test_references_made_from_the_truth_score_as_they_should() -> None:
    rng = np.random.default_rng(3)
    particles = np.repeat(rng.integers(1, 2**60, 200), 10)
    weights = np.ones(len(particles))
    assert event_score(particles, weights, random_solution(len(particles), 200, rng)) < 0.02
    for make in (drop_hits, shuffle_hits):
        assert event_score(particles, weights, make(particles, 0.0, rng)) == pytest.approx(1)
        changed = make(particles, 0.2, rng)
        assert changed.min() == 1
        # Four fifths of the hits stay, and few tracks lose the majority.
        assert event_score(particles, weights, changed) == pytest.approx(0.8, abs=0.05)
    assert event_score(particles, weights, drop_hits(particles, 1.0, rng)) == 0.0
    assert len(np.unique(drop_hits(particles, 1.0, rng))) == len(particles)

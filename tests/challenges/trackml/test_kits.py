"""The TrackML starting kits on small toy events, in this process; the compiled kit is compiled once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hepchallenge.challenges.trackml.toy import detectors, simulate_event
from hepchallenge.scoring.trackml import event_score

pytest.importorskip("numba", reason="needs the extra `kits`")

KITS = Path(__file__).resolve().parents[3] / "starting_kits"
FOLLOWER = KITS / "trackml/track_following"
FAST = KITS / "trackml_throughput/track_following_fast"
FEW_HITS = 4000


@dataclass
class Event:
    hits: pd.DataFrame
    cells: pd.DataFrame
    particles: pd.DataFrame
    truth: pd.DataFrame

    def accuracy(self, labels: Any) -> float:
        weight = self.truth["weight"].to_numpy(np.float64)
        return event_score(self.truth["particle_id"].to_numpy(), weight, labels)


class Training(list[Event]):
    def __init__(self, events: list[Event], modules: pd.DataFrame) -> None:
        super().__init__(events)
        self.detectors = modules


def toy(event_id: int) -> Event:
    return Event(*simulate_event(event_id, 0, n_hits=FEW_HITS, cells=False))


def kit_modules(kit: Path) -> Iterator[str]:
    return (file.stem for file in sorted(kit.glob("*.py")))


@pytest.fixture(scope="module")
def modules() -> pd.DataFrame:
    return detectors()


@pytest.fixture(scope="module")
def event() -> Event:
    return toy(5)


@pytest.fixture(scope="module")
def follower(modules: pd.DataFrame) -> Iterator[Any]:
    sys.path.insert(0, str(FOLLOWER))
    try:
        tracker = importlib.import_module("tracker").Tracker()
        yield tracker.fit(Training([toy(number) for number in range(6, 14)], modules))
    finally:
        sys.path.remove(str(FOLLOWER))
        for name in kit_modules(FOLLOWER):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def labels(follower: Any, event: Event, modules: pd.DataFrame) -> np.ndarray[Any, Any]:
    return follower.predict_event(event.hits, event.cells, modules)


def test_the_follower_labels_every_hit_with_a_whole_number_from_zero(event: Event, labels: Any) -> None:
    assert labels.dtype == np.int64
    assert labels.shape == (len(event.hits),)
    assert labels.min() >= 0


def test_the_follower_finds_most_tracks_and_far_more_than_dbscan(
    event: Event, labels: Any, modules: pd.DataFrame
) -> None:
    scope: dict[str, Any] = {}
    exec((KITS / "trackml/dbscan_helix/tracker.py").read_text(), scope)
    clusters = scope["Tracker"]().predict_event(event.hits, event.cells, modules)
    assert clusters.shape == labels.shape
    assert clusters.min() >= 0
    clustered, followed = event.accuracy(clusters), event.accuracy(labels)
    assert clustered > 0.2
    assert followed > 0.85
    assert followed > clustered + 0.1


def test_the_follower_says_the_same_twice(follower: Any, event: Event, labels: Any, modules: Any) -> None:
    again = follower.predict_event(event.hits, event.cells, modules.copy())
    np.testing.assert_array_equal(again, labels)


def test_the_order_of_the_hits_does_not_change_the_tracks(
    follower: Any, event: Event, labels: Any, modules: pd.DataFrame
) -> None:
    shuffled = np.random.default_rng(0).permutation(len(event.hits))
    hits = event.hits.iloc[shuffled].reset_index(drop=True)
    other = np.empty_like(labels)
    other[shuffled] = follower.predict_event(hits, event.cells, modules)
    pairs = {(int(one), int(two)) for one, two in zip(labels, other, strict=True)}
    assert len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs})


@pytest.mark.parametrize("rows", [0, 1, 2, 7])
def test_few_hits_are_no_trouble(follower: Any, event: Event, modules: pd.DataFrame, rows: int) -> None:
    found = follower.predict_event(event.hits.iloc[:rows], event.cells.iloc[:0], modules)
    np.testing.assert_array_equal(found, np.zeros(rows))


def test_hits_of_unknown_layers_are_left_over(follower: Any, event: Event, modules: pd.DataFrame) -> None:
    strange = event.hits.assign(layer_id=99)
    assert not follower.predict_event(strange, event.cells, modules).any()
    half = event.hits.copy()
    half.loc[half["volume_id"] == 8, "layer_id"] = 99
    found = follower.predict_event(half, event.cells, modules)
    assert not found[half["layer_id"] == 99].any()


def test_hits_in_one_point_or_nowhere_do_not_break_the_follower(
    follower: Any, event: Event, modules: pd.DataFrame
) -> None:
    for value in (0.0, np.nan, np.inf):
        hits = event.hits.copy()
        hits.loc[:200, ["x", "y", "z"]] = value
        assert len(follower.predict_event(hits, event.cells, modules)) == len(hits)


def test_the_follower_measures_the_field_and_the_beam(follower: Any) -> None:
    effective, radial = follower.field
    np.testing.assert_allclose(effective, 1.0, atol=0.05)
    np.testing.assert_allclose(radial, 0.0, atol=1e-5)
    assert 4.0 < follower.beam < 10.0


def test_without_training_events_the_field_is_nominal_and_the_beam_wide(follower: Any) -> None:
    untrained = type(follower)()
    np.testing.assert_array_equal(untrained.field[0], 1.0)
    assert untrained.beam > 5 * follower.beam


def test_the_kits_of_the_throughput_phase_differ_in_their_passes_only() -> None:
    for name in kit_modules(FOLLOWER):
        same = (FOLLOWER / f"{name}.py").read_bytes() == (FAST / f"{name}.py").read_bytes()
        assert same == (name != "passes"), name
    one, other = (KITS / f"{phase}/dbscan_helix/tracker.py" for phase in ("trackml", "trackml_throughput"))
    assert one.read_bytes() == other.read_bytes()

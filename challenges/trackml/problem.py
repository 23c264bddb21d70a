"""TrackML, accuracy phase: connect the hits of an event to tracks.

`X` is a sequence of events (`hits` and `cells`), `X.shared` the detector's modules; `y` is the truth of each.
The score is the weighted fraction of hits that lie on well-matched tracks, averaged over events, with the
weights of the accuracy phase as published with the data.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from hepchallenge.challenges.trackml.access import EventReader, get_cv, get_hit_ids
from hepchallenge.challenges.trackml.curves import get_curves
from hepchallenge.challenges.trackml.data import prepare_data
from hepchallenge.challenges.trackml.pictures import draw_results as draw_tracks
from hepchallenge.challenges.trackml.workflow import TrackerWorkflow, TrackPredictions
from hepchallenge.scoring.trackml import TrackMLAccuracy

__all__ = [
    "Predictions",
    "draw_results",
    "get_curves",
    "get_cv",
    "get_hit_ids",
    "get_test_data",
    "get_test_ids",
    "get_test_parts",
    "get_train_data",
    "make_toy_data",
    "prepare_data",
    "problem_title",
    "score_types",
    "workflow",
]

problem_title = "TrackML particle tracking, accuracy phase"
Predictions = TrackPredictions
workflow = TrackerWorkflow()
score_types = [TrackMLAccuracy(name="accuracy", precision=4)]
draw_results = partial(draw_tracks, challenge="trackml", accuracy=score_types[0])


def make_toy_data(
    target: Path, seed: int = 0, n_events: int | None = None, n_hits: int | None = None
) -> None:
    """Simulate toy events into a prepared folder."""
    from hepchallenge.challenges.trackml import toy

    toy.make_toy_data(target, seed=seed, n_events=n_events, n_hits=n_hits)


_reader = EventReader("trackml", make_toy_data)
get_train_data = _reader.get_train_data
get_test_data = _reader.get_test_data
get_test_ids = _reader.get_test_ids
get_test_parts = _reader.get_test_parts

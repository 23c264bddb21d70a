"""TrackML, throughput phase: connect the hits of an event to tracks, fast.

Events, truth and trackers are those of the challenge `trackml`. Only hits of primary particles have weight,
and the score joins the mean accuracy with the mean wall-clock time per event, which is read outside the
tracker's process while an event is being processed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from hepchallenge.challenges.trackml.access import EventReader, get_cv
from hepchallenge.challenges.trackml.curves import get_curves
from hepchallenge.challenges.trackml.data import prepare_data
from hepchallenge.challenges.trackml.pictures import draw_results as draw_tracks
from hepchallenge.challenges.trackml.workflow import TrackerWorkflow, TrackPredictions
from hepchallenge.scoring.trackml import SecondsPerEvent, TrackMLAccuracyPhase2, TrackMLThroughput

__all__ = [
    "Predictions",
    "draw_results",
    "get_curves",
    "get_cv",
    "get_test_data",
    "get_test_parts",
    "get_train_data",
    "make_toy_data",
    "prepare_data",
    "problem_title",
    "score_types",
    "workflow",
]

problem_title = "TrackML particle tracking, throughput phase"
Predictions = TrackPredictions
workflow = TrackerWorkflow()
score_types = [
    TrackMLThroughput(name="throughput", precision=4),
    TrackMLAccuracyPhase2(name="accuracy", precision=4),
    SecondsPerEvent(name="seconds", precision=3),
]
draw_results = partial(draw_tracks, challenge="trackml_throughput", accuracy=score_types[1])


def make_toy_data(
    target: Path, seed: int = 0, n_events: int | None = None, n_hits: int | None = None
) -> None:
    """Simulate toy events into a prepared folder."""
    from hepchallenge.challenges.trackml import toy

    toy.make_toy_data(target, seed=seed, n_events=n_events, n_hits=n_hits)


_reader = EventReader("trackml_throughput", make_toy_data)
get_train_data = _reader.get_train_data
get_test_data = _reader.get_test_data
get_test_parts = _reader.get_test_parts

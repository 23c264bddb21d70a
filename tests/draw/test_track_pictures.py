"""Pictures of events and rates: what is counted is what is true, and they stay small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from hepchallenge.challenges.tracking2d.pictures import draw_events
from hepchallenge.challenges.tracking2d.pictures import draw_results as draw_clusters
from hepchallenge.challenges.trackml.events import Event, EventTruth
from hepchallenge.challenges.trackml.pictures import draw_event, draw_results
from hepchallenge.pictures import figure_style, save
from hepchallenge.scoring.trackml import TrackMLAccuracy


def straight_tracks(n_particles: int, n_layers: int = 5) -> tuple[pd.DataFrame, np.ndarray]:
    """Return hits of particles that fly straight through barrel layers, and their ids from 1."""
    particle, layer = (grid.ravel() for grid in np.indices((n_particles, n_layers)))
    phi, radius = 2 * np.pi * particle / n_particles, 100.0 * (layer + 1)
    frame = pd.DataFrame(
        {
            "x": radius * np.cos(phi),
            "y": radius * np.sin(phi),
            "z": radius * (particle % 7 - 3),
            "volume_id": 8,
            "layer_id": layer,
        }
    )
    return frame, particle + 1


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_legend_counts_found_particles_and_wrong_and_missed_hits() -> None:
    hits, particles = straight_tracks(6)
    tracks = particles.copy()
    tracks[4] = 2  # One hit of particle 1 on the track of particle 2.
    tracks[10:15] = 100 + np.arange(5)  # Particle 3 in pieces.
    with figure_style():
        figure = draw_event(hits, particles, tracks, np.arange(1, 5), title="t")
    assert words(figure)[0].startswith("found: 3 of 4 particles")
    assert words(figure)[2:4] == ["wrong hits: 1", "missed hits: 6"]


def test_one_track_for_all_finds_nothing_and_marks_no_hit_wrong() -> None:
    hits, particles = straight_tracks(6)
    with figure_style():
        figure = draw_event(hits, particles, np.zeros_like(particles), np.arange(1, 7), title="t")
    assert words(figure)[0].startswith("found: 0 of 6")
    assert words(figure)[2:4] == ["wrong hits: 0", "missed hits: 30"]


def test_an_event_without_hits_can_be_drawn(tmp_path: Path) -> None:
    hits, particles = straight_tracks(1)
    nothing = particles[:0]
    with figure_style():
        figure = draw_event(hits[:0], nothing, nothing, nothing, title="t")
        assert save(figure, tmp_path / "a.png").exists()


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_an_event_of_a_hundred_thousand_hits_is_a_small_file(tmp_path: Path, ending: str) -> None:
    hits, particles = straight_tracks(20_000)
    with figure_style():
        figure = draw_event(hits, particles, particles, np.arange(1, 60), title="t")
        assert save(figure, tmp_path / f"a.{ending}").stat().st_size < 1_500_000


def event_of(n_particles: int) -> tuple[Event, EventTruth]:
    hits, ids = straight_tracks(n_particles)
    truth = pd.DataFrame({"particle_id": ids, "weight": np.float32(1 / len(ids))})
    listed = np.arange(1, n_particles + 1)
    columns = {"particle_id": listed, "q": 1, "nhits": 5, "px": 1.0, "py": 0.0, "pz": 1.0}
    particles = pd.DataFrame(columns | dict.fromkeys(("vx", "vy", "vz"), 0.0), index=range(n_particles))
    return Event(hits, pd.DataFrame()), EventTruth(truth, particles)


def test_the_first_two_events_and_the_rates_of_twenty_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hepchallenge.challenges.trackml import pictures

    seen: dict[str, object] = {}
    real_curves = pictures.draw_curves

    def spy(curves: object, overall: object, quality: object, **words: str) -> Figure:
        seen.update(curves=curves, overall=overall, quality=quality, **words)
        return real_curves(curves, overall, quality, **words)

    monkeypatch.setattr(pictures, "draw_curves", spy)
    event, truth = event_of(6)
    particles = truth.truth["particle_id"].to_numpy()
    lost = np.where(particles == 6, 100 + np.arange(len(particles)), particles)

    class Inputs:
        event_ids = np.arange(1000, 1022)

        def __getitem__(self, index: int) -> Event:
            assert index < 2, "hits are read of drawn events only"
            return event

    draw_results(
        tmp_path,
        [truth] * 22,
        [lost] * 22,
        Inputs(),
        "mine, toy",
        challenge="small",
        accuracy=TrackMLAccuracy("accuracy"),
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "event000001000.png",
        "event000001001.png",
        "tracks.svg",
    ]
    assert (seen["title"], seen["label"]) == ("small: tracks of 20 of 22 events", "mine, toy")
    efficiency = seen["overall"]["efficiency"]  # type: ignore[index]
    assert (efficiency.passed.tolist(), efficiency.total.tolist()) == ([100], [120])
    against_hits = seen["curves"]["efficiency"]["hits"]  # type: ignore[index]
    assert (against_hits.passed[2], against_hits.total[2]) == (100, 120)
    assert seen["quality"]["purity"][-1] == 100  # type: ignore[index]


def test_clusters_of_the_hackathon_are_counted_and_particle_0_is_one_of_them() -> None:
    hits, particles = straight_tracks(4)
    event = np.repeat([5, 9], len(hits))
    inputs = np.column_stack([event, *(np.tile(hits[name], 2) for name in ("layer_id", "x", "x", "y"))])
    clusters = np.tile(particles - 1, 2)
    labels = clusters.copy()
    labels[0], labels[5] = 3, -1  # In event 5, of particle 0 to another, of particle 1 to none.
    with figure_style():
        figure = draw_events(inputs, clusters, labels, np.array([0.9, 1.0]))
    assert words(figure)[1:] == ["wrong hits: 1", "missed hits: 2"]
    assert len(figure.axes) == 3


def test_predictions_of_the_hackathon_become_one_picture(tmp_path: Path) -> None:
    hits, particles = straight_tracks(4)
    event = np.repeat(5, len(hits))
    inputs = np.column_stack([event, *(hits[name] for name in ("layer_id", "x", "x", "y"))])
    truth = np.column_stack([event, particles])
    draw_clusters(tmp_path, truth, truth.astype(float), inputs, "mine")
    assert [p.name for p in tmp_path.iterdir()] == ["events.png"]

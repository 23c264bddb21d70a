"""Efficiency of tracks against pT: right particles in right bins, and on the sites of toy challenges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.challenges.tracking2d.curves import circle_radii
from hepchallenge.challenges.tracking2d.curves import get_curves as curves_of_clusters
from hepchallenge.challenges.trackml.curves import get_curves, points
from hepchallenge.challenges.trackml.events import EventTruth
from hepchallenge.cli.board import command
from hepchallenge.contract import load_challenge
from hepchallenge.data import toy
from hepchallenge.pipeline import score
from hepchallenge.scoring.tracking import Curve


def test_bins_without_cases_have_no_point_and_others_one_in_their_middle() -> None:
    curve = Curve(np.array([1.0, 4.0, 9.0, 16.0]), np.array([1, 0, 2]), np.array([2, 0, 2]))
    assert points(curve)["x"].tolist() == [2.5, 12.5]
    made = points(curve, logarithmic=True)
    assert made["x"].tolist() == [2.0, 12.0]
    assert made["y"].tolist() == [0.5, 1.0]
    assert (made["low"] < made["y"]).all()
    assert made["high"][1] == 1


def test_efficiency_is_of_all_events_in_bins_of_pt() -> None:
    ids = np.repeat([1, 2], 4)
    columns = {"particle_id": [1, 2], "q": 1, "nhits": 4, "px": [0.12, 5.0], "py": 0.0, "pz": 1.0}
    particles = pd.DataFrame(columns | dict.fromkeys(("vx", "vy", "vz"), 0.0))
    truth = EventTruth(pd.DataFrame({"particle_id": ids, "weight": 0.125}), particles)
    lost = np.array([1, 2, 3, 4, 9, 9, 9, 9])
    (curve,) = get_curves([truth, truth], [ids, lost], None)
    assert curve["y"].tolist() == [0.5, 1.0]
    assert 0.1 < curve["x"][0] < 0.15
    assert 4.5 < curve["x"][1] < 7


@given(
    st.lists(st.floats(300, 1e5), min_size=1, max_size=5),
    st.floats(0, 2 * np.pi),
    st.lists(st.integers(0, 8), min_size=4, max_size=9, unique=True),
)
def test_radii_of_circles_are_found_from_points_on_them(
    radii: list[float], start: float, steps: list[int]
) -> None:
    radius = np.repeat(radii, len(steps))
    angle = start + np.tile(np.array(steps) * 100.0, len(radii)) / radius
    group = np.repeat(np.arange(len(radii)), len(steps))
    found = circle_radii(group, 7 + radius * np.cos(angle), radius * np.sin(angle) - radius)
    assert found == pytest.approx(radii, rel=1e-3)


def test_a_particle_is_found_by_a_cluster_that_is_mostly_its_own() -> None:
    """Particles 0 of two events fly on 2.5 GeV circles, particles 1 on 7.5 GeV circles, six hits each."""
    event, number, step = (grid.ravel() for grid in np.indices((2, 2, 6)))
    radius = np.where(number == 0, 2500, 7500) / 0.3
    angle = 100.0 * step / radius
    x, y = radius * np.sin(angle), radius * np.cos(angle) - radius
    inputs = np.column_stack([event, step, step, x, y])
    truth = np.column_stack([event, number])
    labels = number.astype(float)
    labels[(event == 0) & (number == 0) & (step < 3)] = 7  # In halves.
    labels[(event == 1) & (number == 1) & (step < 2)] = -1  # Four of six are enough.
    (curve,) = curves_of_clusters(truth, np.column_stack([event, labels]), inputs)
    assert curve["x"] == pytest.approx([2.5, 7.5])
    assert curve["y"].tolist() == [0.5, 1.0]
    # Hits without a label are no cluster.
    unlabelled = np.column_stack([event, np.where(number == 1, -1, 0)])
    assert curves_of_clusters(truth, unlabelled, inputs)[0]["y"].tolist() == [1, 0]
    # One label for all hits of an event is mostly nobody's.
    assert curves_of_clusters(truth, np.zeros_like(truth), inputs)[0]["y"].tolist() == [0, 0]


TRACKER = """
import numpy as np

class Tracker:
    def predict_event(self, hits, cells, detectors):
        return np.arange(len(hits))
"""


@pytest.mark.parametrize("name", ["trackml", "trackml_throughput", "tracking2d"])
def test_sites_about_tracks_show_efficiency_on_toys(tmp_path: Path, name: str) -> None:
    prepared = toy(load_challenge(name), 3, 5, *([] if name == "tracking2d" else [200]))
    submission = tmp_path / "alone"
    submission.mkdir()
    if name == "tracking2d":
        code = "import numpy as np\n\nclass Clusterer:\n    def fit(self, X, y): ...\n\n"
        code += "    def predict_single_event(self, X):\n        return np.arange(len(X))\n"
        (submission / "clusterer.py").write_text(code)
    else:
        (submission / "tracker.py").write_text(TRACKER)
    score(name, [submission], data=prepared, workspace=tmp_path / "w", isolation="none")
    words = [
        name,
        "--data",
        str(prepared),
        "--workspace",
        str(tmp_path / "w"),
        "--export",
        str(tmp_path / "o"),
    ]
    done = CliRunner().invoke(command, [*words, "--format", "html"])
    assert done.exit_code == 0, done.output
    (figure,) = (tmp_path / "o").glob("site-*/figures/*-curves-0.svg")
    text = figure.read_text()
    assert "transverse momentum" in text
    assert "of the first fold. Shown: alone." in text

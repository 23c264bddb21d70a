"""Curves that a challenge makes itself: of validation rows and events, checked, and laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import event_kit
import numpy as np
import pytest
from click.testing import CliRunner
from small_kit import GOOD, N_TRAIN, PROBLEM, write_kit, write_submission

from hepchallenge import curves
from hepchallenge.board.site import Curve, Curves
from hepchallenge.board.site.figures import _with_bars
from hepchallenge.cli.board import command
from hepchallenge.contract import load_challenge
from hepchallenge.curves import MOST_POINTS, best_curves
from hepchallenge.exceptions import ContractError
from hepchallenge.pictures import figure_style, new_figure
from hepchallenge.pipeline import score
from hepchallenge.store import open_workspace

OWN = """

def get_curves(truth, predictions, inputs):
    rows = [np.asarray(a, dtype=float).ravel() for a in (truth, predictions, inputs[:, 0])]
    words = {"title": "Rows", "x_label": "truth", "y_label": "prediction"}
    return [words | {"x": rows[0], "y": rows[1]}, words | {"title": "Inputs", "x": rows[0], "y": rows[2]}]
"""
OWN_OF_EVENTS = """

def get_curves(truth, predictions, inputs):
    sums = [[float(np.sum(side[i])) for i in range(len(side))] for side in (truth, predictions, inputs)]
    words = {"title": "Sums", "description": "All.", "x_label": "truth", "y_label": "prediction"}
    return [words | {"x": sums[0], "y": sums[1], "low": sums[2], "high": sums[1], "log_x": True}]
"""
ONE: dict[str, Any] = {
    "title": "t",
    "x_label": "x",
    "y_label": "y",
    "x": [1, 2],
    "y": [0.5, 1],
    "low": [0.4, 1],
    "high": [0.5, 1],
}


def made(kit: Path, submissions: Sequence[Path]) -> tuple[Curves, ...]:
    score(kit, submissions, workspace=kit.parent / "w", isolation="none")
    challenge = load_challenge(kit)
    with open_workspace(kit.parent / "w", must_exist=True) as store:
        return best_curves(store, challenge, store.entries(challenge.name))


def test_a_challenges_own_curves_are_of_validation_rows_and_overlaid_by_title(tmp_path: Path) -> None:
    kit = write_kit(tmp_path / "kit", PROBLEM + OWN)
    other = GOOD.replace("self.mean)", "2 * self.mean)")
    rows, inputs = made(
        kit, [write_submission(tmp_path / "a", GOOD), write_submission(tmp_path / "b", other)]
    )
    assert (rows.title, inputs.title) == ("Rows", "Inputs")
    assert rows.description == "The best submissions, on validation rows of the first fold."
    assert [line.label for line in rows.lines] == ["a", "b"]
    table = np.loadtxt(kit / "data" / "train.csv", delimiter=",")
    chosen = np.searchsorted(table[:, 2], rows.lines[0].x)
    assert chosen.tolist() == list(range(0, N_TRAIN, 3))
    assert rows.lines[0].x == rows.lines[1].x == tuple(table[chosen, 2])
    assert inputs.lines[0].y == tuple(table[chosen, 0])
    mean = np.delete(table[:, 2], chosen).mean()
    assert [line.y[0] for line in rows.lines] == pytest.approx([mean, 2 * mean], rel=1e-12)


def test_of_events_a_few_are_read_and_none_of_the_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = event_kit.write_event_kit(tmp_path / "kit")
    (kit / "problem.py").write_text(event_kit.PROBLEM + OWN_OF_EVENTS)
    truths = [float(event_kit.event("train", number)[1].sum()) for number in (3, 4)]
    for most, words in ((20, "2 validation events"), (1, "1 of 2 validation events")):
        monkeypatch.setattr(curves, "MOST_EVENTS", most)
        (figure,) = made(kit, [kit / "submissions" / "honest"])
        assert figure.description == f"All. The best submissions, on {words} of the first fold."
        (line,) = figure.lines
        assert line.x == line.y == line.high == tuple(truths[:most])
        assert line.low == pytest.approx([value / 3 for value in truths[:most]])
        assert figure.log_x


@pytest.mark.parametrize(
    ("change", "where", "found"),
    [
        ({"title": ""}, "get_curves: title", "''"),
        ({"x_label": 3}, "get_curves: x_label", "3"),
        ({"log_x": "yes"}, "get_curves: log_x", "'yes'"),
        ({"x": [1, 2, 3]}, "get_curves", "3 of x, 2 of y"),
        ({"y": [0.5, np.nan]}, "get_curves: y", "nan"),
        ({"y": None}, "get_curves: y", "None"),
        ({"x": "ab"}, "get_curves: x", "'ab'"),
        ({"low": [0.6, 1]}, "get_curves", "another order"),
        ({"x": [0, 1], "log_x": True}, "get_curves: x", "0.0"),
        ({"z": 1, "colour": "red"}, "get_curves", "colour, z"),
        (dict.fromkeys(("x", "y", "low", "high"), range(MOST_POINTS + 1)), "get_curves", "201 of x"),
    ],
)
def test_what_is_wrong_with_a_curve_is_named(
    tmp_path: Path, change: dict[str, Any], where: str, found: str
) -> None:
    challenge = load_challenge(write_kit(tmp_path / "kit"))
    right = curves._read(challenge, ONE, "me")
    assert right.lines == (Curve(label="me", x=(1, 2), y=(0.5, 1), low=(0.4, 1), high=(0.5, 1)),)
    with pytest.raises(ContractError) as caught:
        curves._read(challenge, ONE | change, "me")
    assert caught.value.where == where
    assert found in caught.value.found


@pytest.mark.parametrize(("body", "found"), [("1 / 0", "ZeroDivisionError"), ("return 3", "found int")])
def test_a_site_is_written_without_curves_that_fail(tmp_path: Path, body: str, found: str) -> None:
    lines = f"\n\ndef get_curves(truth, predictions, inputs):\n    {body}\n"
    kit = write_kit(tmp_path / "kit", PROBLEM + lines)
    score(kit, [write_submission(tmp_path / "a", GOOD)], workspace=tmp_path / "w", isolation="none")
    words = [str(kit), "--workspace", str(tmp_path / "w"), "--export", str(tmp_path / "out")]
    done = CliRunner().invoke(command, [*words, "--format", "html"])
    assert done.exit_code == 0, done.output
    assert "no curves:" in done.stderr
    assert found in done.stderr
    assert (tmp_path / "out" / "index.html").exists()
    assert not list((tmp_path / "out").glob("site-*/figures/*curves*"))


def test_error_bars_stand_beside_their_points_places_and_the_frame_holds_all() -> None:
    line = Curve(label="a", x=(1.0, 9.0), y=(0.5, 0.9), low=(0.1, 0.9), high=(0.6, 1.0))
    with figure_style():
        figure = new_figure(4, 3)
        axes = figure.add_subplot()
        _with_bars(figure, axes, line, 0.5, marker="o", label="a")
        figure.canvas.draw()
    assert axes.get_xlim()[0] == pytest.approx(0.6, abs=0.5)
    assert axes.get_xlim()[1] == pytest.approx(9.4, abs=0.5)
    assert axes.get_ylim()[0] < 0.1
    drawn, _, (bars,) = axes.containers[0]
    for artist in (drawn, bars):
        moved = artist.get_transform().transform((1.0, 0.5)) - axes.transData.transform((1.0, 0.5))
        assert moved == pytest.approx([0.5 * figure.dpi, 0])
    assert bars.get_segments()[0][:, 1] == pytest.approx([0.1, 0.6])

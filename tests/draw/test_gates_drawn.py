"""Challenges with gates can draw their samples too, of who fails as of who passes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from gated_kit import PROBLEM, TOML, write_gated_kit, write_regressor

import hepchallenge
from hepchallenge.challenges.toptag.jets import Jets
from hepchallenge.draw import _rows_of, draw
from hepchallenge.records import Verdict

DRAWS = """

def draw_results(folder, truth, predictions, inputs, label, *, gates):
    import json
    from pathlib import Path

    samples = {name: [np.ravel(a).tolist() for a in pair] for name, pair in gates.items()}
    Path(folder, "seen.svg").write_text(json.dumps([samples, truth.tolist(), label]))
"""
MASS = [2.0 * a for a in range(2000, 2043)]


@pytest.mark.parametrize("part", ["valid", "test"])
def test_gates_are_drawn_row_by_row_whether_they_are_passed_or_not(tmp_path: Path, part: str) -> None:
    draws = PROBLEM + DRAWS.replace("*, gates", "*, gates=None")
    kit = write_gated_kit(tmp_path / "kit", draws)
    good = write_regressor(tmp_path / "good")
    bad = write_regressor(tmp_path / "bad", "(X['a'].to_numpy() >= 2000) * 0.75")
    document = hepchallenge.score(kit, [good, bad], workspace=tmp_path / "w", isolation="none")
    verdicts = [entry.scoring.verdict for entry in document.submissions]
    assert verdicts == [Verdict.SCORED, Verdict.GATE_FAILED]
    made = {
        file.parents[1].name.split("-")[0]: file for file in draw(kit, workspace=tmp_path / "w", part=part)
    }
    for name, offset in (("good", 0.0), ("bad", 0.75)):
        samples, truth, label = json.loads(made[name].read_text())
        assert samples == {"mass": [MASS, [value + offset for value in MASS]]}
        assert len(truth) == {"valid": 30, "test": 31}[part]
        assert label == f"{name}, fold 0, {part}"


def test_of_several_trainings_the_label_says_which_is_drawn(tmp_path: Path) -> None:
    kit = write_gated_kit(tmp_path / "kit", PROBLEM + DRAWS.replace("*, gates", "gates=()"))
    (kit / "challenge.toml").write_text("trainings = 2\n" + TOML)
    submission = write_regressor(tmp_path / "a")
    hepchallenge.score(kit, [submission], workspace=tmp_path / "w", isolation="none")
    (made,) = draw(kit, workspace=tmp_path / "w")
    assert json.loads(made.read_text())[2] == "a, fold 0, training 0, valid"


def test_rows_of_what_stands_for_an_array_are_of_the_same_kind() -> None:
    jets = Jets.of([[[5, 3, 4, 0]], [[2, 2, 0, 0], [1, 0, 1, 0]], [[9, 0, 0, 0]]])
    chosen = _rows_of(jets, np.array([2, 1]))
    assert isinstance(chosen, Jets)
    assert chosen.mass.tolist() == pytest.approx([9.0, 2.0])

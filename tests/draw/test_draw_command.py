"""`hepchallenge draw`: from stored predictions to files, for one small kit and for TrackML."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from small_kit import GOOD, MARKS, N_TEST, PROBLEM, write_kit, write_submission

from hepchallenge.cli.draw import command
from hepchallenge.draw import draw, results_folder
from hepchallenge.exceptions import ContractError, UnknownName, UsageError
from hepchallenge.pipeline import score
from hepchallenge.progress import Silent
from hepchallenge.records import Document

DRAWS = """

def draw_results(folder, truth, predictions, inputs, label):
    import json

    values = [[float(v) for v in np.ravel(a)] for a in (truth, predictions, inputs[:, 0])]
    Path(folder, "seen.svg").write_text(json.dumps([*values, label]))
    Path(folder, "notes.txt").write_text("no picture")
"""
HOSTILE = "..$x_{ ü %s;rm -rf ~"


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    return write_kit(tmp_path / "kit", PROBLEM + DRAWS)


def scored(kit: Path, name: str = "good", code: str = GOOD, **options: Any) -> Document:
    submission = write_submission(kit.parent / "theirs" / name, code)
    return score(kit, [submission], workspace=kit.parent / "w", isolation="none", **options)


def rows(file: Path) -> Any:
    return json.loads(file.read_text())


def labels(name: str, count: int) -> np.ndarray:
    return MARKS[name] + np.arange(1, count + 1) / 1024


def test_validation_rows_of_the_first_fold_are_drawn_where_the_submission_has_its_folder(
    kit: Path, tmp_path: Path
) -> None:
    digest = scored(kit).submissions[0].submission.digest
    result = CliRunner().invoke(
        command, [str(kit), "--workspace", str(tmp_path / "w")], catch_exceptions=False
    )
    expected = tmp_path / "w" / "results" / "kit" / f"good-{digest[:8]}" / "valid" / "seen.svg"
    assert result.stdout == f"{expected}\n"
    assert [p.name for p in expected.parent.iterdir()] == ["seen.svg"]
    truth, predictions, inputs, label = rows(expected)
    table = np.loadtxt(kit / "data" / "train.csv", delimiter=",")
    chosen = np.searchsorted(table[:, 2], truth)
    assert truth == table[chosen, 2].tolist()
    assert inputs == table[chosen, 0].tolist()
    others = np.delete(table[:, 2], chosen)
    assert 0 < len(truth) < len(table)
    assert predictions == pytest.approx([others.mean()] * len(truth), rel=1e-12)
    assert label == "good, fold 0, valid"


def test_hidden_truth_is_drawn_when_test_is_asked_for_and_elsewhere_on_demand(
    kit: Path, tmp_path: Path
) -> None:
    scored(kit)
    (made,) = draw(kit, workspace=tmp_path / "w", part="test", export=tmp_path / "out")
    assert made.parent.parent.parent == tmp_path / "out" / "kit"
    assert made.parent.name == "test"
    assert rows(made)[0] == labels("test.csv", N_TEST).tolist()
    assert not (tmp_path / "w" / "results").exists()


def test_a_hostile_name_stays_one_harmless_folder_and_one_line(kit: Path, tmp_path: Path) -> None:
    scored(kit, HOSTILE)
    (made,) = draw(kit, [HOSTILE], workspace=tmp_path / "w")
    folder = made.relative_to(tmp_path / "w" / "results" / "kit").parts[0]
    assert re.fullmatch(r"x_[\w-]*-[0-9a-f]{8}", folder)
    assert rows(made)[3] == f"{HOSTILE}, fold 0, valid"


def test_names_of_any_kind_give_folders_below_the_root() -> None:
    root = Path("r")
    for name in ("..", "/", "a/../../b", ".", "", "\x00", "x" * 400, "例" * 400, "\u202e"):
        folder = results_folder(root, "..", name, "0123456789abcdef", "valid")
        assert folder.parts[0] == "r"
        assert len(folder.parts) == 4
        assert ".." not in folder.parts
        assert len(folder.parts[2].encode()) <= 255
        assert folder.parts[2].endswith("-01234567")


def test_a_failed_submission_is_left_out_with_its_verdict(kit: Path, tmp_path: Path) -> None:
    scored(kit, "bad", "raise ValueError('no')")
    with pytest.raises(UsageError, match="bad: nothing drawn: its verdict is runtime_error"):
        draw(kit, workspace=tmp_path / "w")
    scored(kit)
    said: list[str] = []

    class Hears(Silent):
        say = staticmethod(said.append)

    made = draw(kit, workspace=tmp_path / "w", progress=Hears())
    assert [path.parent.parent.name.rpartition("-")[0] for path in made] == ["good"]
    assert said == ["bad: nothing drawn: its verdict is runtime_error"]


def test_a_name_means_its_latest_submission_and_none_means_all(kit: Path, tmp_path: Path) -> None:
    old = scored(kit).submissions[0].submission.digest
    new = scored(kit, code=GOOD + "\n# Changed.\n").submissions[0].submission.digest
    folders = [path.parents[1].name for path in draw(kit, ["good", "good"], workspace=tmp_path / "w")]
    assert folders == [f"good-{new[:8]}"]
    folders = [path.parents[1].name for path in draw(kit, [old], workspace=tmp_path / "w")]
    assert folders == [f"good-{old[:8]}"]
    assert draw(kit, [str(kit.parent / "theirs" / "good")], workspace=tmp_path / "w")[0].parents[1].name == (
        f"good-{new[:8]}"
    )
    assert len(draw(kit, workspace=tmp_path / "w")) == 2
    with pytest.raises(UnknownName, match="did you mean 'good'"):
        draw(kit, ["goood"], workspace=tmp_path / "w")


def test_pictures_of_before_are_replaced_and_other_files_stay(kit: Path, tmp_path: Path) -> None:
    scored(kit)
    (made,) = draw(kit, workspace=tmp_path / "w")
    for name in ("old.png", "mine.txt"):
        (made.parent / name).write_text("x")
    assert draw(kit, workspace=tmp_path / "w") == [made]
    assert sorted(p.name for p in made.parent.iterdir()) == ["mine.txt", "seen.svg"]


def test_a_drawing_that_fails_names_the_function_and_leaves_what_was_there(kit: Path, tmp_path: Path) -> None:
    scored(kit)
    (made,) = draw(kit, workspace=tmp_path / "w")
    broken = DRAWS.replace("import json", 'Path(folder, "half.svg").touch(); 1 / 0')
    (kit / "problem.py").write_text(PROBLEM + broken)
    with pytest.raises(ContractError, match=r"draw_results: .*ZeroDivisionError"):
        draw(kit, workspace=tmp_path / "w")
    assert [p.name for p in made.parent.iterdir()] == ["seen.svg"]
    assert [p.name for p in made.parent.parent.iterdir()] == ["valid"]


def test_a_drawing_without_pictures_is_said(kit: Path, tmp_path: Path) -> None:
    scored(kit)
    (kit / "problem.py").write_text(
        f"{PROBLEM}\ndef draw_results(folder, truth, predictions, inputs, label): ...\n"
    )
    with pytest.raises(UsageError, match="made no picture"):
        draw(kit, workspace=tmp_path / "w")


def test_nothing_recorded_on_these_data_is_said(kit: Path, tmp_path: Path) -> None:
    scored(kit)
    with open(kit / "data" / "test.csv", "a") as file:
        file.write("0,0,0\n")
    with pytest.raises(UsageError, match="nothing recorded on data"):
        draw(kit, workspace=tmp_path / "w")


def test_a_challenge_without_pictures_names_those_that_have_some(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"anomaly has no pictures; challenges that do: .*trackml"):
        draw("anomaly", workspace=tmp_path)


def test_a_missing_matplotlib_is_said_before_anything_is_read(
    kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install \"hepchallenge\[plots\]\""):
        draw(kit, workspace=tmp_path / "no workspace")


def test_help_says_that_test_is_for_organisers_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from hepchallenge.cli.draw import command; command(['--help'], standalone_mode=False); "
    )
    code += "bad = {'numpy', 'pandas', 'matplotlib', 'mplhep'} & set(sys.modules); "
    code += "print(sorted(bad), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hidden truth" in " ".join(done.stdout.split())
    assert done.stderr.strip() == "[]"


def test_loading_a_challenge_that_draws_imports_no_matplotlib() -> None:
    code = "import sys; from hepchallenge.contract import load_challenge; "
    code += "assert load_challenge('trackml_throughput').problem.draw_results; "
    code += "print(sorted({'matplotlib', 'mplhep'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


TRACKER = """
import numpy as np

class Tracker:
    def predict_event(self, hits, cells, detectors):
        return np.arange(len(hits))
"""


def test_events_are_drawn_with_their_ids_and_as_toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hepchallenge.challenges.trackml import pictures
    from hepchallenge.challenges.trackml.data import open_events
    from hepchallenge.contract import load_challenge
    from hepchallenge.data import toy

    prepared = toy(load_challenge("trackml"), 3, 5, 200)
    submission = tmp_path / "alone"
    submission.mkdir()
    (submission / "tracker.py").write_text(TRACKER)
    score("trackml", [submission], data=prepared, workspace=tmp_path / "w", isolation="none")

    texts: list[tuple[str, str, int]] = []
    real_event = pictures.draw_event

    def spy(hits: Any, particles: Any, tracks: Any, chosen: Any, *, title: str, label: str) -> Any:
        assert tracks.tolist() == list(range(len(hits)))
        texts.append((title, label, len(hits)))
        return real_event(hits, particles, tracks, chosen, title=title, label=label)

    monkeypatch.setattr(pictures, "draw_event", spy)
    for part in ("valid", "test"):
        events, _ = open_events(prepared, "train" if part == "valid" else "test")
        if part == "valid":
            # The last quarter of the training events, rounded up.
            events = events[len(events) - -(-len(events) // 4) :]
        made = draw("trackml", data=prepared, workspace=tmp_path / "w", part=part)
        drawn = [int(i) for i in events.event_ids[:2]]
        assert [path.name for path in made] == [*(f"event{i:09d}.png" for i in drawn), "tracks.svg"]
        assert texts == [
            (
                f"trackml, event {i}: accuracy 0.0000",
                f"alone, {part}, toy data (simulated)",
                len(events[n].hits),
            )
            for n, i in enumerate(drawn)
        ]
        texts.clear()

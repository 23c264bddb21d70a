"""`hepchallenge score` from the outside: exit codes, one JSON document, what is run and what is not."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_kit import PROBLEM, classifier, write_submission

import hepchallenge
from hepchallenge.progress import Silent
from hepchallenge.records import Document, Verdict
from hepchallenge.run.isolation import Isolation, probe

Run = Callable[..., tuple[int, Any, str]]


def test_all_scored_is_exit_code_0_and_one_document(kit: Path, run: Run) -> None:
    code, document, err = run(kit)
    assert code == 0, err
    (entry,) = document["submissions"]
    assert (entry["name"], entry["verdict"], len(entry["folds"])) == ("good", "scored", 3)
    assert set(entry["scores"]["distance"]) == {"train", "valid", "test", "bagged_valid", "bagged_test"}
    assert "Traceback" not in err


def test_what_problem_py_prints_does_not_spoil_the_document(kit: Path, run: Run) -> None:
    (kit / "problem.py").write_text(
        "print('noise')\n" + PROBLEM.replace("def _load(", "print(1)\n\n\ndef _load(")
    )
    code, document, err = run(kit)
    assert (code, len(document["submissions"])) == (0, 1), err


def test_a_failed_submission_is_exit_code_1_and_does_not_touch_the_others(kit: Path, run: Run) -> None:
    bad = write_submission(kit / "submissions" / "bad", classifier(predict="raise ValueError('no')"))
    code, document, err = run(kit, kit / "submissions" / "good", bad)
    verdicts = {entry["name"]: entry["verdict"] for entry in document["submissions"]}
    assert (code, verdicts) == (1, {"good": "scored", "bad": "runtime_error"}), err
    assert document["submissions"][1]["scores"] == {}


@pytest.mark.parametrize(
    "words",
    [
        ("/not/there",),
        ("{kit}", "/not/there"),
        ("{kit}", "--fit-wall", "-1"),
        ("{kit}", "--isolation", "magic"),
    ],
    ids=["challenge", "submission", "limit", "level"],
)
def test_wrong_usage_is_exit_code_2_without_a_document(kit: Path, run: Run, words: tuple[str, ...]) -> None:
    code, document, err = run(*(word.format(kit=kit) for word in words))
    assert (code, document) == (2, None)
    assert "Traceback" not in err
    assert err.strip()


def test_isolation_that_is_demanded_but_missing_is_exit_code_3(kit: Path, tmp_path: Path) -> None:
    if reason := probe(Isolation.NAMESPACES):
        pytest.skip(f"cannot be shut off, since it is not there: {reason}")
    code = (
        "import runpy, sys; from hepchallenge.run.reexec import enter_namespaces; enter_namespaces()\n"
        "open('/proc/sys/user/max_user_namespaces', 'w').write('0')\n"
        "sys.argv[:] = ['hepchallenge', *sys.argv[1:]]; runpy.run_module('hepchallenge', run_name='__main__')"
    )
    line = [sys.executable, "-c", code, "score", str(kit), "--json", "--isolation"]
    refused = subprocess.run([*line, "namespaces"], cwd=tmp_path, capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "namespaces" in refused.stderr
    assert not (tmp_path / "hepchallenge-workspace").exists()
    weaker = subprocess.run([*line, "none"], cwd=tmp_path, capture_output=True, text=True)
    assert weaker.returncode == 0, weaker.stderr
    assert '"isolation": "none"' in weaker.stdout


class _Counted(Silent):
    """Counts the folds that are run."""

    def __init__(self) -> None:
        self.folds = 0

    def fold_done(self, name: str, outcome: Any) -> None:
        self.folds += 1


def _score(kit: Path, **options: Any) -> tuple[Document, int]:
    counted = _Counted()
    level = Isolation.NONE
    document = hepchallenge.score(
        kit, workspace=kit.parent / "workspace", isolation=level, progress=counted, **options
    )
    return document, counted.folds


def test_only_what_changed_is_run_again(kit: Path) -> None:
    first, count = _score(kit)
    assert count == 3
    again, count = _score(kit)
    assert count == 0
    assert again.to_dict() == first.to_dict()
    for changed in ({"rerun": True}, {"seed": 1}, {"limits": {"fit_wall": 99.0}}, {"quick": True}):
        document, count = _score(kit, **changed)
        assert count == (1 if "quick" in changed else 3), changed
        assert document.submissions[0].scoring.verdict is Verdict.SCORED
    with open(kit / "data" / "train.csv", "a") as file:
        file.write("0,0,837465912\n")
    changed_data, count = _score(kit)
    assert count == 3
    assert changed_data.data.digest != first.data.digest
    assert changed_data.submissions[0].scoring.scores != first.submissions[0].scoring.scores


def test_a_changed_metric_is_rescored_without_running_anything(
    kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = _score(kit)
    text = (kit / "problem.py").read_text()
    (kit / "problem.py").write_text(text.replace(".mean())", ".mean() * 2)"))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a rescoring started a runner")

    monkeypatch.setattr("hepchallenge.run.runner.Runner.__init__", refuse)
    rescored = hepchallenge.rescore(kit, workspace=kit.parent / "workspace")
    before, after = (d.submissions[0].scoring.scores["distance"] for d in (first, rescored))
    assert after == {part: value * 2 for part, value in before.items()}


def test_two_commands_at_once_run_every_fold_once_and_agree(
    kit: Path, command: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    write_submission(kit / "submissions" / "slow", classifier(fit="time.sleep(0.5)"))
    words = (kit, kit / "submissions" / "good", kit / "submissions" / "slow", "--json")
    both = [command(*words), command(*words)]
    answers = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    first, second = (
        {entry["name"]: entry["scores"] for entry in json.loads(out)["submissions"]} for out, _ in answers
    )
    assert first == second
    assert _counts(tmp_path / "workspace") == {"runs": 2, "folds": 6, "submissions": 2}


def _counts(workspace: Path) -> dict[str, int]:
    with sqlite3.connect(workspace / "hepchallenge.sqlite") as database:
        names = ("runs", "folds", "submissions")
        return {n: database.execute(f"SELECT count(*) FROM {n}").fetchone()[0] for n in names}


def test_an_archive_scores_as_its_folder_and_one_that_is_refused_stops_nobody(
    kit: Path, run: Run, tmp_path: Path
) -> None:
    shutil.make_archive(str(tmp_path / "packed"), "gztar", kit / "submissions", "good")
    (tmp_path / "bomb.zip").write_bytes(b"PK\x05\x06" + bytes(6) + b"\xff\xff" + bytes(10))
    unnamed = write_submission(tmp_path / "a\nb", classifier())
    sources = (kit / "submissions" / "good", tmp_path / "packed.tar.gz", tmp_path / "bomb.zip", unnamed)
    code, document, err = run(kit, *sources, "--quick")
    good, packed, bomb, bad_name = document["submissions"]
    assert code == 1, err
    assert (packed["digest"], packed["scores"]) == (good["digest"], good["scores"])
    assert (bomb["name"], bomb["verdict"]) == ("bomb", "invalid_submission")
    assert (bad_name["name"], bad_name["verdict"]) == ("a b", "invalid_submission")
    assert "folder name" in bad_name["message"]

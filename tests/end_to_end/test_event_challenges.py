"""A challenge with events goes the whole way: stage, run, score, record, board."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from event_kit import HONEST, N_TEST, N_TRAIN, event, tracker, write_event_kit, write_tracker
from levels import need

import hepchallenge
from hepchallenge.records import BoardEntry, Verdict
from hepchallenge.run.isolation import Isolation


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_event_kit(tmp_path_factory.mktemp("events") / "kit")


def _score(kit: Path, workspace: Path, *submissions: Path, **options: Any) -> tuple[BoardEntry, ...]:
    return hepchallenge.score(kit, submissions, workspace=workspace, **options).submissions


def _file(folder: Path, change: Any = lambda lines: lines) -> Path:
    """Write the right answer to all test events as a prediction file, after a change of its lines."""
    folder.mkdir()
    lines = [
        f"{100 + number},{hit + 1},{label}"
        for number in range(N_TEST)
        for hit, label in enumerate(event("test", number)[1])
    ]
    (folder / "submission.csv").write_text("\n".join(["event_id,hit_id,label", *change(lines)]) + "\n")
    return folder


def test_code_is_scored_on_validation_and_test_events_with_the_time_of_each(
    kit: Path, tmp_path: Path
) -> None:
    (entry,) = _score(kit, tmp_path / "w", write_tracker(tmp_path / "a", HONEST))
    assert entry.scoring.verdict is Verdict.SCORED, entry.scoring.message
    parts = {"valid": 1.0, "test": 1.0, "public": 1.0, "private": 1.0}
    assert entry.scoring.scores["agreement"] == parts
    (fold,) = entry.folds
    seconds = {key: value for key, value in fold.event_seconds.items() if key.startswith("test/")}
    assert entry.scoring.scores["pace"]["test"] == pytest.approx(np.mean(list(seconds.values())), rel=1e-12)
    public = [seconds["test/0"], seconds["test/3"]]
    assert entry.scoring.scores["pace"]["public"] == pytest.approx(np.mean(public), rel=1e-12)
    assert sorted(fold.predictions) == sorted(fold.event_seconds)


def test_each_event_counts_the_same_however_many_hits_it_has(kit: Path, tmp_path: Path) -> None:
    # Right on the first ten hits only, of 20 to 24.
    code = tracker(predict="answer = 3 * event; answer[10:] = 0; return answer")
    (entry,) = _score(kit, tmp_path / "w", write_tracker(tmp_path / "a", code))
    expected = np.mean([10 / (20 + number) for number in range(N_TEST)])
    assert entry.scoring.scores["agreement"]["test"] == pytest.approx(expected, rel=1e-12)


def test_a_recorded_run_is_not_run_again_and_can_be_rescored(kit: Path, tmp_path: Path) -> None:
    folder = write_tracker(tmp_path / "a", HONEST)
    (first,) = _score(kit, tmp_path / "w", folder)
    (again,) = _score(kit, tmp_path / "w", folder)
    assert again.run_at == first.run_at
    assert again.scoring.scores == first.scoring.scores
    (rescored,) = hepchallenge.rescore(kit, workspace=tmp_path / "w").submissions
    assert rescored.scoring.scores == first.scoring.scores


def test_a_prediction_file_is_scored_where_no_time_is_needed(kit: Path, tmp_path: Path) -> None:
    agreement_only = tmp_path / "kit"
    write_event_kit(agreement_only)
    problem = agreement_only / "problem.py"
    problem.write_text(problem.read_text().replace(', Pace("pace")', ""))
    (entry,) = _score(agreement_only, tmp_path / "w", _file(tmp_path / "file"))
    assert entry.scoring.verdict is Verdict.SCORED, entry.scoring.message
    assert entry.scoring.scores["agreement"] == {"test": 1.0, "public": 1.0, "private": 1.0}
    (timed,) = _score(kit, tmp_path / "w", tmp_path / "file")
    assert timed.scoring.verdict is Verdict.INVALID_SUBMISSION
    assert timed.scoring.message == "metric pace needs the time per event; submit code"


def test_a_wrong_prediction_file_is_refused_by_event_and_hit(kit: Path, tmp_path: Path) -> None:
    (entry,) = _score(kit, tmp_path / "w", _file(tmp_path / "file", lambda lines: lines[:-1]))
    assert entry.scoring.verdict is Verdict.INVALID_SUBMISSION
    assert "103" in entry.scoring.message
    assert "23" in entry.scoring.message


SEARCH = """
for folder, _, names in os.walk("/"):
    if not folder.startswith(("/proc", "/sys", "/dev")):
        for name in names:
            if name.endswith(".npz") and os.access(os.path.join(folder, name), os.R_OK):
                print(os.path.join(folder, name), flush=True)
"""


@pytest.mark.parametrize(("level", "finds"), [("none", N_TRAIN + N_TEST), ("namespaces", 0), ("landlock", 0)])
def test_no_file_of_an_event_is_in_reach_behind_a_wall(
    kit: Path, tmp_path: Path, level: str, finds: int
) -> None:
    need(Isolation(level))
    folder = write_tracker(tmp_path / "a", tracker(fit=SEARCH))
    (entry,) = _score(kit, tmp_path / "w", folder, isolation=level)
    assert entry.scoring.verdict is Verdict.SCORED, entry.scoring.message
    log = (tmp_path / "w" / entry.folds[0].log).read_text() if entry.folds[0].log else ""
    assert sum(line.startswith(str(kit / "data")) for line in log.splitlines()) == finds


def test_the_json_document_carries_the_time_of_each_event(kit: Path, tmp_path: Path) -> None:
    write_tracker(tmp_path / "a", HONEST)
    command = [sys.executable, "-m", "hepchallenge", "score", str(kit), "a", "--workspace", "w", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (submission,) = json.loads(done.stdout)["submissions"]
    assert len(submission["folds"][0]["event_seconds"]) == N_TEST + 2
    assert submission["limits"]["cores"] == 1


def test_ramp_test_runs_the_same_kit(kit: Path, tmp_path: Path) -> None:
    agreement_only = tmp_path / "kit"
    write_event_kit(agreement_only)
    problem = agreement_only / "problem.py"
    problem.write_text(problem.read_text().replace(', Pace("pace")', ""))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ramp-test"), "--submission", "honest"],
        cwd=agreement_only,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "agreement" in done.stdout


def test_folds_get_the_cores_of_the_limits_and_jobs_are_fewer_for_it(
    kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hepchallenge.run import runner

    limits = hepchallenge.records.Limits(cores=3)
    monkeypatch.setattr(runner.os, "sched_getaffinity", lambda pid: set(range(8)))
    assert runner.most_jobs(8, limits) == 2
    assert runner.core_slots(2, range(8), 3) == [(0, 1, 2), (3, 4, 5)]
    assert runner.most_jobs(1, limits) == 1
    monkeypatch.setattr(runner.os, "sched_getaffinity", lambda pid: {0, 1})
    assert runner.most_jobs(4, limits) == 1
    assert runner.core_slots(1, range(2), 3) == [(0, 1)]

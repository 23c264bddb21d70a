"""Both TrackML challenges through the whole framework, with submissions whose scores are known beforehand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hepchallenge
from hepchallenge.challenges.trackml.data import open_events
from hepchallenge.contract import load_challenge
from hepchallenge.data import toy
from hepchallenge.records import BoardEntry, Verdict

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "trackml" / "event000000001"
N_EVENTS, N_HITS = 5, 600

PERFECT = """
class Tracker:
    def predict_event(self, hits, cells, detectors):
        # Toy hits carry no truth; this one was told the answers by the test that wrote it.
        import numpy as np
        from pathlib import Path

        answers = np.load(Path(__file__).parent / "answers.npz")
        return answers[str(int(hits["x"].to_numpy().view(np.int32).astype(np.int64).sum()))]
"""
EACH_ALONE = """
import numpy as np

class Tracker:
    def predict_event(self, hits, cells, detectors):
        return np.arange(len(hits))
"""
ALL_IN_ONE = EACH_ALONE.replace("np.arange(len(hits))", "np.zeros(len(hits), dtype=np.int64)")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEPCHALLENGE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def prepared() -> dict[str, Path]:
    names = ("trackml", "trackml_throughput")
    return {name: toy(load_challenge(name), 7, N_EVENTS, N_HITS) for name in names}


def _key(hits: Any) -> str:
    return str(int(hits["x"].to_numpy().view(np.int32).astype(np.int64).sum()))


def _write(folder: Path, code: str) -> Path:
    folder.mkdir()
    (folder / "tracker.py").write_text(code)
    return folder


def _all_kinds(folder: Path, prepared: Path) -> list[Path]:
    """Write one submission of each kind whose score theory tells."""
    answers = {}
    for part in ("train", "test"):
        for event, truth in zip(*open_events(prepared, part), strict=True):
            ids = truth.truth["particle_id"].to_numpy()
            answers[_key(event.hits)] = np.unique(ids, return_inverse=True)[1]
    perfect = _write(folder / "perfect", PERFECT)
    np.savez(perfect / "answers.npz", **answers)
    return [perfect, _write(folder / "each_alone", EACH_ALONE), _write(folder / "all_in_one", ALL_IN_ONE)]


def _by_name(entries: tuple[BoardEntry, ...]) -> dict[str, BoardEntry]:
    assert all(entry.scoring.verdict is Verdict.SCORED for entry in entries), [e.scoring for e in entries]
    return {entry.submission.name: entry for entry in entries}


def test_the_accuracy_of_trivial_submissions_is_what_theory_says(
    tmp_path: Path, prepared: dict[str, Path]
) -> None:
    submissions = _all_kinds(tmp_path, prepared["trackml"])
    document = hepchallenge.score("trackml", submissions, data=prepared["trackml"], workspace=tmp_path / "w")
    assert document.data.kind == "toy"
    entries = _by_name(document.submissions)
    # All parts, each of several events of unequal size.
    for part in ("valid", "test", "private"):
        assert entries["perfect"].scoring.scores["accuracy"][part] == pytest.approx(1.0, rel=1e-12)
        assert entries["each_alone"].scoring.scores["accuracy"][part] == 0.0
        assert entries["all_in_one"].scoring.scores["accuracy"][part] == 0.0


def test_the_throughput_score_joins_accuracy_and_the_time_that_was_measured(
    tmp_path: Path, prepared: dict[str, Path]
) -> None:
    data = prepared["trackml_throughput"]
    submissions = _all_kinds(tmp_path, data)
    document = hepchallenge.score(
        "trackml_throughput", submissions, data=data, workspace=tmp_path / "w", limits={"cores": 1}
    )
    entries = _by_name(document.submissions)
    scores = entries["perfect"].scoring.scores
    times = [t for key, t in entries["perfect"].folds[0].event_seconds.items() if key.startswith("test/")]
    assert len(times) == 2
    assert scores["seconds"]["test"] == pytest.approx(np.mean(times), rel=1e-12)
    assert scores["accuracy"]["test"] == pytest.approx(1.0, rel=1e-12)
    expected = np.sqrt(np.log(1 + 600 / np.mean(times)) * 0.25)
    assert scores["throughput"]["test"] == pytest.approx(expected, rel=1e-9)
    for name in ("each_alone", "all_in_one"):
        assert entries[name].scoring.scores["throughput"]["test"] == 0.0
        assert entries[name].scoring.scores["accuracy"]["test"] == 0.0


def test_a_prediction_file_scores_as_the_code_that_would_have_written_it(
    tmp_path: Path, prepared: dict[str, Path]
) -> None:
    events, truths = open_events(prepared["trackml"], "test")
    folder = tmp_path / "file"
    folder.mkdir()
    lines = ["event_id,hit_id,track_id"]
    for event_id, event, truth in zip(events.event_ids, events, truths, strict=True):
        tracks = np.unique(truth.truth["particle_id"].to_numpy(), return_inverse=True)[1]
        lines += [f"{event_id},{h},{t}" for h, t in zip(event.hits["hit_id"], tracks, strict=True)]
    (folder / "submission.csv").write_text("\n".join(lines) + "\n")
    document = hepchallenge.score("trackml", [folder], data=prepared["trackml"], workspace=tmp_path / "w")
    (entry,) = document.submissions
    assert entry.scoring.scores["accuracy"]["test"] == pytest.approx(1.0, rel=1e-12)
    (folder / "submission.csv").write_text("\n".join(lines[:-1]) + "\n")
    (short,) = hepchallenge.score(
        "trackml", [folder], data=prepared["trackml"], workspace=tmp_path / "w"
    ).submissions
    assert short.scoring.verdict is Verdict.INVALID_SUBMISSION


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("np.full(len(hits), -1)", "expected track ids from 0, found -1"),
        ("np.zeros(len(hits) - 1, dtype=int)", "track ids, one per hit"),
        ("np.zeros(len(hits))", "expected whole numbers, found dtype float64"),
        ("None", "track ids, one per hit"),
    ],
)
def test_wrong_track_ids_are_refused_with_the_reason(
    tmp_path: Path, prepared: dict[str, Path], answer: str, words: str
) -> None:
    submission = _write(tmp_path / "wrong", EACH_ALONE.replace("np.arange(len(hits))", answer))
    (entry,) = hepchallenge.score(
        "trackml", [submission], data=prepared["trackml"], workspace=tmp_path / "w"
    ).submissions
    assert entry.scoring.verdict is Verdict.INVALID_SUBMISSION
    assert words in entry.scoring.message


def test_a_tracker_sees_training_events_with_truth_and_may_write_into_what_it_gets(
    tmp_path: Path, prepared: dict[str, Path]
) -> None:
    code = """
import numpy as np

class Tracker:
    def fit(self, events):
        self.n = len(events)
        for event_id, hits, cells, particles, truth in events:
            assert len(hits) == len(truth), "one truth a hit"
            assert set(truth["hit_id"]) == set(hits["hit_id"])
            assert set(truth["particle_id"]) - {0} <= set(particles["particle_id"])
            hits["x"] = 0.0
            truth.loc[:, "weight"] = 0.0
        print("EVENTS", self.n, len(events.detectors), [int(e.event_id) for e in events], flush=True)

    def predict_event(self, hits, cells, detectors):
        print("COLUMNS", *hits.columns, "|", *cells.columns, "|", len(detectors), flush=True)
        hits.loc[:, "x"] = 1.0
        return np.arange(len(hits))
"""
    (entry,) = hepchallenge.score(
        "trackml", [_write(tmp_path / "a", code)], data=prepared["trackml"], workspace=tmp_path / "w"
    ).submissions
    assert entry.scoring.verdict is Verdict.SCORED, entry.scoring.message
    log = (tmp_path / "w" / entry.folds[0].log).read_text().splitlines()
    train = open_events(prepared["trackml"], "train")[0]
    # Of three training events the last one validates.
    assert log[0] == f"EVENTS 2 18728 {[int(i) for i in train.event_ids[:2]]}"
    assert set(log[1:]) == {
        "COLUMNS hit_id x y z volume_id layer_id module_id | hit_id ch0 ch1 value | 18728"
    }


def test_ramp_test_gives_the_same_accuracy(tmp_path: Path, prepared: dict[str, Path]) -> None:
    from hepchallenge.contract import builtin_folder

    submissions = tmp_path / "submissions"
    submissions.mkdir()
    # Hits of a narrow wedge make a track: neither perfect nor hopeless.
    wedge = "(200 * (np.arctan2(hits['y'], hits['x']) + 4)).to_numpy().astype(int)"
    code = EACH_ALONE.replace("np.arange(len(hits))", wedge)
    _write(submissions / "wedges", code)
    command = ["ramp-test", "--ramp-kit-dir", str(builtin_folder() / "trackml"), "--submission", "wedges"]
    command += ["--ramp-data-dir", str(prepared["trackml"]), "--ramp-submission-dir", str(submissions)]
    done = subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:], "--save-output"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    saved = (submissions / "wedges" / "training_output" / "fold_0" / "scores.csv").read_text().splitlines()
    (entry,) = hepchallenge.score(
        "trackml", [submissions / "wedges"], data=prepared["trackml"], workspace=tmp_path / "w"
    ).submissions
    ours = entry.scoring.scores["accuracy"]
    theirs = {line.split(",")[0]: float(line.split(",")[1]) for line in saved[1:]}
    assert 0.01 < ours["test"] < 0.9
    for part in ("valid", "test"):
        assert ours[part] == pytest.approx(theirs[part], rel=1e-12)


@pytest.mark.skipif(not REAL.is_dir(), reason="no real TrackML event: ../shared/data/trackml is absent")
def test_a_single_real_event_is_all_test_and_scored_by_its_weights(tmp_path: Path) -> None:
    (entry,) = hepchallenge.score(
        "trackml", [_write(tmp_path / "alone", EACH_ALONE)], data=REAL, workspace=tmp_path / "w"
    ).submissions
    assert entry.data.kind == "real"
    assert entry.scoring.scores["accuracy"] == {"test": 0.0, "private": 0.0}

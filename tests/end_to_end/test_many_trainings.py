"""Many trainings of one submission: one seed each, three uncertainties kept apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gated_kit import write_gated_kit

import hepchallenge
from hepchallenge.cli.leaderboard import load_board
from hepchallenge.exceptions import UsageError
from hepchallenge.records import BoardEntry, Verdict, fold_and_training, job_number
from hepchallenge.store import open_workspace

NOISY = """
import numpy as np

class Classifier:
    def fit(self, X, y):
        # The global generator is seeded anew for every training.
        self.shift = np.random.normal()
        print("SHIFT", self.shift, flush=True)

    def predict(self, X):
        return np.full(len(X), self.shift)
"""


def _score(kit: Path, folder: Path, code: str = NOISY, **options: Any) -> BoardEntry:
    submission = folder / "noisy"
    submission.mkdir(exist_ok=True)
    (submission / "classifier.py").write_text(code)
    (entry,) = hepchallenge.score(kit, [submission], workspace=folder / "w", **options).submissions
    return entry


def test_every_fold_is_trained_with_as_many_seeds_as_asked_for(kit: Path, tmp_path: Path) -> None:
    entry = _score(kit, tmp_path, trainings=3, seed=5)
    assert entry.scoring.verdict is Verdict.SCORED, entry.scoring.message
    assert [(o.training, o.fold) for o in entry.folds] == [(t, f) for t in range(3) for f in range(3)]
    shifts = [float((tmp_path / "w" / o.log).read_text().split()[1]) for o in entry.folds]
    expected = [np.random.RandomState(5 + training).normal() for training in range(3)]
    assert shifts == pytest.approx(np.repeat(expected, 3), rel=1e-12)


def test_spread_over_folds_and_over_trainings_are_kept_apart(kit: Path, tmp_path: Path) -> None:
    scoring = _score(kit, tmp_path, trainings=3).scoring
    table = np.array([fold["distance"]["test"] for fold in scoring.fold_scores]).reshape(3, 3)
    assert scoring.scores["distance"]["test"] == pytest.approx(table.mean(), rel=1e-12)
    # A constant scores the same in all folds on the test rows, so that only the seed makes a difference.
    assert scoring.spread["distance"]["test"] == pytest.approx(0, abs=1e-6)
    assert scoring.training_spread["distance"]["test"] == pytest.approx(table[:, 0].std(), rel=1e-6)
    assert scoring.training_spread["distance"]["test"] > 0.01
    bagged = scoring.scores["distance"]["bagged_test"]
    assert bagged == pytest.approx(table.mean(), rel=1e-9)


def test_one_training_has_no_spread_over_trainings(kit: Path, tmp_path: Path) -> None:
    assert _score(kit, tmp_path).scoring.training_spread == {}


def test_a_challenge_can_ask_for_trainings_and_a_quick_look_takes_one(kit: Path, tmp_path: Path) -> None:
    (kit / "challenge.toml").write_text("trainings = 2\n")
    entry = _score(kit, tmp_path)
    assert (entry.run_key.trainings, len(entry.folds)) == (2, 6)
    assert len(_score(kit, tmp_path, quick=True).folds) == 1
    assert len(_score(kit, tmp_path, trainings=1).folds) == 3


def test_a_failed_training_is_named(kit: Path, tmp_path: Path) -> None:
    code = NOISY.replace("self.shift = np.random.normal()", "self.shift = 1 / (np.random.normal() > 0)")
    # Of the seeds from 0 on, the first whose number is negative is that of training 1 or later.
    first = next(seed for seed in range(9) if np.random.RandomState(seed).normal() <= 0)
    assert first > 0
    entry = _score(kit, tmp_path, code, trainings=first + 1, jobs=1)
    assert entry.scoring.verdict is Verdict.RUNTIME_ERROR
    assert entry.scoring.message.startswith(f"fold 0, training {first}: fit failed")


def test_recorded_trainings_are_rescored_as_they_were(kit: Path, tmp_path: Path) -> None:
    entry = _score(kit, tmp_path, trainings=2)
    (again,) = hepchallenge.rescore(kit, workspace=tmp_path / "w").submissions
    assert again.scoring.scores == entry.scoring.scores
    assert again.scoring.training_spread == entry.scoring.training_spread


def test_the_error_of_the_finite_samples_is_told_and_its_replicas_are_kept(kit: Path, tmp_path: Path) -> None:
    entry = _score(kit, tmp_path, trainings=2)
    scoring = entry.scoring
    # The labels are equally spaced by 1/1024, of which a constant leaves the spread; of 100 replicas or more.
    expected = np.arange(23).std() / 1024 / np.sqrt(23)
    assert scoring.errors["distance"]["test"] == pytest.approx(expected, rel=0.25)
    assert scoring.errors["distance"].keys() == scoring.replicas.keys() == {"valid", "test"}
    with open_workspace(tmp_path / "w") as store:
        replicas = store.load_array(scoring.replicas["test"])
        (recorded,) = store.entries(entry.run_key.challenge)
    assert recorded.scoring.replicas == scoring.replicas
    assert replicas.std(ddof=1) == pytest.approx(scoring.errors["distance"]["test"])
    # Nothing that is shown leads to them.
    assert scoring.replicas["test"].digest not in json.dumps(entry.to_dict())


def test_equal_submissions_have_equal_replicas_and_no_replicas_are_made_if_none_are_wanted(
    kit: Path, tmp_path: Path
) -> None:
    first = _score(kit, tmp_path)
    (again,) = hepchallenge.rescore(kit, workspace=tmp_path / "w").submissions
    assert again.scoring.replicas == first.scoring.replicas
    (kit / "challenge.toml").write_text("[board]\nreplicas = 0\n")
    (none,) = hepchallenge.rescore(kit, workspace=tmp_path / "w").submissions
    assert (none.scoring.errors, none.scoring.replicas) == ({}, {})
    assert none.scoring.scores == first.scoring.scores


def test_gates_must_be_passed_by_every_training(tmp_path: Path) -> None:
    kit = write_gated_kit(tmp_path / "kit")
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "regressor.py").write_text(
        "import numpy as np\n\nclass Regressor:\n    def fit(self, X, y):\n"
        "        self.off = 2.0 * (np.random.normal() <= 0)\n\n"
        "    def predict(self, X):\n        return 2 * X['a'].to_numpy() + self.off\n"
    )
    first = next(seed for seed in range(9) if np.random.RandomState(seed).normal() <= 0)
    (one,) = hepchallenge.score(kit, [folder], workspace=tmp_path / "w", trainings=first).submissions
    (more,) = hepchallenge.score(kit, [folder], workspace=tmp_path / "w", trainings=first + 1).submissions
    assert (one.scoring.verdict, more.scoring.verdict) == (Verdict.SCORED, Verdict.GATE_FAILED)
    assert len(more.scoring.gates["mass"]["folds"]) == 2 * (first + 1)


@pytest.mark.parametrize("number", [0, -1, 1001])
def test_a_number_of_trainings_that_means_nothing_is_refused(kit: Path, number: int) -> None:
    with pytest.raises(UsageError, match="trainings: expected a number from 1 to 1000"):
        hepchallenge.score(kit, trainings=number)


def test_jobs_of_one_training_follow_each_other() -> None:
    jobs = [job_number(fold, training) for training in range(3) for fold in range(4)]
    assert jobs == sorted(jobs)
    assert [fold_and_training(job) for job in jobs[:5]] == [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1)]


def test_a_board_compares_by_kept_replicas_and_does_without_those_that_are_lost(
    kit: Path, tmp_path: Path
) -> None:
    entry = _score(kit, tmp_path)
    first = load_board(str(kit), tmp_path / "w").rows[0]
    assert (first.rank, first.rank_interval) == (1, (1, 1))
    (tmp_path / "w" / entry.scoring.replicas["test"].path).unlink()
    first = load_board(str(kit), tmp_path / "w").rows[0]
    assert (first.rank, first.rank_interval) == (1, None)

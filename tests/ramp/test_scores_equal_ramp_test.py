"""Any RAMP kit runs unchanged: scores are ramp-test's, yet no validation label goes to the submission."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ramp_kits import KITS, Kit
from ramp_side import ramp_result

import hepchallenge
from hepchallenge.contract import load_challenge
from hepchallenge.records import Verdict
from hepchallenge.run.runner import FoldJob, FoldResult, Runner


def rows_of(labels: Any) -> list[Any]:
    """Return labels as a list of plain rows."""
    rows = np.asarray(labels).tolist() if not isinstance(labels, list) else labels
    assert isinstance(rows, list)
    return rows


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[FoldJob]:
    """Collect what is handed to the untrusted side; it runs as ever."""
    seen: list[FoldJob] = []
    run_fold = Runner.run_fold

    def listen(self: Runner, job: FoldJob) -> FoldResult:
        seen.append(job)
        return run_fold(self, job)

    monkeypatch.setattr(Runner, "run_fold", listen)
    return seen


@pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.name)
def test_a_kit_scores_as_with_ramp_test_but_without_labels(
    kit: Kit, tmp_path: Path, jobs: list[FoldJob]
) -> None:
    folder = kit.write(tmp_path)
    document = hepchallenge.score(folder, workspace=tmp_path / "workspace", jobs=2, data_label=kit.data_label)
    [entry] = document.submissions
    assert entry.scoring.verdict is Verdict.SCORED, entry.scoring.message
    theirs = ramp_result(folder, kit.data_label)

    assert list(entry.scoring.fold_scores) == theirs.folds
    parts = {part for scores in theirs.bagged.values() for part in scores}
    assert parts == ({"bagged_valid", "bagged_test"} if kit.has_test_scores else {"bagged_valid"})
    problem = load_challenge(folder).problem
    for score_type in problem.score_types:
        scores, spread = entry.scoring.scores[score_type.name], entry.scoring.spread[score_type.name]
        assert {part: scores[part] for part in parts} == theirs.bagged[score_type.name]
        column = problem.metric_names.index(score_type.name)
        for part, printed in theirs.printed_means.items():
            mean, std = (
                round(scores[part], score_type.precision),
                round(spread[part], score_type.precision + 1),
            )
            assert printed[column] == f"{mean}±{std}"

    arguments = {"data_label": kit.data_label} if kit.data_label else {}
    truth = rows_of(problem.get_train_data(path=str(folder), **arguments)[1])
    assert len(jobs) == len(theirs.folds) == 2
    for job in jobs:
        handed = rows_of(job.labels)
        assert len(handed) == len(truth)
        training = set(job.train_is.tolist())
        for row, label in enumerate(handed):
            assert label == truth[row if row in training else job.train_is[0]], row

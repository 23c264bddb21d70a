"""Types and helpers of the tests of the tau -> mu mu mu challenge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from hepchallenge.challenges.tau3mu import problem

Train = Callable[[Path | str], object]


class Judged(NamedTuple):
    """What a trained submission reaches on the held-out events and at the gates."""

    auc: float
    agreement: float
    flatness: float
    passed: dict[str, bool]


def judge(model: object, folder: Path) -> Judged:
    """Predict the test events and the gates' samples of a prepared folder, and judge the predictions."""
    X, y = problem.get_test_data(folder)
    predicted = problem.Predictions(y_pred=problem.workflow.test_submission(model, X))
    auc = problem.score_types[0].score_function(problem.Predictions(y_true=y), predicted)
    found = {}
    for gate in problem.gates:
        sample, truth = gate.get_data(folder)
        found[gate.name] = gate.check(problem.workflow.test_submission(model, sample), truth)
    statistics = {name: result.statistic for name, result in found.items()}
    return Judged(auc, **statistics, passed={name: result.passed for name, result in found.items()})

"""Print the table of docs/tau3mu_toy.md: what the kits reach on toy events, next to what was published.

    python docs/figures/make_tau3mu_toy.py [SEED ...]

trains every kit on both folds of the toy of each seed (default 0), without the framework's isolation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hepchallenge.challenges.tau3mu import problem
from hepchallenge.challenges.tau3mu.data import make_toy_data
from hepchallenge.challenges.tau3mu.kinematics import TAU_MASS, mass_from_lifetime, mass_from_momenta
from hepchallenge.data.prepared import prepare_toy

KITS = Path(__file__).parents[2] / "starting_kits" / "tau3mu"
PUBLISHED = {
    "geometry_boosting": "0.834 | 0.0682 | 0.00098",
    "uniform_boosting": "0.835 | 0.0676 | 0.00091",
    "all_features_boosting": "0.983 | 0.1686 (fails) | 0.00107",
    "noise_mixing": "0.881 | 0.0270 | 0.00095",
    "reweighted": "| |",
}
Predict = Callable[[pd.DataFrame], Any]


def rebuilt_mass(X: pd.DataFrame) -> Any:
    """Return a score that knows nothing but the mass."""
    away = [np.abs(mass(X) - TAU_MASS) for mass in (mass_from_momenta, mass_from_lifetime)]
    return 1.0 / (1.0 + np.minimum(*away) / 10.0)


def row(folder: Path, predict: list[Predict]) -> str:
    """Return AUC on training and held-out events, and the worst statistic of each gate."""
    cells = []
    for X, y in (problem.get_train_data(folder), problem.get_test_data(folder)):
        truth = problem.Predictions(y_true=y)
        made = [problem.Predictions(y_pred=each(X)) for each in predict]
        cells.append(f"{problem.score_types[0].score_function(truth, problem.Predictions.combine(made)):.3f}")
    for gate, digits in zip(problem.gates, (4, 5), strict=True):
        X, truth = gate.get_data(folder)
        worst = max((gate.check(each(X), truth) for each in predict), key=lambda found: found.statistic)
        cells.append(f"{worst.statistic:.{digits}f}" + ("" if worst.passed else " (fails)"))
    return " | ".join(cells)


def main(seeds: list[int]) -> None:
    """Print one table per seed."""
    for seed in seeds:
        folder = prepare_toy("tau3mu", make_toy_data, seed=seed, events=70_000)
        X, y = problem.get_train_data(folder)
        folds = [train for train, _ in problem.get_cv(X, y)]
        print(f"\nseed {seed}\n")
        print("| kit | published AUC, train | KS | CvM | toy AUC, train | held out | KS | CvM |")
        print("|---" * 8 + "|")
        for kit, published in PUBLISHED.items():
            models = [problem.workflow.train_submission(str(KITS / kit), X, y, rows) for rows in folds]
            predict = [lambda X, m=m: problem.workflow.test_submission(m, X) for m in models]
            print(f"| `{kit}` | {published} | {row(folder, predict)} |", flush=True)
        print(f"| rebuilt mass (hostile) | | | | {row(folder, [rebuilt_mass])} |")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [0])

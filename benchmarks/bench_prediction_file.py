"""A HiggsML `submission.csv` of 550 000 rows: read, checked and scored, against `pandas.read_csv` alone.

Run it on an idle machine:

    python benchmarks/bench_prediction_file.py

Both are timed in turn, in one process, on one file that is in the page cache; medians are compared. "Scored"
is the official metric (AMS) on the public and on the private part. A second line adds the two metrics
that sort the events (best AMS over all thresholds, ROC AUC). The truth is random: times do not depend on it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hepchallenge.challenges.higgsml.predictions import Predictions, predictions_from_columns
from hepchallenge.run.prediction_file import read_prediction_file
from hepchallenge.scoring.higgsml import AMS, ROCAUC, BestAMS, WeightedSelectionScore

N_PUBLIC, N_PRIVATE = 100_000, 450_000
FIRST_ID = 350_000
COLUMNS = {"EventId": "int64", "RankOrder": "int64", "Class": "string"}
OFFICIAL: tuple[WeightedSelectionScore, ...] = (AMS(),)
ALL: tuple[WeightedSelectionScore, ...] = (AMS(), BestAMS(), ROCAUC())


def write_submission(file: Path, seed: int = 0) -> NDArray[np.int64]:
    """Write a valid submission with 15 per cent selected and return its ids."""
    n = N_PUBLIC + N_PRIVATE
    ids = np.arange(FIRST_ID, FIRST_ID + n)
    rank = np.random.default_rng(seed).permutation(n) + 1
    label = np.where(rank > 0.85 * n, "s", "b")
    pd.DataFrame({"EventId": ids, "RankOrder": rank, "Class": label}).to_csv(file, index=False)
    return ids


def random_truth(n: int, seed: int) -> Predictions:
    """Return truth of a part: a third of signal, weights over some orders of magnitude."""
    rng = np.random.default_rng(seed)
    return Predictions(y_true=np.column_stack([rng.random(n) < 0.34, rng.lognormal(0, 2, n)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21, help="alternations of which the median is taken")
    rounds = parser.parse_args().rounds
    parts = {"public": slice(0, N_PUBLIC), "private": slice(N_PUBLIC, None)}
    truth = {"public": random_truth(N_PUBLIC, 1), "private": random_truth(N_PRIVATE, 2)}

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "submission.csv"
        ids = write_submission(file)

        def score(score_types: tuple[WeightedSelectionScore, ...]) -> list[float]:
            columns = read_prediction_file(file, COLUMNS, "EventId", ids)
            y_pred = predictions_from_columns(columns)
            return [
                score_type.score_function(truth[name], Predictions(y_pred=y_pred, fold_is=rows))
                for name, rows in parts.items()
                for score_type in score_types
            ]

        tasks: dict[str, Callable[[], object]] = {
            "pandas.read_csv alone": lambda: pd.read_csv(file),
            "read, checked, scored (AMS, both parts)": lambda: score(OFFICIAL),
            "read, checked, scored (all metrics, both parts)": lambda: score(ALL),
        }
        seconds: dict[str, list[float]] = {name: [] for name in tasks}
        for _ in range(rounds + 1):
            for name, task in tasks.items():
                start = time.perf_counter()
                task()
                seconds[name].append(time.perf_counter() - start)
        size = file.stat().st_size

    # The first round is for imports, page cache and the index of the ids.
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    base = medians["pandas.read_csv alone"]
    print(f"{N_PUBLIC + N_PRIVATE} rows, {size / 1e6:.1f} MB, median of {rounds} alternations")
    for name, median in medians.items():
        print(f"{name:50s} {median * 1e3:7.1f} ms   ratio {median / base:.2f}")


if __name__ == "__main__":
    main()

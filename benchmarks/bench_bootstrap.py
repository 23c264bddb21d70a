"""1 000 bootstrap replicas of scores of a 450 000-event test set against 1 000 rounds of resample and score.

The events are like those of HiggsML: a third is signal, weights differ from event to event, and 15 % are
selected. A round draws as many events as there are with replacement, by `rng.integers`, and calls the score
type. Rounds of both ways alternate in small lots, so that both meet the same load of the host; each way does
1 000 replicas in all. The time of the kernel includes sorting and making the counts.
"""

from __future__ import annotations

import math
import time
from types import SimpleNamespace

import numpy as np

from hepchallenge.scoring.bootstrap import Counts, standard_error
from hepchallenge.scoring.higgsml import AMS, ROCAUC, WeightedSelectionScore
from hepchallenge.scoring.toptag import AUC

N_EVENTS, N_REPLICAS, AIM = 450_000, 1000, 0.1


def events(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and prediction: a score that tells signal from background, and its best 15 %."""
    is_signal = rng.random(N_EVENTS) < 0.34
    weight = np.where(is_signal, 0.0045, 1.4) * rng.gamma(2.0, 0.5, N_EVENTS)
    score = rng.normal(size=N_EVENTS) + 1.5 * is_signal
    selected = score > np.quantile(score, 0.85)
    return np.column_stack((is_signal, weight)).astype(float), np.column_stack((score, selected))


def compare(
    name: str, metric: WeightedSelectionScore | AUC, truth: np.ndarray, predicted: np.ndarray
) -> None:
    """Print both times and both errors."""
    rng = np.random.default_rng(1)
    begin = time.perf_counter()
    kernel = metric.replica_kernel(SimpleNamespace(y_pred=truth), SimpleNamespace(y_pred=predicted))
    fast = time.perf_counter() - begin
    slow = 0.0
    replicas: list[float] = []
    rounds: list[float] = []
    blocks = Counts(1, N_REPLICAS).blocks(N_EVENTS)
    while len(replicas) < N_REPLICAS:
        begin = time.perf_counter()
        _, counts = next(blocks)
        replicas += kernel(counts).tolist()
        middle = time.perf_counter()
        while len(rounds) < len(replicas):
            rows = rng.integers(N_EVENTS, size=N_EVENTS)
            rounds.append(metric(truth[rows], predicted[rows]))
        fast, slow = fast + middle - begin, slow + time.perf_counter() - middle
    errors = standard_error(replicas) or math.nan, standard_error(rounds) or math.nan
    print(f"{name}: score {metric(truth, predicted):.5f}")
    for way, seconds, error in zip(("kernel", "resample and score"), (fast, slow), errors, strict=True):
        print(f"  {way:<20} {seconds:8.2f} s   standard error {error:.6f}")
    print(f"  ratio {fast / slow:.3f} (aim {AIM})")


if __name__ == "__main__":
    truth, predicted = events(np.random.default_rng(0))
    compare("AMS, with weights and selection", AMS(), truth, predicted)
    compare("area under the ROC curve, weighted", ROCAUC(), truth, predicted)
    compare("area under the ROC curve", AUC(), truth[:, 0], 1 / (1 + np.exp(-predicted[:, 0])))

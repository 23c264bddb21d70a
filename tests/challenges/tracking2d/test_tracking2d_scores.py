"""The challenge on toy events: what submissions score, and that ramp-test says the same."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tracking2d_kits import KITS, ROOT, start_kit

import hepchallenge
from hepchallenge.challenges.tracking2d import data, problem, simulation
from hepchallenge.contract import check_folds, load_challenge
from hepchallenge.data.prepared import prepare_source, prepare_toy
from hepchallenge.exceptions import DataError
from hepchallenge.records import Verdict

if TYPE_CHECKING:
    from tracking2d_kits import Predict

efficiency = problem.score_types[0]


def _score(y: np.ndarray, labels: np.ndarray) -> float:
    truth = problem.Predictions(y_true=y)
    predictions = problem.Predictions(y_pred=np.c_[y[:, 0], labels])
    return float(efficiency.score_function(truth, predictions))


def test_simple_submissions_score_what_theory_says(toy: Path) -> None:
    _, y = problem.get_test_data(toy)
    clusters = [np.unique(y[y[:, 0] == event, 1], return_counts=True)[1] for event in np.unique(y[:, 0])]
    assert _score(y, y[:, 1]) == pytest.approx(1.0)
    assert _score(y, np.full(len(y), -1)) == 0.0
    every_hit_its_own = np.mean([len(sizes) / sizes.sum() for sizes in clusters])
    assert _score(y, np.arange(len(y))) == pytest.approx(every_hit_its_own)
    one_for_all = np.mean([sizes.max() / sizes.sum() for sizes in clusters])
    assert _score(y, np.zeros(len(y), dtype=int)) == pytest.approx(one_for_all)


def test_kits_score_on_the_toy_as_on_published_events(toy: Path, predict: Predict) -> None:
    X, y = problem.get_test_data(toy)
    score = {kit: efficiency(y, predict(kit, X)) for kit in ("nearest_hit", "hough", "combinatorial")}
    assert score["nearest_hit"] == pytest.approx(0.845, abs=0.06)
    assert score["hough"] > 0.96
    assert score["combinatorial"] > 0.99


@pytest.mark.parametrize("kit", ["nearest_hit", "hough", "combinatorial"])
@pytest.mark.parametrize(
    "cells",
    [
        [(0, 5)],
        [(4, 70)],
        [(7, 5), (8, 6)],
        [(0, 5), (8, 70_000)],
        [(0, 3), (0, 3), (1, 3), (1, 3)],
    ],
)
def test_kits_label_events_with_few_hits(kit: str, cells: list[tuple[int, int]], toy: Path) -> None:
    layer, iphi = np.array(cells).T
    phi = simulation.cell_phi(layer, iphi)
    event = np.c_[layer, iphi, simulation.RADII[layer, None] * np.c_[np.cos(phi), np.sin(phi)]]
    clusterer = start_kit(kit)
    clusterer.fit(*problem.get_train_data(toy))
    labels = clusterer.predict_single_event(event)
    assert labels.shape == (len(cells),)
    assert labels.dtype.kind == "i"
    assert labels.min() >= -1


def test_the_combinatorial_search_masters_twice_the_multiplicity(predict: Predict) -> None:
    hits = simulation.simulate(15, seed=2, mean_multiplicity=20)
    X = hits[list(data.FEATURES)].to_numpy(dtype=float)
    assert efficiency(hits[list(data.LABELS)].to_numpy(), predict("combinatorial", X)) > 0.99


def test_validation_divides_no_event(toy: Path) -> None:
    X, y = problem.get_train_data(toy)
    [(train, valid)] = check_folds(load_challenge("tracking2d"), problem.get_cv(X, y), len(y))
    assert not set(y[train, 0]) & set(y[valid, 0])
    assert sorted([*train, *valid]) == list(range(len(y)))
    assert len(set(y[train, 0])) == len(set(y[valid, 0])) == 20


def test_training_and_test_events_share_the_toy(toy: Path) -> None:
    train, test = (set(read(toy)[1][:, 0]) for read in (problem.get_train_data, problem.get_test_data))
    assert len(train) == len(test) == 40
    assert not train & test


def test_ramp_test_gives_the_same_scores(toy: Path, tmp_path: Path) -> None:
    shutil.copytree(KITS / "nearest_hit", tmp_path / "nearest_hit")
    ramp_test = Path(sys.executable).with_name("ramp-test")
    # fmt: off
    command = [
        str(ramp_test), "--save-output", "--submission", "nearest_hit",
        "--ramp-kit-dir", str(ROOT / "challenges" / "tracking2d"), "--ramp-data-dir", str(toy),
        "--ramp-submission-dir", str(tmp_path),
    ]
    # fmt: on
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    document = hepchallenge.score(
        "tracking2d", [KITS / "nearest_hit"], data=toy, workspace=tmp_path / "workspace", jobs=1
    )
    [entry] = document.submissions
    assert entry.scoring.verdict is Verdict.SCORED, entry.scoring.message
    output = tmp_path / "nearest_hit" / "training_output"
    for file, prefix in (("fold_0/scores.csv", ""), ("bagged_scores.csv", "bagged_")):
        with open(output / file, newline="") as lines:
            theirs = {prefix + row["step"]: float(row["efficiency"]) for row in csv.DictReader(lines)}
        assert theirs == {part: entry.scoring.scores["efficiency"][part] for part in theirs}


def _publish(folder: Path, name: str, **changes: object) -> None:
    simulation.simulate(3, seed=1).assign(**changes).to_csv(folder / f"{name}.csv", index=False)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    _publish(tmp_path, "train")
    with pytest.raises(DataError, match=r"train\.csv and test\.csv .*found no test\.csv"):
        prepare_source("tracking2d", data.prepare_data, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": 9}, "column layer, row 1: expected 0 to 8, found 9"),
        ({"layer": 0, "iphi": 9802}, "column iphi, row 1: expected a cell of its layer, found 9802"),
        ({"cluster_id": -1}, "column cluster_id, row 1: expected a particle's number, from 0, found -1"),
        ({"x": np.inf}, "column x, row 1: expected a finite number"),
        ({"z": 1.0}, "column z"),
    ],
)
def test_impossible_hits_are_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    _publish(tmp_path, "train")
    _publish(tmp_path, "test", **changes)
    with pytest.raises(DataError, match=message):
        prepare_source("tracking2d", data.prepare_data, tmp_path)


def test_too_few_toy_events_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4, found 3"):
        prepare_toy("tracking2d", data.make_toy_data, seed=0, events=3)

"""Published files become parts and gate samples; what is wrong with them is named."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hepchallenge.challenges.tau3mu import data, problem, toy
from hepchallenge.challenges.tau3mu.gates import GATES
from hepchallenge.data import read_manifest
from hepchallenge.data.prepared import prepare_source
from hepchallenge.exceptions import DataError

NAMES = {"labelled": "training", "agreement": "check_agreement", "correlation": "check_correlation"}
Frames = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def frames() -> Frames:
    """Toy events as published files hold them."""
    return {NAMES[name]: pd.DataFrame(columns) for name, columns in toy.generate(3000, seed=2).items()}


def _write(folder: Path, frames: Frames) -> Path:
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return folder


def test_published_files_are_divided_and_their_gate_samples_kept_whole(
    tmp_path: Path, frames: Frames
) -> None:
    folder = _write(tmp_path, frames)
    training = frames["training"].set_index("id")
    X, y = problem.get_train_data(folder)
    X_test, y_test = problem.get_test_data(folder)
    ids = problem.get_test_ids(folder)
    np.testing.assert_allclose(X_test, training.loc[ids, list(data.FEATURES)])
    np.testing.assert_allclose(y_test, training.loc[ids, list(data.TRUTH)])
    assert len(X) == round(2 / 3 * len(training))
    assert not set(X["LifeTime"]) & set(X_test["LifeTime"])
    assert y[:, 0].mean() == pytest.approx(y_test[:, 0].mean(), abs=2e-3)
    agreement, correlation = (gate.get_data(folder) for gate in GATES)
    np.testing.assert_allclose(agreement[0], frames["check_agreement"][list(data.FEATURES)])
    np.testing.assert_allclose(agreement[1], frames["check_agreement"][["signal", "weight"]])
    np.testing.assert_allclose(correlation[1], frames["check_correlation"]["mass"])
    assert GATES[1].get_ids(folder).tolist() == frames["check_correlation"]["id"].tolist()


def test_files_may_be_zipped_or_gzipped_and_unlabelled_events_are_not_read(
    tmp_path: Path, frames: Frames
) -> None:
    with zipfile.ZipFile(tmp_path / "training.csv.zip", "w") as archive:
        archive.writestr("training.csv", frames["training"].to_csv(index=False))
    with gzip.open(tmp_path / "check_agreement.csv.gz", "wt") as file:
        file.write(frames["check_agreement"].to_csv(index=False))
    frames["check_correlation"].to_csv(tmp_path / "check_correlation.csv", index=False)
    (tmp_path / "test.csv").write_text("nothing that could be read")
    folder = prepare_source("tau3mu", data.prepare_data, tmp_path)
    manifest = read_manifest(folder)
    assert manifest.rows["train"] + manifest.rows["test"] == len(frames["training"])
    assert manifest.info["test.csv"] == "not read: it has no labels"
    assert "test.csv" not in {source.name for source in manifest.sources}


def test_one_archive_may_hold_all_files(tmp_path: Path, frames: Frames) -> None:
    file = tmp_path / "flavours-of-physics.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name, frame in frames.items():
            archive.writestr(f"{name}.csv", frame.to_csv(index=False))
    assert len(problem.get_test_ids(file)) == round(len(frames["training"]) / 3)


def test_published_correlation_sample_is_a_gate_sample(
    published: pd.DataFrame, tmp_path: Path, frames: Frames
) -> None:
    folder = _write(tmp_path, {**frames, "check_correlation": published})
    X, mass = GATES[1].get_data(folder)
    assert X.shape == (5514, 46)
    assert 1600 < mass.min() < mass.max() < 1950
    # The floor of 200 events in a window: (1 - n / N) / (6 n).
    noise = np.random.default_rng(0).random(len(mass))
    assert GATES[1].check(noise, mass).statistic == pytest.approx(0.0008, abs=0.0004)
    assert GATES[1].check((mass - 1600) / 350, mass).statistic > 0.1


def test_split_is_stratified_seeded_and_independent_of_order() -> None:
    rng = np.random.default_rng(0)
    ids, signal = rng.permutation(1500), rng.random(1500) < 0.6
    part = data.split(ids, signal)
    order = rng.permutation(1500)
    assert (data.split(ids[order], signal[order]) == part[order]).all()
    for label in (False, True):
        for name, share in data.SHARES.items():
            found = ((part == name) & (signal == label)).sum()
            assert abs(found - share * (signal == label).sum()) <= 1


Change = Callable[[Frames], Any]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.pop("check_agreement"), "expected training.csv, .*found no check_agreement.csv"),
        (lambda f: f["training"].pop("mass"), "column mass"),
        (lambda f: f["training"].loc.__setitem__((3, "signal"), 2), "column signal, row 4: expected 0 or 1"),
        (lambda f: f["check_agreement"].__setitem__("signal", 3), "column signal, row 1: expected 0 or 1"),
        (lambda f: f["training"].__setitem__("min_ANNmuon", 0.4), "train part: expected signal events"),
        (lambda f: f["training"].__setitem__("signal", 1), "train part: expected background events"),
        (lambda f: f["check_agreement"].__setitem__("weight", -1.0), "column weight: expected simulated"),
        (lambda f: f["check_agreement"].__setitem__("signal", 1), "column weight: expected real"),
        (lambda f: f.update(check_correlation=f["check_correlation"].head(199)), "at least 200 events"),
        (lambda f: f["check_correlation"].__setitem__("id", 1), "column id, row 2"),
    ],
)
def test_impossible_data_are_refused(tmp_path: Path, frames: Frames, change: Change, message: str) -> None:
    changed = {name: frame.copy() for name, frame in frames.items()}
    change(changed)
    with pytest.raises(DataError, match=message):
        data.prepare_data(_write(tmp_path, changed), tmp_path / "prepared")

"""Staging writes features only, knows data by their digest and gives the kit ramp-test's surroundings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepchallenge.bundle import load_bundle
from hepchallenge.contract import load_challenge
from hepchallenge.exceptions import ContractError
from hepchallenge.records import DataInfo
from hepchallenge.stage.stage import Staged, ramp_test_mode, stage

PROBLEM = """
import os
import numpy as np
import rampwf as rw

problem_title = "Small"
Predictions = rw.prediction_types.make_regression()
workflow = rw.workflows.Regressor()
score_types = [rw.score_types.RMSE()]


def get_cv(X, y):
    return [(np.arange(4), np.arange(4, 6)), (np.arange(2, 6), np.arange(2))]


def get_train_data(path="."):
    return np.arange(12.0).reshape(6, 2), np.arange(6.0) + 0.125


def get_test_data(path="."):
    return np.arange(6.0).reshape(3, 2), np.arange(3.0) + 0.375
"""

Make = Callable[..., Staged]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Stage a kit made of `PROBLEM` and more code."""

    def make(extra: str = "", data: DataInfo | None = None, **options: Any) -> Staged:
        folder = tmp_path / "kit"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        (folder / "problem.py").write_text(PROBLEM + extra)
        challenge = load_challenge(folder)
        return stage(challenge, folder, data, tmp_path / "inputs", **options)

    return make


def test_inputs_are_written_and_truth_stays_in_memory(make: Make) -> None:
    staged = make()
    assert staged.test_inputs is not None
    assert load_bundle(staged.train_inputs).tolist() == np.arange(12.0).reshape(6, 2).tolist()
    assert load_bundle(staged.test_inputs).tolist() == np.arange(6.0).reshape(3, 2).tolist()
    truth = staged.truth
    assert (truth.n_train, truth.n_test, len(truth.folds), truth.parts) == (6, 3, 2, {})
    for file in staged.train_inputs.parent.iterdir():
        for label in (*truth.y_train, *truth.y_test):
            assert np.float64(label).tobytes() not in file.read_bytes()


def test_the_digest_follows_files_or_else_the_data(make: Make, tmp_path: Path) -> None:
    other_label = "\ndef get_test_data(path='.'):\n    return np.arange(6.0).reshape(3, 2), np.arange(3.0)\n"
    without_files = {make().data.digest, make().data.digest, make(other_label).data.digest}
    assert len(without_files) == 2
    file = tmp_path / "kit" / "data" / "train.csv"
    file.write_text("1")
    first = make().data
    assert first.kind == "kit"
    os.utime(file, (1, 1))
    (file.parent / ".hidden").write_text("x")
    assert make().data == first
    file.write_text("2")
    changed = make().data.digest
    file.rename(file.with_name("other.csv"))
    assert len({first.digest, changed, make().data.digest, *without_files}) == 5


def test_a_data_label_is_handed_over_and_part_of_the_digest(make: Make, tmp_path: Path) -> None:
    (tmp_path / "kit" / "data").mkdir(parents=True)
    (tmp_path / "kit" / "data" / "a.csv").write_text("1")
    takes = (
        "\ndef get_train_data(path='.', data_label=None):\n"
        "    return np.zeros((6, 1)), np.full(6, float(data_label))\n"
        "\ndef get_test_data(path='.', data_label=None):\n    return None, None\n"
    )
    one, two = make(takes, data_label="1"), make(takes, data_label="2")
    assert one.truth.y_train.tolist() == [1.0] * 6
    assert one.data.digest != two.data.digest
    assert one.test_inputs is None
    assert one.truth.n_test is None


def test_known_data_keep_their_digest(make: Make) -> None:
    info = DataInfo(kind="toy", digest="d" * 64)
    assert make(data=info).data == info


def test_the_kits_functions_find_themselves_in_its_folder(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    looks = "\ndef get_train_data(path='.'):\n    return np.zeros((6, 1)), np.full(6, len(os.getcwd()))\n"
    assert make(looks).truth.y_train[0] == len(str(tmp_path / "kit"))
    assert Path.cwd() == tmp_path
    fails = "\ndef get_train_data(path='.'):\n    raise OSError('gone')\n"
    with pytest.raises(ContractError, match="OSError: gone"):
        make(fails)
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize("before", [None, "1", "0"])
def test_only_a_quick_run_is_in_ramps_test_mode(
    make: Make, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    if before is None:
        monkeypatch.delenv("RAMP_TEST_MODE", raising=False)
    else:
        monkeypatch.setenv("RAMP_TEST_MODE", before)
    reads = (
        "\ndef get_train_data(path='.'):\n"
        "    return np.zeros((6, 1)), np.full(6, float(os.environ.get('RAMP_TEST_MODE', -1)))\n"
    )
    for quick, seen in ((False, -1.0), (True, 1.0)):
        staged = make(reads, quick=quick)
        assert staged.truth.y_train[0] == seen
        assert len(staged.truth.folds) == (1 if quick else 2)
        assert os.environ.get("RAMP_TEST_MODE") == before


def test_the_test_mode_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAMP_TEST_MODE", raising=False)
    with pytest.raises(KeyError), ramp_test_mode(True):
        raise KeyError
    assert "RAMP_TEST_MODE" not in os.environ


def test_public_and_private_rows_are_kept_and_an_empty_part_is_none(make: Make) -> None:
    parts = "\ndef get_test_parts(path='.'):\n    return ['private', 'public', 'private']\n"
    found = make(parts).truth.parts
    assert {part: rows.tolist() for part, rows in found.items()} == {"public": [1], "private": [0, 2]}
    alone = "\ndef get_test_parts(path='.'):\n    return ['private'] * 3\n"
    assert make(alone).truth.parts.keys() == {"private"}


@pytest.mark.parametrize(
    ("ids", "found"),
    [("[1, 2]", "shape (2,)"), ("[1.0, 2.0, 3.0]", "dtype float64"), ("[[1, 2, 3]]", "(1, 3)")],
)
def test_test_ids_are_one_whole_number_a_row(make: Make, ids: str, found: str) -> None:
    with pytest.raises(ContractError) as caught:
        make(f"\ndef get_test_ids(path='.'):\n    return {ids}\n")
    assert (caught.value.where, found in caught.value.found) == ("get_test_ids", True)


def test_a_label_left_among_the_test_features_is_found(make: Make, tmp_path: Path) -> None:
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "challenge.toml").write_text('[features]\nwithheld = ["Label"]\n')
    leak = (
        "\nimport pandas as pd\n"
        "def get_test_data(path='.'):\n    return pd.DataFrame({'a': [1.0], 'label': [1.0]}), np.zeros(1)\n"
    )
    with pytest.raises(ContractError, match="the column 'label'"):
        make(leak)

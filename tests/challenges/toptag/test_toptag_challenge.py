"""The challenge as a whole: staged, scored, with its kit, with prediction files, with labels alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hepchallenge
from hepchallenge.challenges.toptag.data import make_toy_data, read_part
from hepchallenge.challenges.toptag.outputs import write_outputs
from hepchallenge.challenges.toptag.predictions import Predictions, predictions_from_columns
from hepchallenge.contract import load_challenge
from hepchallenge.data.prepared import prepare_toy
from hepchallenge.exceptions import DataError, InvalidSubmission, UsageError
from hepchallenge.scoring.toptag import background_rejection

KIT = Path(__file__).resolve().parents[3] / "starting_kits" / "toptag" / "mass_and_count"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder of 600 toy jets."""
    pytest.importorskip("fastjet", reason="no fastjet: toy jets cannot be clustered")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEPCHALLENGE_CACHE", str(tmp_path_factory.mktemp("cache")))
        return prepare_toy("toptag", make_toy_data, seed=0, events=600)


def entries(submissions: list[Path], data: Path, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Score submissions and return the records by name."""
    document = hepchallenge.score(
        "toptag", submissions, data=data, workspace=tmp_path / "workspace", isolation="none"
    )
    return {entry["name"]: entry for entry in document.to_dict()["submissions"]}


def test_the_kit_tells_toy_tops_from_others(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEPCHALLENGE_CACHE", str(tmp_path / "cache"))
    (entry,) = entries([KIT], toy, tmp_path).values()
    assert entry["verdict"] == "scored", entry["message"]
    scores = entry["scores"]
    assert set(scores) == {"rejection_30", "rejection_50", "rejection_30_nearest", "auc", "accuracy"}
    assert {"train", "valid", "test"} <= set(scores["auc"])
    assert scores["auc"]["test"] > 0.85
    assert scores["auc"]["valid"] > 0.85


def test_the_fold_trains_and_validates_on_the_published_sets(toy: Path) -> None:
    challenge = load_challenge("toptag")
    X, y = challenge.problem.get_train_data(path=toy)
    ((train, valid),) = challenge.problem.get_cv(X, y)
    assert (len(train), len(valid)) == (360, 120)
    assert not X[train].validation.any()
    assert X[valid].validation.all()
    X, y = challenge.problem.get_test_data(path=toy)
    assert len(X) == len(y) == 120
    assert challenge.problem.get_test_ids(path=toy).tolist() == list(range(120))


def test_quick_mode_takes_jets_from_everywhere(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = load_challenge("toptag").problem
    monkeypatch.setattr(problem.module, "_QUICK_JETS", 48)
    assert len(problem.get_train_data(path=toy)[0]) == 480
    monkeypatch.setenv("RAMP_TEST_MODE", "1")
    X, y = problem.get_train_data(path=toy)
    everything, label = read_part(toy, "train")
    assert np.array_equal(y, label[::10])
    assert np.array_equal(X.padded(), everything[::10].padded())
    assert X.validation.sum() == 12


def test_toy_data_are_equal_for_equal_seeds_and_marked(toy: Path, tmp_path: Path) -> None:
    make_toy_data(tmp_path / "again", 0, 600)
    for name in ("train.arrow", "train-constituents.npy", "test.arrow", "test-constituents.npy"):
        assert (tmp_path / "again" / name).read_bytes() == (toy / name).read_bytes()
    manifest = json.loads((toy / "manifest.json").read_text())
    assert manifest["kind"] == "toy"
    assert "toy" in manifest["info"]["division"]


def test_too_few_toy_jets_are_refused(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="toptag: 3 toy jets leave none of a class"):
        make_toy_data(tmp_path / "few", 0, 3)


def test_constituents_that_do_not_fit_the_table_are_refused(toy: Path, tmp_path: Path) -> None:
    for name in ("train.arrow", "train-constituents.npy"):
        (tmp_path / name).write_bytes((toy / name).read_bytes())
    np.save(tmp_path / "train-constituents.npy", np.zeros((3, 4), dtype=np.float32))
    with pytest.raises(DataError, match=r"train-constituents.npy: shape: expected .* found \(3, 4\)"):
        read_part(tmp_path, "train")


def test_no_feature_gives_the_top_away(toy: Path) -> None:
    jets, _ = read_part(toy, "test")
    assert set(vars(jets)) == {"constituents", "offsets", "validation"}


# Labels alone


@pytest.fixture
def labels_only(tmp_path: Path) -> Path:
    """A file with labels and the output of one tagger on 200 jets."""
    rng = np.random.default_rng(0)
    label = (np.arange(200) % 2).astype(np.uint8)
    output = np.clip(0.5 * label + 0.5 * rng.random(200), 0, 1).astype(np.float32)
    np.savez(tmp_path / "outputs.npz", label=label, pt=rng.random(200), tagger=output)
    return tmp_path / "outputs.npz"


def test_labels_alone_score_prediction_files_and_no_code(
    labels_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEPCHALLENGE_CACHE", str(tmp_path / "cache"))
    (file,) = write_outputs(labels_only, tmp_path / "out")
    assert file.name == "tagger.parquet"
    found = entries([file, KIT], labels_only, tmp_path)
    with np.load(labels_only) as arrays:
        expected = background_rejection(arrays["tagger"], arrays["label"], 0.5).value
    assert found["tagger"]["verdict"] == "scored", found["tagger"]["message"]
    assert found["tagger"]["scores"]["rejection_50"]["test"] == expected
    assert set(found["tagger"]["scores"]["auc"]) == {"test", "bagged_test"}
    assert found["mass_and_count"]["verdict"] == "invalid_submission"
    assert "only prediction files can be scored" in found["mass_and_count"]["message"]


def test_published_outputs_score_as_published(
    outputs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEPCHALLENGE_CACHE", str(tmp_path / "cache"))
    files = write_outputs(outputs_file, tmp_path / "out")
    found = entries(files, outputs_file.parent, tmp_path)
    # Medians and standard deviations of nine trainings of each, arXiv:1902.09914; this is one of them.
    for name, auc, rejection, std in (
        ("ResNeXt50", 0.984, 1122, 47),
        ("PFN", 0.982, 891, 18),
        ("EFN", 0.979, 633, 31),
        ("TopoDNN", 0.972, 295, 5),
    ):
        scores = found[name]["scores"]
        assert scores["auc"]["test"] == pytest.approx(auc, abs=1.1e-3)
        assert scores["rejection_30"]["test"] == pytest.approx(rejection, abs=1.1 * std)


def test_files_without_outputs_make_no_prediction_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", label=np.array([0, 1]))
    with pytest.raises(DataError, match="arrays: expected outputs of taggers, found none"):
        write_outputs(tmp_path / "a.npz", tmp_path / "out")
    np.savez(tmp_path / "b.npz", tagger=np.array([[0.1], [0.2]]))
    with pytest.raises(DataError, match="array tagger: expected one floating-point number a jet"):
        write_outputs(tmp_path / "b.npz", tmp_path / "out")


# Predictions


def test_predictions_outside_zero_and_one_are_refused() -> None:
    columns = {"id": np.array([5, 6, 7]), "prediction": np.array([0.0, 1.0, 1.5])}
    with pytest.raises(InvalidSubmission, match=r"id 7: prediction: expected .* found 1\.5"):
        predictions_from_columns(columns)
    columns["prediction"] = np.array([0.0, 0.5, 1.0])
    assert predictions_from_columns(columns).tolist() == [0.0, 0.5, 1.0]
    with pytest.raises(InvalidSubmission, match=r"row 1: expected a probability"):
        Predictions(y_pred=[0.5, -0.1])
    with pytest.raises(InvalidSubmission, match=r"shape \(2, 2\)"):
        Predictions(y_pred=[[0.5, 0.5], [0.1, 0.9]])


def test_predictions_of_folds_are_averaged_over_those_that_made_them() -> None:
    first, second = Predictions(n_samples=3), Predictions(n_samples=3)
    first.set_valid_in_train(Predictions(y_pred=[0.2, 0.4]), [0, 1])
    second.set_valid_in_train(Predictions(y_pred=[0.8]), [1])
    both = Predictions.combine([first, second])
    assert both.y_pred[:2].tolist() == pytest.approx([0.2, 0.6])
    assert both.valid_indexes.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("np.zeros((len(X), 3))", "predict_proba: expected"),
        ("np.full(len(X), 1.2)", "from 0 to 1, found 1.2"),
    ],
)
def test_a_classifier_that_returns_something_else_is_told_so(
    returned: str, message: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEPCHALLENGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "classifier.py").write_text(
        "import numpy as np\nclass Classifier:\n    def fit(self, X, y): pass\n"
        f"    def predict_proba(self, X): return {returned}\n"
    )
    (entry,) = entries([tmp_path / "wrong"], toy, tmp_path).values()
    assert entry["verdict"] == "invalid_submission"
    assert message in entry["message"]

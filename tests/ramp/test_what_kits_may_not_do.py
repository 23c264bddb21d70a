"""What ramp-test lets pass and we refuse gets a verdict or an error that says why."""

from __future__ import annotations

from pathlib import Path

import pytest
from ramp_kits import HEAD, LEAST_SQUARES, REGRESSION, Kit

import hepchallenge
from hepchallenge.contract import load_challenge
from hepchallenge.exceptions import ContractError
from hepchallenge.records import Verdict

REGRESSOR = (
    REGRESSION
    + """
workflow = rw.workflows.Regressor()
get_train_data, get_test_data = both(lambda df: (df[["a", "b"]].to_numpy(), df["target"].to_numpy()))
"""
)


def predicting(expression: str) -> dict[str, str]:
    """Return a submission whose predictions `y` go through an expression."""
    method = f"\n    def predict(self, X):\n        y = self.honest(X)\n        return {expression}\n"
    return {"regressor.py": LEAST_SQUARES.replace("def predict", "def honest") + method}


SUBMISSIONS = {
    "abstains": ("np.where(y > 20, np.nan, y)", Verdict.INVALID_SUBMISSION, "NaN is no abstention"),
    "infinite": (
        "np.where(y > 20, np.inf, y)",
        Verdict.INVALID_SUBMISSION,
        "expected finite numbers, found inf",
    ),
    "short": ("y[1:]", Verdict.INVALID_SUBMISSION, "expected 90 rows, found an array of shape (89,)"),
    "transposed": ("y[None]", Verdict.INVALID_SUBMISSION, "transposed?"),
    "column": ("y[:, None]", Verdict.INVALID_SUBMISSION, "y_pred should be 1D"),
    "objects": ("[[v, None] for v in y]", Verdict.INVALID_SUBMISSION, "plain numbers or text"),
    "ragged": (
        "[[v] * (i % 3) for i, v in enumerate(y)]",
        Verdict.INVALID_SUBMISSION,
        "rows of equal length",
    ),
    "complex": ("y + 1j", Verdict.INVALID_SUBMISSION, "plain numbers or text"),
    "nothing": ("None", Verdict.INVALID_SUBMISSION, "predict returned NoneType"),
    "raises": ("y[1 // 0]", Verdict.RUNTIME_ERROR, "ZeroDivisionError"),
    "reads": ("np.loadtxt('data/train.csv')", Verdict.RUNTIME_ERROR, "runs apart from the challenge's data"),
    "exits": ("exit('I give up')", Verdict.RUNTIME_ERROR, "SystemExit: I give up"),
    "text": ("y.astype(str)", Verdict.INVALID_SUBMISSION, "metric rmse cannot be computed on train"),
}


def test_every_wrong_prediction_gets_its_verdict_and_its_reason(tmp_path: Path) -> None:
    kit = Kit("wrong", REGRESSOR, predicting("y"))
    folder = kit.write(tmp_path)
    for name, (expression, _, _) in SUBMISSIONS.items():
        (folder / "submissions" / name).mkdir()
        (folder / "submissions" / name / "regressor.py").write_text(predicting(expression)["regressor.py"])
    document = hepchallenge.score(folder, workspace=tmp_path / "workspace", jobs=2)
    entries = {entry.submission.name: entry.scoring for entry in document.submissions}
    assert entries.pop("starting_kit").verdict is Verdict.SCORED
    assert entries.keys() == SUBMISSIONS.keys()
    for name, (_, verdict, words) in SUBMISSIONS.items():
        assert entries[name].verdict is verdict, (name, entries[name].message)
        assert words in entries[name].message, name
        assert entries[name].scores == {}
    assert document.exit_code == 1


@pytest.mark.parametrize(
    ("change", "where", "words"),
    [
        (
            "classes = read('.', 'train')['kind'].unique()",
            "line",
            "data/train.csv is opened; do so in get_train",
        ),
        ("def get_test_data(path='.'):\n    return None, [1.0]", "get_test_data", "labels without inputs"),
        ("def get_test_data(path='.'):\n    return None", "get_test_data", "expected a pair"),
        ("def get_train_data(path='.'):\n    return [1], {'y': 1}", "get_train_data", "found dict"),
        ("def get_train_data(path='.'):\n    exit('no data')", "get_train_data", "SystemExit: no data"),
        ("def get_train_data(path='.'):\n    return read(path, 'no')", "get_train_data", "FileNotFoundError"),
        ("def get_cv(X, y):\n    return [([0, 1], [1])]", "get_cv: fold 0", "1 shared rows"),
    ],
    ids=lambda text: text.split(":")[0][:20],
)
def test_a_mistake_of_the_author_ends_the_command_and_is_located(
    tmp_path: Path, change: str, where: str, words: str
) -> None:
    folder = Kit("mistaken", REGRESSOR + "\n\n" + change, predicting("y")).write(tmp_path)
    with pytest.raises(ContractError) as caught:
        hepchallenge.score(folder, workspace=tmp_path / "workspace", jobs=1)
    assert caught.value.file == str(folder / "problem.py")
    assert caught.value.where.startswith(where)
    assert words in str(caught.value)


def test_a_data_label_for_a_kit_that_takes_none_is_refused(tmp_path: Path) -> None:
    folder = Kit("unlabelled", REGRESSOR, predicting("y")).write(tmp_path)
    with pytest.raises(ContractError, match="a parameter data_label"):
        hepchallenge.score(folder, workspace=tmp_path / "workspace", jobs=1, data_label="x")


def test_importing_a_kit_leaves_working_folder_and_files_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Kit("peeking", REGRESSOR + "\n\nread('.', 'train')\n", predicting("y")).write(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ContractError) as caught:
        load_challenge("peeking")
    # The line in problem.py at which the file is opened, not where the helper is called.
    line = HEAD.partition("return pd.read_csv")[0].count("\n") + 1
    assert caught.value.where == f"line {line}"
    assert Path.cwd() == tmp_path
    assert (folder / "data" / "train.csv").read_text().startswith("a,b,c")


def test_the_function_score_stays_what_it_is(tmp_path: Path) -> None:
    import hepchallenge.scorer.scorer

    assert callable(hepchallenge.score)
    assert callable(hepchallenge.rescore)

"""Gates through the whole framework: one shuffled stream, and no score for who fails."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from gated_kit import PROBLEM, write_gated_kit, write_regressor

import hepchallenge
from hepchallenge.exceptions import ContractError
from hepchallenge.records import BoardEntry, Verdict

N_ROWS = 60 + 31 + 43


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gated_kit(tmp_path_factory.mktemp("gated") / "kit")


def _score(kit: Path, workspace: Path, *submissions: Path) -> tuple[BoardEntry, ...]:
    return hepchallenge.score(kit, submissions, workspace=workspace).submissions


def _seen(workspace: Path, entry: BoardEntry) -> list[tuple[list[str], list[str], list[int]]]:
    """Return what `predict` saw in each fold: columns, first index labels, and which rows in which order."""
    found = []
    for fold in entry.folds:
        (line,) = (workspace / fold.log).read_text().splitlines()
        columns, index, rows = line.removeprefix("SEES ").split("|")
        found.append((columns.split(), index.split(), [int(word) for word in rows.split()]))
    return found


def test_all_rows_come_in_one_shuffled_stream_with_test_columns(kit: Path, tmp_path: Path) -> None:
    (entry,) = _score(kit, tmp_path / "w", write_regressor(tmp_path / "a"))
    assert entry.scoring.verdict is Verdict.SCORED, entry.scoring.message
    first, second = _seen(tmp_path / "w", entry)
    columns, index, rows = first
    assert columns == ["a", "b"]
    assert index == ["0", "1", "2"]
    assert sorted(rows) == [*range(60), *range(1000, 1031), *range(2000, 2043)]
    # Chance puts about a third of the changes of sample between neighbours; in blocks there would be two.
    kinds = [row // 1000 for row in rows]
    assert sum(a != b for a, b in itertools.pairwise(kinds)) > 40
    assert second == first


def test_the_order_is_another_in_another_workspace(kit: Path, tmp_path: Path) -> None:
    folder = write_regressor(tmp_path / "a")
    orders = []
    for name in ("w", "v"):
        (entry,) = _score(kit, tmp_path / name, folder)
        orders.append(_seen(tmp_path / name, entry)[0][2])
    assert orders[0] != orders[1]
    secret = tmp_path / "w" / "secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert len(secret.read_bytes()) == 32


def test_predictions_find_back_to_their_rows_and_pass(kit: Path, tmp_path: Path) -> None:
    (entry,) = _score(kit, tmp_path / "w", write_regressor(tmp_path / "a"))
    # Right to the last digit on every part, which a single row out of place would spoil.
    assert entry.scoring.scores["distance"] == dict.fromkeys(
        ("train", "valid", "test", "bagged_valid", "bagged_test"), 0.0
    )
    assert entry.scoring.gates["mass"]["statistic"] == 0.0
    assert entry.scoring.gates["mass"]["passed"]


def test_who_fails_a_gate_has_a_verdict_and_no_score(kit: Path, tmp_path: Path) -> None:
    good = write_regressor(tmp_path / "good")
    bad = write_regressor(tmp_path / "bad", "(X['a'].to_numpy() >= 2000) * 0.75")
    first, second = _score(kit, tmp_path / "w", good, bad)
    assert (first.scoring.verdict, second.scoring.verdict) == (Verdict.SCORED, Verdict.GATE_FAILED)
    assert second.scoring.message == "gate mass: 0.75, must be below 0.5"
    assert second.scoring.scores == {}
    (rescored, failed) = hepchallenge.rescore(kit, workspace=tmp_path / "w").submissions
    assert (rescored.scoring.scores, failed.scoring.gates) == (first.scoring.scores, second.scoring.gates)


def _file(folder: Path, offset: float = 0.0, ids: Any = None) -> Path:
    folder.mkdir()
    known = [*range(1000, 1031), *range(2000, 2043)] if ids is None else ids
    lines = [f"{row},{2 * row + offset * (row >= 2000)}" for row in reversed(known)]
    (folder / "submission.csv").write_text("\n".join(["id,y", *lines]) + "\n")
    return folder


def test_a_prediction_file_holds_the_gates_rows_too(kit: Path, tmp_path: Path) -> None:
    files = [_file(tmp_path / "good"), _file(tmp_path / "bad", 0.75)]
    files.append(_file(tmp_path / "short", ids=range(1000, 1031)))
    good, bad, short = _score(kit, tmp_path / "w", *files)
    assert good.scoring.scores["distance"] == {"test": 0.0, "bagged_test": 0.0}
    assert bad.scoring.verdict is Verdict.GATE_FAILED
    assert short.scoring.verdict is Verdict.INVALID_SUBMISSION
    assert "expected 74 rows, found 31" in short.scoring.message


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('    name = "mass"', '    name = "test"', "gates[0].name"),
        ('    name = "mass"', "    name = 3", "gates[0].name"),
        ("    def check(", "    def chek(", "gates[0].check"),
        ("gates = [Sculpting()]", "gates = [Sculpting(), Sculpting()]", "gates[1].name"),
        ('return sample("mass")', 'return sample("mass")[0][["b"]], [0] * 43', "gates: mass"),
        ('return sample("mass")', 'return sample("mass")[0], [0]', "gates: mass"),
        ('return sample("mass")', "return 1 / 0", "gates: mass"),
        ("def get_ids(", "def ids(", "gates: mass"),
        ('return FIRST_ID["mass"] +', "return", "gates"),
    ],
)
def test_a_mistake_in_a_gate_is_named(tmp_path: Path, old: str, new: str, where: str) -> None:
    # The last one gives the gate's rows the ids of 43 numbers from 0 on, which the test rows do not have; so
    # those are moved to 0 too.
    problem = PROBLEM.replace(old, new, 1)
    assert problem != PROBLEM
    if where == "gates":
        problem = problem.replace('return FIRST_ID["test"] +', "return")
    kit = write_gated_kit(tmp_path / "kit", problem)
    with pytest.raises(ContractError) as caught:
        _score(kit, tmp_path / "w", write_regressor(tmp_path / "a"))
    assert caught.value.where == where

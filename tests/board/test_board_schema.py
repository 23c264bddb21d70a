"""The JSON export is what its shipped schema says, key by key."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from board_entries import TOY, board, entry, parts

import hepchallenge.board
from hepchallenge.board import Board, to_json
from hepchallenge.board.render import FORMAT
from hepchallenge.contract import BoardRules, Phase, Reference
from hepchallenge.records import BoardEntry, Verdict

SCHEMA = json.loads(
    (Path(hepchallenge.board.__file__).parent / "schemas" / f"board-{FORMAT}.schema.json").read_text()
)


def replicas(entry: BoardEntry, part: str) -> np.ndarray:
    return np.random.default_rng(len(entry.submission.name)).normal(0.5, 0.1, 50)


GATES = {"g": {"statistic": 1.0, "threshold": 0.5, "passed": False, "folds": [1.0]}}
BOARDS = {
    "plain": board(entry("one", 0.5)),
    "failed": board(
        entry("one", 0.5), entry("two", verdict=Verdict.GATE_FAILED, message="gate", gates=GATES)
    ),
    "nan": board(entry("one", 0.5), entry("two", float("nan"))),
    "toy events": board(entry("one", 0.5, data=TOY, event_seconds={"valid/0": 1.5, "test/0": 2.5})),
    "public": board(entry("one", parts("public", "private")), part="public"),
    "private": board(entry("one", parts("public", "private"), trainings=2, parameters=3), part="private"),
    "references": board(
        entry("one", 0.5),
        references=(Reference(name="A", metric="auc", part="test", value=0.9, source="x", confirmed=False),),
    ),
    "rules": board(
        entry("one", parts(public=0.5), team="a"),
        entry("two", parts(public=0.6), team="a", received=1),
        entry("three", parts(public=0.55), team="b", received=2, errors=parts(public=0.01)),
        rules=BoardRules(entry="best", phases=(Phase(name="first", start=datetime(2025, 1, 1, tzinfo=UTC)),)),
        replicas=replicas,
    ),
}


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("shown", BOARDS.values(), ids=BOARDS)
def test_an_export_is_valid(shown: Board) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(to_json(shown)))


def test_a_key_that_the_schema_does_not_know_is_not_valid() -> None:
    document = json.loads(to_json(BOARDS["plain"]))
    document["submissions"][0]["secret"] = 1
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(document)

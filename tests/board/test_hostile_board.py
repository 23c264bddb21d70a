"""A participant cannot break a board, look into the private part, or take what the rules do not give."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from board_entries import board, entry, parts
from rich.console import Console

from hepchallenge.board import EXPORTERS, export, metric_infos, to_csv, to_terminal
from hepchallenge.board.changes import changes, changes_to_terminal
from hepchallenge.board.latex import to_latex
from hepchallenge.board.text import csv_cell
from hepchallenge.contract import BoardRules, Phase
from hepchallenge.exceptions import UsageError
from hepchallenge.records import BoardEntry

# Absurd numbers


@pytest.mark.parametrize("value", [1e308, -1e308, 1e200, 1e22])
def test_one_absurd_score_neither_stops_an_export_nor_fills_its_page(value: float, tmp_path: Path) -> None:
    honest = [entry("good", 0.9), entry("fair", 0.8, errors={"auc": {"test": 0.01}})]
    shown = board(*honest, entry("absurd", value, errors={"auc": {"test": abs(value)}}))
    export(shown, tmp_path, EXPORTERS)
    stream = io.StringIO()
    to_terminal(shown, Console(file=stream, width=200))
    changes_to_terminal(changes(board(*honest), shown), shown, Console(file=stream, width=200))
    texts = [stream.getvalue(), *(path.read_text() for path in tmp_path.iterdir())]
    assert len(texts) == 5
    assert not [text for text in texts if "0" * 20 in text]


@pytest.mark.parametrize("error", [5e-324, 1e-300, 1e-17])
def test_an_error_that_is_noise_of_rounding_makes_no_endless_digits(error: float) -> None:
    assert "$0.500 \\pm 0.000_" in to_latex(board(entry("x", 0.5, errors={"auc": {"test": error}})))


def test_a_metric_is_shown_with_no_more_digits_than_there_are() -> None:
    (info,) = metric_infos([SimpleNamespace(name="x", is_lower_the_better=True, precision=500)])
    assert info.precision == 17


# What replicas tell


def ordered(extra: dict[str, tuple[float, np.ndarray]]) -> dict[str, tuple[int, int] | None]:
    """Return the intervals of three rows that differ surely, beside other rows."""
    rng = np.random.default_rng(0)
    values = {"a": 0.9, "b": 0.8, "c": 0.7}
    known = {name: value + rng.normal(0, 0.003, 1000) for name, value in values.items()}
    known |= {name: replicas for name, (_, replicas) in extra.items()}
    values |= {name: value for name, (value, _) in extra.items()}
    entries = [entry(name, value) for name, value in values.items()]
    made = board(*entries, replicas=lambda one, part: known[one.submission.name])
    return {row.entry.submission.name: row.rank_interval for row in made.ranked}


@pytest.mark.parametrize("size", [1e150, 1e200, 1e308])
def test_an_absurd_score_makes_no_ties_of_the_others(size: float) -> None:
    absurd = -size * np.random.default_rng(1).uniform(0, 1, 1000)
    found = ordered({"x": (-size, absurd), "y": (-size, -absurd)})
    # Those that cannot be compared may stand anywhere.
    assert found == {"a": (1, 3), "b": (2, 4), "c": (3, 5), "x": None, "y": None}


def test_rows_whose_replicas_have_holes_do_not_take_the_intervals_of_others_away() -> None:
    rng = np.random.default_rng(2)

    def holes() -> np.ndarray:
        replicas = np.full(1000, 0.1)
        replicas[rng.permutation(1000)[:490]] = np.nan
        return replicas

    found = ordered({f"x{number}": (0.1, holes()) for number in range(6)})
    assert [interval[0] for name, interval in found.items() if interval and name in "abc"] == [1, 2, 3]


@pytest.mark.parametrize("part", [None, "public", "cv"])
def test_replicas_of_the_private_part_are_read_for_no_other_board(part: str | None) -> None:
    asked = set()

    def replicas(one: BoardEntry, of: str) -> np.ndarray:
        asked.add(of)
        return np.random.default_rng(len(one.submission.name)).normal(size=200)

    entries = [
        entry("x", parts("valid", "test", "public", "private"), team="t"),
        entry("yy", parts("public")),
    ]
    board(*entries, part=part, replicas=replicas, rules=BoardRules(entry="best"))
    assert asked == {"valid" if part == "cv" else "public"}


# What is private


def test_a_test_set_that_is_private_as_a_whole_is_on_no_public_board() -> None:
    secret = entry("x", parts("valid", "test", "private", "bagged_test", "bagged_private"))
    shown = board(secret)
    assert shown.part == "valid"
    assert {part for _, part in shown.columns()} == {"valid"}
    with pytest.raises(UsageError, match="the whole test set is private"):
        board(secret, part="public")
    assert board(secret, part="private").part == "private"


# What the rules give

NOON = Phase(
    name="noon",
    start=datetime(2026, 1, 1, 11, tzinfo=UTC),
    end=datetime(2026, 1, 1, 13, tzinfo=UTC),
    submissions=1,
)


def test_who_keeps_no_quota_is_not_told_a_public_score() -> None:
    scores = parts("valid", "public", "private", "bagged_public")
    hours = {"early": 10, "first": 11, "too many": 12, "late": 13}
    entries = [
        replace(
            entry(name, scores, team="t", errors=scores, spread=scores),
            received_at=f"2026-01-01T{hour}:00:00.000000+00:00",
        )
        for name, hour in hours.items()
    ]

    def told(part: str) -> set[str]:
        lines = csv.DictReader(
            io.StringIO(to_csv(board(*entries, rules=BoardRules(phases=(NOON,)), part=part)))
        )
        return {
            line["name"]
            for line in lines
            if any(
                text for head, text in line.items() if head.split()[1:2] == [part] or "bagged_public" in head
            )
        }

    # After the last phase nothing can be won by it.
    assert told("public") == {"first", "late"}
    assert told("private") == set(hours)


# Spreadsheets


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("good;=1+1", "good;'=1+1"),
        ('x; "=cmd', "x; \"'=cmd"),
        ("a;b", "a;b"),
        (";-1;\uff1d2", ";'-1;'\uff1d2"),
        ("=1;@x", "'=1;'@x"),
    ],
)
def test_a_name_is_no_formula_where_semicolons_separate_cells(name: str, cell: str) -> None:
    assert csv_cell(name) == cell

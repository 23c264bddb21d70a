"""What boards show of their rules: moves, numbers of entries, phases, and no list of what only gave way."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from board_entries import board, entry
from rich.console import Console

from hepchallenge.board import Board, to_csv, to_json, to_markdown, to_terminal
from hepchallenge.contract import BoardRules, Phase
from hepchallenge.records import BoardEntry

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PHASES = (
    Phase(name="training", end=NOON),
    Phase(name="final | round", start=NOON, end=NOON.replace(hour=14)),
)


def sent(name: str, team: str, hour: int, public: float, private: float) -> BoardEntry:
    scores = {"auc": {"public": public, "private": private}}
    digest = name.encode().hex().ljust(64, "0")
    return replace(
        entry(name, scores, team=team, digest=digest), received_at=f"2026-01-01T{hour}:00:00+00:00"
    )


ENTRIES = (
    sent("worse", "us", 10, 0.5, 0.5),
    sent("better", "us", 11, 0.8, 0.6),
    sent("theirs", "them", 13, 0.7, 0.7),
    sent("tardy", "them", 15, 0.9, 0.9),
)


def terminal(shown: Board, width: int = 300) -> str:
    console = Console(width=width, file=io.StringIO(), legacy_windows=False)
    to_terminal(shown, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def ruled(**more: Any) -> Board:
    return board(*ENTRIES, rules=BoardRules(entry="best", phases=PHASES), **more)


def test_tables_for_people_show_moves_entries_and_phases_where_there_are_any() -> None:
    private = ruled(part="private")
    for text in (terminal(private), to_markdown(private)):
        assert text.index("moved") < text.index("entries") < text.index("phase")
        better = next(line for line in text.splitlines() if "better" in line)
        assert "-1" in better
        assert "training" in better
        assert "+1" in next(line for line in text.splitlines() if "theirs" in line)
    assert "final \\| round" in to_markdown(private)
    for text in (terminal(board(*ENTRIES)), to_markdown(board(*ENTRIES))):
        assert not any(head in text for head in ("moved", "entries", "phase"))


@pytest.mark.parametrize("width", [80, 300])
def test_who_leads_is_told_by_team_on_a_narrow_terminal_too(width: int) -> None:
    lines = terminal(ruled(part="private"), width).splitlines()
    first = next(line for line in lines if line.split()[:1] == ["1"])
    assert first.split()[1:3] == ["theirs", "them"]


def test_tables_for_people_count_what_gave_way_and_list_what_came_late() -> None:
    for text in (terminal(ruled()), to_markdown(ruled())):
        assert "worse" not in text
        assert "Not shown, since another one stands for their team: 1 (best)" in text
        assert "late: received after the end of phase 'final" in text


def test_files_for_programs_have_what_a_board_shows_and_why_it_has_no_rank() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(ruled(part="private")))))
    assert [(row["name"], row["rank"], row["moved"], row["entries"]) for row in rows] == [
        ("theirs", "1", "1", "1"),
        ("better", "2", "-1", "2"),
        ("tardy", "", "", "1"),
    ]
    assert [row["late"] for row in rows] == ["False", "False", "True"]
    document = json.loads(to_json(ruled(now=NOON)))
    told = {item["name"]: (item["phase"], item["late"], item["reason"]) for item in document["submissions"]}
    assert set(told) == {"better", "theirs", "tardy"}
    assert told["better"] == ("training", False, "")
    assert told["tardy"][:2] == ("", True)
    assert told["tardy"][2].startswith("late: ")


@pytest.mark.parametrize("show", [terminal, to_markdown], ids=["terminal", "markdown"])
def test_a_laddered_board_says_so(show: Any) -> None:
    rules = BoardRules(entry="best", ladder=True, ladder_step=0.1)
    assert "highest first, as the Ladder answered" in show(board(*ENTRIES, rules=rules))
    assert "Ladder" not in show(board(*ENTRIES, rules=rules, part="private"))
    assert json.loads(to_json(board(*ENTRIES, rules=rules)))["ladder"]

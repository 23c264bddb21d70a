"""The course of a challenge: all submissions count in it, whoever stands for their team."""

from __future__ import annotations

import pytest
from site_boards import METRICS, made

from hepchallenge.board import Board, make_board
from hepchallenge.board.site import figures
from hepchallenge.board.site.model import site_board
from hepchallenge.contract import BoardRules

pytest.importorskip("mplhep")


def course(board: Board) -> figures.Drawn:
    drawn = figures.figures_of(site_board(board))
    return next(one for one in drawn if one.stem.endswith("-time"))


def of_one_team(count: int) -> Board:
    entries = [made(number, team="one", ams=2 + number / 100) for number in range(count)]
    rules = BoardRules(entry="best")
    return make_board(
        entries, challenge="small", metrics=METRICS, official_metric="ams", part="public", rules=rules
    )


def test_what_gave_way_is_drawn_and_counts_for_the_best_so_far() -> None:
    board = of_one_team(5)
    assert len(board.ranked) == 1
    assert len(board.gave_way) == 4
    rows = sorted((*board.ranked, *board.gave_way), key=lambda row: row.entry.received_at)
    first, best = rows[0].value, board.ranked[0].value
    words = course(board).alt
    assert f"5 submissions; the best ams (public) went from {first:.3f} to {best:.3f}" in words


def test_of_very_many_an_even_choice_is_drawn_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_MOST_DRAWN", 10)
    drawn = course(of_one_team(30))
    assert "30 submissions" in drawn.alt
    # Each was the best so far when it came in, or not by chance: those are all drawn.
    assert "Of 30 submissions" in drawn.caption

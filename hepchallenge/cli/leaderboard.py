"""The leaderboard that several commands show: what the workspace holds for one challenge and data set."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, cast

from hepchallenge.board import Board, make_board, metric_infos, to_terminal
from hepchallenge.collector import without_collector
from hepchallenge.contract import BoardRules, demands, load_challenge
from hepchallenge.exceptions import StoreError
from hepchallenge.records import BoardEntry
from hepchallenge.store import Store, open_workspace

if TYPE_CHECKING:
    import numpy as np

__all__ = ["board_entries", "kept_replicas", "load_board", "show_board"]


def board_entries(
    challenge: str,
    workspace: str | os.PathLike[str] | None,
    data_digest: str | None = None,
    rules: BoardRules | None = None,
) -> list[BoardEntry]:
    """Return what the boards of a challenge are made of, for `load_board` to make several of it."""
    loaded = load_challenge(challenge)
    by = loaded.config.rules if rules is None else rules
    with open_workspace(workspace, must_exist=True) as store, without_collector():
        # Where a run was is told by its folds, and the Ladder answers with entries of its own.
        whole = by.ladder or bool(demands(by))
        return store.entries(loaded.name, data_digest=data_digest, folds=whole)


def load_board(
    challenge: str,
    workspace: str | os.PathLike[str] | None,
    part: str | None = None,
    data_digest: str | None = None,
    entries: Sequence[BoardEntry] | None = None,
    rules: BoardRules | None = None,
) -> Board:
    """Return the board of a challenge, by default on the data that were scored last; or that of `entries`.

    `rules` take the place of the challenge's own.
    """
    if entries is None:
        entries = board_entries(challenge, workspace, data_digest, rules)
    loaded = load_challenge(challenge)
    with open_workspace(workspace, must_exist=True) as store, without_collector():
        board = make_board(
            entries,
            challenge=loaded.name,
            title=loaded.title,
            metrics=metric_infos(loaded.problem.score_types),
            official_metric=loaded.official_metric,
            references=loaded.config.references,
            part=cast(Literal["public", "private", "cv"] | None, part),
            rules=loaded.config.rules if rules is None else rules,
            chosen=store.choices(loaded.name),
            replicas=kept_replicas(store),
        )
        # Only those of what is shown: a team may have sent hundreds.
        store.read_folds(row.entry for row in board.rows)
        return board


def kept_replicas(store: Store) -> Callable[[BoardEntry, str], np.ndarray | None]:
    """Return what finds the bootstrap replicas of the official metric of an entry on a part.

    What was never made, is lost or damaged is None: a board is shown without it.
    """

    def find(entry: BoardEntry, part: str) -> np.ndarray | None:
        stored = entry.scoring.replicas.get(part)
        if stored is None:
            return None
        with contextlib.suppress(StoreError):
            return store.load_array(stored)
        return None

    return find


def show_board(board: Board) -> None:
    """Print a board on stdout."""
    from rich.console import Console

    to_terminal(board, Console(highlight=False))

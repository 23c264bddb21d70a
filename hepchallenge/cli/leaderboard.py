"""The leaderboard that several commands show: what the workspace holds for one challenge and data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal, cast

from hepchallenge.board import Board, make_board, metric_infos, to_terminal
from hepchallenge.contract import load_challenge
from hepchallenge.records import BoardEntry
from hepchallenge.store import open_workspace

__all__ = ["load_board", "show_board"]


def load_board(
    challenge: str,
    workspace: str | os.PathLike[str] | None,
    part: str | None = None,
    data_digest: str | None = None,
    entries: Sequence[BoardEntry] | None = None,
) -> Board:
    """Return the board of a challenge, by default on the data that were scored last; or that of `entries`."""
    loaded = load_challenge(challenge)
    with open_workspace(workspace, must_exist=True) as store:
        if entries is None:
            entries = store.entries(loaded.name, data_digest=data_digest)
    return make_board(
        entries,
        challenge=loaded.name,
        title=loaded.title,
        metrics=metric_infos(loaded.problem.score_types),
        official_metric=loaded.official_metric,
        references=loaded.config.references,
        part=cast(Literal["public", "private", "cv"] | None, part),
    )


def show_board(board: Board) -> None:
    """Print a board on stdout."""
    from rich.console import Console

    to_terminal(board, Console(highlight=False))

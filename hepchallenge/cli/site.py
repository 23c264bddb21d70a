"""What `hepchallenge board --export` writes besides tables of one board: both parts, and a site's extras."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from hepchallenge.board import EXPORTERS, Board
from hepchallenge.board.site import Curves, Extras
from hepchallenge.board.text import file_stem
from hepchallenge.cli.leaderboard import load_board
from hepchallenge.contract import BoardRules, Challenge, load_challenge
from hepchallenge.exceptions import HepChallengeError, StoreError
from hepchallenge.records import BoardEntry
from hepchallenge.store import Store, open_workspace
from hepchallenge.text import clean

__all__ = ["exported_boards", "left_private", "site_extras"]


def exported_boards(
    board: Board,
    challenge: str,
    workspace: str | os.PathLike[str] | None,
    part: str | None,
    rules: BoardRules | None,
    entries: Sequence[BoardEntry],
) -> list[Board]:
    """Return the boards to export, that which is shown first in front.

    The private one is among them only if the organiser asks for it or its reveal has passed; where the test
    set has no parts there is but one. All are made of the same `entries`.
    """
    if part not in (None, "private") or board.part not in ("public", "private"):
        return [board]
    if board.part == "private":
        return [board, load_board(challenge, workspace, "public", entries=entries, rules=rules)]
    if not board.revealed:
        return [board]
    private = load_board(challenge, workspace, "private", entries=entries, rules=rules)
    return [private, board] if private.part == "private" else [board]


def left_private(boards: Sequence[Board], folder: Path) -> list[Path]:
    """Return what is left of a private board in a folder to which now only others were exported."""
    if any(board.part == "private" for board in boards):
        return []
    stem = glob.escape(f"{file_stem(boards[0].challenge)}-private")
    tables = [path for ending in EXPORTERS for path in folder.glob(f"{stem}*.{ending}")]
    return sorted([*tables, *folder.glob("site-*/data/rows-private-0.js")])


@contextlib.contextmanager
def site_extras(
    boards: Sequence[Board],
    challenge: str,
    workspace: str | os.PathLike[str] | None,
    data: str | os.PathLike[str] | None,
    downloads: Sequence[str],
) -> Iterator[Extras]:
    """Give what a site shows besides its boards; logs are read from the workspace while it is written."""
    loaded = load_challenge(challenge)
    with open_workspace(workspace, must_exist=True) as store:

        def log(entry: BoardEntry) -> str:
            # Of several folds the first that printed anything, and of those that failed the first.
            folds = sorted(entry.folds, key=lambda fold: fold.succeeded)
            kept = next((fold.log for fold in folds if fold.log), "")
            with contextlib.suppress(StoreError):
                return store.load_log(kept).decode("utf-8", "replace") if kept else ""
            return ""

        def pictures(entry: BoardEntry) -> list[Path]:
            from hepchallenge.draw import results_folder

            # Those of `test` show hidden truth.
            name, digest = entry.submission.name, entry.submission.digest
            folder = results_folder(store.workspace / "results", loaded.name, name, digest, "valid")
            return sorted(folder.iterdir()) if folder.is_dir() else []

        drawn = (store.workspace / "results").is_dir()
        yield Extras(
            summary=loaded.config.summary,
            curves=_curves(store, loaded, boards[0], data),
            log=log if boards[0].rules.show_logs else None,
            pictures=pictures if drawn else None,
            downloads=tuple(downloads),
        )


def _curves(
    store: Store, challenge: Challenge, board: Board, data: str | os.PathLike[str] | None
) -> tuple[Curves, ...]:
    from hepchallenge.board.site import can_draw
    from hepchallenge.curves import best_curves

    if not can_draw():
        return ()
    try:
        return best_curves(store, challenge, [row.entry for row in board.ranked], data=data)
    except HepChallengeError as error:
        # A board is worth having without them, such as where the data are no longer there.
        click.echo(f"no curves: {clean(str(error), 500)}", err=True)
        return ()

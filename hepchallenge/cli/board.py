"""`hepchallenge board`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hepchallenge.cli.options import rules_option, workspace_option

if TYPE_CHECKING:
    from hepchallenge.contract import BoardRules

__all__ = ["command"]


@click.command("board")
@click.argument("challenge")
@rules_option
@workspace_option
@click.option(
    "--part",
    type=click.Choice(["public", "private", "cv"]),
    help="Rank by this part and show no part that is more secret; default: public, without a test set cv.",
)
@click.option(
    "--export", "directory", type=click.Path(file_okay=False), metavar="DIR", help="Also write files here."
)
@click.option(
    "--format",
    "formats",
    metavar="csv,json,md,tex,html",
    help="What to write with --export; default: all of them.",
)
@click.option(
    "--data",
    type=click.Path(),
    metavar="DIR",
    help="The data that were scored, as for `score`: the site's ROC curves need them.",
)
def command(
    challenge: str,
    rules: BoardRules | None,
    workspace: str | None,
    part: str | None,
    directory: str | None,
    formats: str | None,
    data: str | None,
) -> None:
    """Show the leaderboard of CHALLENGE on the data that were scored last.

    Ranks come from unrounded scores; who was received earlier stands first within a tie. What failed is
    listed apart with its verdict. Only `--part private` shows scores of the private part; what is exported
    has both parts from the moment on at which the rules reveal the private one.
    """
    from hepchallenge.board import FORMATS, export
    from hepchallenge.cli.leaderboard import board_entries, load_board, show_board
    from hepchallenge.collector import without_collector
    from hepchallenge.exceptions import UsageError

    if formats is not None and directory is None:
        raise UsageError("--format says what to export: give --export DIR too")
    with without_collector():
        entries = board_entries(challenge, workspace, rules=rules)
        board = load_board(challenge, workspace, part, entries=entries, rules=rules)
        if directory is not None:
            from hepchallenge.cli.site import exported_boards, left_private, site_extras

            wanted = list(FORMATS) if formats is None else [name.strip() for name in formats.split(",")]
            folder, tables = Path(directory), [name for name in wanted if name != "html"]
            boards = exported_boards(board, challenge, workspace, part, rules, entries)
            written = [path for one in boards for path in export(one, folder, tables)]
            if "html" in wanted:
                names = [path.name for path in written]
                with site_extras(boards, challenge, workspace, data, names) as extras:
                    written += export(boards[0], folder, ["html"], others=boards[1:], extras=extras)
            for path in written:
                click.echo(f"wrote {path}", err=True)
            for path in left_private(boards, folder):
                click.echo(f"still there, of an earlier export, and private: {path}", err=True)
    show_board(board)

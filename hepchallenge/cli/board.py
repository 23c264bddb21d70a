"""`hepchallenge board`."""

from __future__ import annotations

from pathlib import Path

import click

from hepchallenge.cli.options import rules_option, workspace_option

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
    metavar="csv,json,md,tex",
    help="What to write with --export; default: all of them.",
)
def command(
    challenge: str,
    rules: Path | None,
    workspace: str | None,
    part: str | None,
    directory: str | None,
    formats: str | None,
) -> None:
    """Show the leaderboard of CHALLENGE on the data that were scored last.

    Ranks come from unrounded scores; who was received earlier stands first within a tie. What failed is
    listed apart with its verdict. Only `--part private` shows scores of the private part.
    """
    from hepchallenge.board import EXPORTERS, export
    from hepchallenge.cli.leaderboard import load_board, show_board
    from hepchallenge.contract import read_rules
    from hepchallenge.exceptions import UsageError

    if formats is not None and directory is None:
        raise UsageError("--format says what to export: give --export DIR too")
    board = load_board(challenge, workspace, part, rules=None if rules is None else read_rules(rules))
    if directory is not None:
        wanted = list(EXPORTERS) if formats is None else [name.strip() for name in formats.split(",")]
        for path in export(board, Path(directory), wanted):
            click.echo(f"wrote {path}", err=True)
    show_board(board)

"""`hepchallenge choose`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hepchallenge.cli.options import rules_option, workspace_option

if TYPE_CHECKING:
    from hepchallenge.contract import BoardRules

__all__ = ["command"]


@click.command("choose")
@click.argument("challenge")
@click.argument("submissions", nargs=-1, required=True, metavar="SUBMISSION...")
@click.option(
    "--team", metavar="NAME", default="", help="Whose they are; an error if they are another team's."
)
@rules_option
@workspace_option
def command(
    challenge: str, submissions: tuple[str, ...], team: str, rules: BoardRules | None, workspace: str | None
) -> None:
    """Record which of its submissions to CHALLENGE a team chooses to stand for it.

    A SUBMISSION is its name on the board, its digest (eight digits are enough), or its folder. The last
    choice of a team counts, until the private part is revealed. For boards with entry = "chosen". What is not
    scored, or failed, is recorded with a warning.
    """
    from hepchallenge.reception import choose
    from hepchallenge.text import clean

    choice = choose(
        challenge,
        submissions,
        team=team,
        workspace=workspace,
        rules=rules,
    )
    names = ", ".join(f"{clean(one.name)} ({one.digest[:8]})" for one in choice.submissions)
    click.echo(f"team {clean(choice.team)} chose {names}")
    for warning in choice.warnings:
        click.echo(f"warning: {warning}", err=True)

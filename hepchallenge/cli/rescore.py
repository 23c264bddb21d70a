"""`hepchallenge rescore`."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING

import click

from hepchallenge.cli.options import rules_option, workspace_option

if TYPE_CHECKING:
    from hepchallenge.contract import BoardRules

__all__ = ["command"]


@click.command("rescore")
@click.argument("challenge")
@click.option("--data", type=click.Path(), metavar="DIR", help="The data that were scored, as for `score`.")
@workspace_option
@click.option("--data-label", metavar="NAME", help="For RAMP kits with several data sets.")
@click.option(
    "--corrected-labels",
    is_flag=True,
    help="The data hold the rows of those scored last, and other labels: score those predictions by them.",
)
@click.option(
    "--part",
    type=click.Choice(["public", "private", "cv"]),
    help="Tell changes of the board that ranks by this part; default: public, without a test set cv.",
)
@rules_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def command(
    challenge: str,
    data: str | None,
    workspace: str | None,
    data_label: str | None,
    corrected_labels: bool,
    part: str | None,
    rules: BoardRules | None,
    as_json: bool,
) -> int:
    """Score the stored predictions of CHALLENGE again, without running any submission.

    For a changed metric or corrected labels. New scorings are appended; old ones stay on record. Whose rank,
    score or verdict is another now is told at the end, or with --json under the key `changes`.
    """
    from hepchallenge.cli.progress import progress_for
    from hepchallenge.rescoring import rescore

    # What a kit or a library prints while it is imported must not mix with the answer.
    with contextlib.redirect_stdout(sys.stderr), progress_for(as_json) as progress:
        document = rescore(
            challenge,
            data=data,
            workspace=workspace,
            data_label=data_label,
            corrected_labels=corrected_labels,
            progress=progress,
        )
    from hepchallenge.board.changes import changes, changes_to_terminal
    from hepchallenge.cli.leaderboard import load_board, show_board

    before = load_board(challenge, workspace, part, entries=document.before, rules=rules)
    after = load_board(challenge, workspace, part, data_digest=document.data.digest, rules=rules)
    found = changes(before, after)
    if as_json:
        answer = {**document.to_dict(), "changes": [change.to_dict() for change in found]}
        click.echo(json.dumps(answer, allow_nan=False))
    else:
        from rich.console import Console

        show_board(after)
        changes_to_terminal(found, after, Console(highlight=False))
    return document.exit_code

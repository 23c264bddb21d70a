"""`hepchallenge rescore`."""

from __future__ import annotations

import contextlib
import json
import sys

import click

from hepchallenge.cli.options import workspace_option

__all__ = ["command"]


@click.command("rescore")
@click.argument("challenge")
@click.option("--data", type=click.Path(), metavar="DIR", help="The data that were scored, as for `score`.")
@workspace_option
@click.option("--data-label", metavar="NAME", help="For RAMP kits with several data sets.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def command(
    challenge: str, data: str | None, workspace: str | None, data_label: str | None, as_json: bool
) -> int:
    """Score the stored predictions of CHALLENGE again, without running any submission.

    For a changed metric or corrected labels. New scorings are appended; old ones stay on record.
    """
    from hepchallenge.cli.progress import ShownProgress
    from hepchallenge.pipeline import rescore

    # What a kit or a library prints while it is imported must not mix with the answer.
    with contextlib.redirect_stdout(sys.stderr), ShownProgress() as progress:
        document = rescore(
            challenge, data=data, workspace=workspace, data_label=data_label, progress=progress
        )
    if as_json:
        click.echo(json.dumps(document.to_dict(), allow_nan=False))
    else:
        from hepchallenge.cli.leaderboard import load_board, show_board

        show_board(load_board(challenge, workspace, data_digest=document.data.digest))
    return document.exit_code

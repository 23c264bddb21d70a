"""`hepchallenge receive`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from hepchallenge.cli.options import rules_option, workspace_option

if TYPE_CHECKING:
    from hepchallenge.contract import BoardRules

__all__ = ["command"]


def _moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise click.BadParameter(
            f"{value!r} is no date and time with offset, as 2026-05-04T09:30:00+02:00 is"
        )
    return moment


@click.command("receive")
@click.argument("challenge")
@click.argument("submissions", nargs=-1, required=True, metavar="SUBMISSION...")
@click.option("--team", metavar="NAME", default="", help="Whose they are, whatever they say of themselves.")
@click.option("--reassign", is_flag=True, help="Correct the team of what was received from another one.")
@click.option(
    "--at",
    callback=_moment,
    metavar="TIME",
    help="When they came, such as 2026-05-04T09:30:00+02:00; default: now.",
)
@rules_option
@workspace_option
def command(
    challenge: str,
    submissions: tuple[str, ...],
    team: str,
    reassign: bool,
    at: datetime | None,
    rules: BoardRules | None,
    workspace: str | None,
) -> int:
    """Take submissions to CHALLENGE in without running them, and record when they came and from whom.

    `hepchallenge score CHALLENGE SUBMISSION...` runs them later; the first receipt counts. One line is
    printed for each.

    Exit code: 0 all taken in, 1 some were refused or are over quota, 2 wrong usage.
    """
    import contextlib
    import sys

    from hepchallenge.reception import receive
    from hepchallenge.text import clean, safe_message

    # What a challenge prints while it is imported must not mix with the answer.
    with contextlib.redirect_stdout(sys.stderr):
        found = receive(
            challenge,
            submissions,
            team=team,
            at=at,
            reassign=reassign,
            workspace=workspace,
            rules=rules,
        )
    refused = False
    for receipt in found:
        one, record = receipt.received, receipt.received.submission
        moment = datetime.fromisoformat(one.received_at)
        words = [
            f"{'' if receipt.is_new else 'already '}received {moment:%Y-%m-%d %H:%M:%S} UTC",
            f"team {clean(record.team)}{'' if one.assigned else ' by its own word'}"
            if record.team
            else "no team",
        ]
        if receipt.refusal:
            words.append(f"refused: {safe_message(receipt.refusal)}")
        if receipt.admission.refusal:
            words.append(receipt.admission.refusal)
        if not receipt.is_new and (receipt.admission.over_quota or at not in (None, moment)):
            words.append("the first receipt counts; the same files can come again under another name only")
        refused = refused or bool(receipt.refusal) or receipt.admission.over_quota
        click.echo(f"{clean(record.name)} ({record.digest[:8]}): {', '.join(words)}")
    return 1 if refused else 0

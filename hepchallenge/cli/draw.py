"""`hepchallenge draw`."""

from __future__ import annotations

import contextlib
import sys

import click

from hepchallenge.cli.options import workspace_option

__all__ = ["command"]


@click.command("draw")
@click.argument("challenge")
@click.argument("submissions", nargs=-1, metavar="[SUBMISSION]...")
@click.option("--data", type=click.Path(), metavar="DIR", help="The data that were scored, as for `score`.")
@workspace_option
@click.option(
    "--part",
    type=click.Choice(["valid", "test"]),
    default="valid",
    show_default=True,
    help="What to draw. Pictures of test show hidden truth: they are for organisers only.",
)
@click.option(
    "--export",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Put the pictures here; default: results in the workspace.",
)
def command(
    challenge: str,
    submissions: tuple[str, ...],
    data: str | None,
    workspace: str | None,
    part: str,
    export: str | None,
) -> None:
    """Draw pictures of scored submissions to CHALLENGE and print where they are.

    They are drawn from stored predictions; nothing is run again. A SUBMISSION is its name on the board, its
    digest, or its folder; without one all that are scored are drawn. Of several folds the first is drawn.

    Needs matplotlib and mplhep: pip install "hepchallenge[plots]".
    """
    from hepchallenge.cli.progress import ShownProgress
    from hepchallenge.draw import draw

    # What a kit or a library prints while it is imported must not mix with the answer.
    with contextlib.redirect_stdout(sys.stderr), ShownProgress() as progress:
        made = draw(
            challenge,
            submissions,
            part=part,
            data=data,
            workspace=workspace,
            export=export,
            progress=progress,
        )
    for picture in made:
        click.echo(str(picture))

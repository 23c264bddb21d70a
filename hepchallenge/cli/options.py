"""Options that several commands share."""

from __future__ import annotations

import click

__all__ = ["workspace_option"]

workspace_option = click.option(
    "--workspace",
    type=click.Path(file_okay=False),
    envvar="HEPCHALLENGE_WORKSPACE",
    metavar="DIR",
    help="Where everything is recorded; default: hepchallenge-workspace.",
)

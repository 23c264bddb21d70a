"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["rules_option", "workspace_option"]

workspace_option = click.option(
    "--workspace",
    type=click.Path(file_okay=False),
    envvar="HEPCHALLENGE_WORKSPACE",
    metavar="DIR",
    help="Where everything is recorded; default: hepchallenge-workspace.",
)

rules_option = click.option(
    "--rules",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="HEPCHALLENGE_RULES",
    metavar="FILE",
    help="Rules of the board instead of the challenge's: a TOML file with [board] and [[phase]]; default: "
    "the file that HEPCHALLENGE_RULES names, if any.",
)

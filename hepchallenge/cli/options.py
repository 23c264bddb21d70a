"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hepchallenge.contract import BoardRules

__all__ = ["rules_option", "workspace_option"]

workspace_option = click.option(
    "--workspace",
    type=click.Path(file_okay=False),
    envvar="HEPCHALLENGE_WORKSPACE",
    metavar="DIR",
    help="Where everything is recorded; default: hepchallenge-workspace.",
)


def _read(ctx: click.Context, param: click.Parameter, value: Path | None) -> BoardRules | None:
    from hepchallenge.contract import read_rules

    return None if value is None else read_rules(value)


rules_option = click.option(
    "--rules",
    callback=_read,
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="HEPCHALLENGE_RULES",
    metavar="FILE",
    help="Rules of the board instead of the challenge's: a TOML file with [board] and [[phase]]; default: "
    "the file that HEPCHALLENGE_RULES names, if any.",
)

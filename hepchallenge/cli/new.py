"""`hepchallenge new`: begin a submission from a starting kit."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hepchallenge.contract import ChallengeFolder

_DEFAULT = "starting_kit"
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", "training_output")


def _readme(challenge: str, kit: str, folder: str) -> str:
    return f"""# A submission to {challenge}

It began as a copy of the starting kit `{kit}`. Change what you like, then score it with the command that the
organisers use:

    hepchallenge score {challenge} {folder}

Without real data this scores simulated ("toy") data; `hepchallenge data {challenge}` shows which are used and
how to choose others. If there is a `submission.toml`, put your own team, title and description there.
"""


def _choose_kit(challenge: ChallengeFolder, name: str | None) -> Path:
    from hepchallenge.exceptions import UnknownName, UsageError

    kits = {kit.name: kit for kit in challenge.kits}
    if not kits:
        raise UsageError(f"{challenge.name} has no starting kits in {challenge.kits_folder}")
    if name is None:
        return kits.get(_DEFAULT) or next(iter(kits.values()))
    if name not in kits:
        raise UnknownName(f"kit of {challenge.name}", name, kits)
    return kits[name]


@click.command("new")
@click.argument("challenge")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--kit", help="Starting kit to copy; by default `starting_kit` if there is one, else the first."
)
def command(challenge: str, directory: Path, kit: str | None) -> None:
    """Copy a starting kit of CHALLENGE into the new folder DIR."""
    from hepchallenge.contract import find_challenge
    from hepchallenge.data.files import told_when_full
    from hepchallenge.exceptions import UsageError

    found = find_challenge(challenge)
    chosen = _choose_kit(found, kit)
    target = directory.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{directory} exists and is not an empty folder; nothing was written")
    with told_when_full(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        # Built beside its place and renamed, so that a full disk does not leave half a kit.
        with tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as temporary:
            copy = Path(temporary) / "kit"
            shutil.copytree(chosen, copy, ignore=_LEFT_OUT)
            readme = copy / "README.md"
            if not readme.exists():
                readme.write_text(_readme(found.argument, chosen.name, str(directory)), encoding="utf-8")
            copy.rename(target)
    click.echo(f"copied the starting kit {chosen.name} to {directory}")
    others = [other.name for other in found.kits if other != chosen]
    if others and kit is None:
        click.echo(f"other kits: {', '.join(others)} (--kit NAME)")
    if (target / "submission.toml").exists():
        click.echo(f"put your own team and title into {directory / 'submission.toml'}: it has the kit's")
    click.echo(f"score it with: hepchallenge score {found.argument} {directory}")

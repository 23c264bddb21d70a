"""`hepchallenge data`: choose a challenge's data and prepare them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hepchallenge.data.downloads import Progress


@contextlib.contextmanager
def progress_display() -> Iterator[Progress]:
    """A bar on a terminal, elsewhere a line for every tenth of a file; both on the error stream."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            TaskID,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import Progress as Bars

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        tasks: dict[str, TaskID] = {}
        with Bars(
            *columns, TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True)
        ) as bars:

            def draw(name: str, done: int, total: int | None) -> None:
                if name not in tasks:
                    tasks[name] = bars.add_task(name, total=total)
                bars.update(tasks[name], completed=done, total=total)

            yield draw
        return
    tenths: dict[str, int] = {}

    def tell(name: str, done: int, total: int | None) -> None:
        step = 10 * done // total if total else done // 10**8
        if step != tenths.get(name):
            tenths[name] = step
            click.echo(f"{name}: {done} of {total or 'unknown'} bytes", err=True)

    yield tell


def _waiting() -> None:
    click.echo("waiting for another command that prepares these data ...", err=True)


@click.command("data")
@click.argument("challenge")
@click.option("--toy", "use_toy", is_flag=True, help="Simulated data (the default until others are chosen).")
@click.option("--fetch", "use_fetch", is_flag=True, help="Download the published files, resuming if cut off.")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="Published files as they are (csv, csv.gz, zip; a folder or one file).",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the simulation (with --toy).")
@click.option("--events", type=click.IntRange(min=1), help="Number of simulated events (with --toy).")
@click.option(
    "--hits", type=click.IntRange(min=1), help="Mean hits per simulated event, for trackers (with --toy)."
)
def command(
    challenge: str,
    use_toy: bool,
    use_fetch: bool,
    source: Path | None,
    seed: int | None,
    events: int | None,
    hits: int | None,
) -> None:
    """Prepare the data of CHALLENGE once, and choose them for the commands that follow.

    Without an option it shows the data in use.
    """
    if use_toy + use_fetch + (source is not None) > 1:
        raise click.UsageError("--toy, --fetch and --from exclude each other")
    if not use_toy and (seed, events, hits) != (None, None, None):
        raise click.UsageError("--seed, --events and --hits need --toy")

    from hepchallenge import data as room
    from hepchallenge.contract import load_challenge
    from hepchallenge.data.downloads import explain_login

    loaded = load_challenge(challenge)
    if use_toy:
        folder = room.select_toy(loaded, seed, events, hits, waiting=_waiting)
    elif use_fetch:
        with progress_display() as progress:
            folder = room.fetch(loaded, progress=progress, waiting=_waiting)
    elif source is not None:
        folder = room.select(loaded, source, waiting=_waiting)
    else:
        folder = room.current(loaded, waiting=_waiting)

    manifest = room.find_manifest(folder)
    if manifest is None:
        click.echo(f"{loaded.name} reads its own data from {folder}")
        return
    kind = "toy data (simulated)" if manifest.kind == "toy" else "real data"
    click.echo(f"{loaded.name}: {kind}")
    for table, rows in manifest.rows.items():
        click.echo(f"  {table}: {rows} rows")
    for record in manifest.sources:
        click.echo(f"  from {record.name} ({record.size} bytes, sha256 {record.sha256[:12]})")
    click.echo(f"  digest {manifest.digest}")
    click.echo(f"  in {folder}")
    if manifest.kind == "toy" and any(source.kind != "kaggle" for source in loaded.config.sources):
        click.echo(f"the published files can be had with: hepchallenge data {loaded.argument} --fetch")
    by_hand = explain_login(loaded)
    if manifest.kind == "toy" and by_hand:
        click.echo(f"published files that need a login:\n{by_hand}")

"""Write toy TrackML events in the published format: `python -m hepchallenge.challenges.trackml.toy OUT`."""

from __future__ import annotations

from pathlib import Path

import click

from hepchallenge.challenges.trackml.toy.write import DEFAULT_EVENTS, DEFAULT_HITS, write_toy_files
from hepchallenge.exceptions import UsageError


@click.command()
@click.argument("folder", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.option("--events", type=int, default=DEFAULT_EVENTS, show_default=True, help="Number of events.")
@click.option("--hits", type=int, default=DEFAULT_HITS, show_default=True, help="Mean hits of an event.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the simulation.")
@click.option("--cells/--no-cells", default=True, show_default=True, help="Write the cells, too.")
@click.option("--gzip", is_flag=True, help="Write .csv.gz instead of .csv.")
def main(folder: Path, events: int, hits: int, seed: int, cells: bool, gzip: bool) -> None:
    """Write toy TrackML events, simulated and not data, into the folder OUT in the published format.

    A full event has about 100 000 hits.
    """
    try:
        files = write_toy_files(folder, events=events, hits=hits, seed=seed, cells=cells, compress=gzip)
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"{events} toy events, {len(files)} files in {folder}")


if __name__ == "__main__":
    main(prog_name="python -m hepchallenge.challenges.trackml.toy")

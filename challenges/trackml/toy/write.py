"""Toy events on disk: as a prepared folder, or as files in the published format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hepchallenge.challenges.trackml.toy.event import simulate_event
from hepchallenge.challenges.trackml.toy.geometry import detectors
from hepchallenge.exceptions import UsageError

__all__ = ["DEFAULT_EVENTS", "DEFAULT_HITS", "FIRST_EVENT", "NOTE_NAME", "make_toy_data", "write_toy_files"]

FIRST_EVENT = 900_000_000
"""Toy events are numbered from here, where no published event is."""

DEFAULT_EVENTS = 12
DEFAULT_HITS = 4_000

NOTE_NAME = "TOY.txt"

_NOTE = """These are toy events: simulated, not data of any experiment, and not the published TrackML events.

They were made by hepchallenge.challenges.trackml.toy: {events} events, {hits} hits per event on average,
seed {seed}. They have the layout of the TrackML detector and the format of its files.
See docs/trackml_toy.md.
"""


def _checked(seed: int, events: int, hits: int) -> None:
    if seed < 0:
        raise UsageError(f"the seed of toy events must not be negative, got {seed}")
    if events < 1:
        raise UsageError(f"the number of toy events must be at least 1, got {events}")
    if hits < 100:
        raise UsageError(f"the number of hits of a toy event must be at least 100, got {hits}")


def make_toy_data(
    target: Path, seed: int = 0, n_events: int | None = None, n_hits: int | None = None
) -> None:
    """Write a prepared folder of toy events, one event in memory at a time.

    Parameters
    ----------
    target : Path
        The folder that the framework gave.
    seed : int
        Not negative.
    n_events : int, optional
        12 without; split for training and testing as published events are.
    n_hits : int, optional
        Mean hits per event, 4 000 without.

    Raises
    ------
    UsageError
        If a number is out of range.
    """
    from hepchallenge.challenges.trackml.data import PreparedEvent, split_events, write_prepared_events

    events = DEFAULT_EVENTS if n_events is None else n_events
    hits = DEFAULT_HITS if n_hits is None else n_hits
    _checked(seed, events, hits)
    ids = np.arange(FIRST_EVENT, FIRST_EVENT + events)
    parts = split_events(ids)

    def simulated() -> Iterator[PreparedEvent]:
        for event_id, part in zip(ids.tolist(), parts.tolist(), strict=True):
            yield PreparedEvent(event_id, part, *simulate_event(event_id, seed, n_hits=hits))

    info = {"toy": "simulated events, not data", "seed": seed, "mean_hits": hits}
    write_prepared_events(target, simulated(), detectors(), info)


def write_toy_files(
    folder: Path,
    *,
    events: int = DEFAULT_EVENTS,
    hits: int = DEFAULT_HITS,
    seed: int = 0,
    cells: bool = True,
    compress: bool = False,
) -> list[Path]:
    """Write toy events as files in the published format, with `detectors.csv` and a note that says toy.

    Parameters
    ----------
    folder : Path
        Made if it is not there; files of the same name are replaced.
    events, hits, seed : int
        Number of events, mean hits of each, and the seed; they give the same events as `make_toy_data`.
    cells : bool
        Whether to write the cells, by far the largest file.
    compress : bool
        Write `.csv.gz` instead of `.csv`.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    UsageError
        If a number is out of range.
    """
    from hepchallenge.challenges.trackml.published import write_detectors, write_event

    _checked(seed, events, hits)
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / NOTE_NAME
    # First of all, so that not even an interrupted call leaves events without it.
    note.write_text(_NOTE.format(events=events, hits=hits, seed=seed), encoding="utf-8")
    suffix = ".csv.gz" if compress else ".csv"
    modules = folder / f"detectors{suffix}"
    write_detectors(modules, detectors())
    files = [note, modules]
    for event_id in range(FIRST_EVENT, FIRST_EVENT + events):
        event = simulate_event(event_id, seed, n_hits=hits, cells=cells)
        table = event.cells if cells else None
        files += write_event(
            folder, event_id, event.hits, table, event.particles, event.truth, compress=compress
        )
    return files

"""Memory and time of scoring a TrackML `submission.csv`, for few events and for many.

    python benchmarks/bench_event_memory.py

Runs `hepchallenge score trackml` on files of 5 and 25 events of 100 000 hits (toy; one event, repeated under
other ids) and prints the peak resident memory of each command, its time, and the ratio of the peaks.
`--events 5 125` is the size of the original test set (12.5 million rows).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hepchallenge.challenges.trackml.data import PreparedEvent, write_prepared_events
from hepchallenge.challenges.trackml.toy import ToyEvent, detectors, simulate_event
from hepchallenge.data.prepared import prepare_toy


def write_data(event: ToyEvent, count: int) -> Path:
    """Return a prepared folder of so many test events, all with the same content."""

    def events() -> Iterator[PreparedEvent]:
        for number in range(count):
            part = "public" if number < 2 else "private"
            yield PreparedEvent(number, part, event.hits, event.cells, event.particles, event.truth)

    def make(target: Path, seed: int, n_events: int | None) -> None:
        write_prepared_events(target, events(), detectors())

    return prepare_toy("trackml", make, events=count)


def write_submission(file: Path, event: ToyEvent, count: int) -> None:
    """Write random track ids for every hit of every event."""
    rng = np.random.default_rng(0)
    hit_ids = event.hits["hit_id"].to_numpy()
    with open(file, "w", encoding="ascii") as stream:
        stream.write("event_id,hit_id,track_id\n")
        for number in range(count):
            tracks = rng.integers(0, 10_000, hit_ids.size)
            rows = zip(hit_ids.tolist(), tracks.tolist(), strict=True)
            stream.writelines(f"{number},{hit},{track}\n" for hit, track in rows)


def measure(command: list[str]) -> tuple[float, float]:
    """Run a command; return its peak resident memory in MiB and its wall-clock seconds."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / 1024, time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, nargs=2, default=(5, 25), metavar=("FEW", "MANY"))
    parser.add_argument("--hits", type=int, default=100_000, help="hits per event")
    options = parser.parse_args()
    event = simulate_event(0, 0, n_hits=options.hits, cells=False)
    peaks = []
    for count in options.events:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            os.environ["HEPCHALLENGE_CACHE"] = str(folder / "cache")
            data = write_data(event, count)
            (folder / "random").mkdir()
            write_submission(folder / "random" / "submission.csv", event, count)
            command = [sys.executable, "-m", "hepchallenge", "score", "trackml", str(folder / "random")]
            command += ["--data", str(data), "--workspace", str(folder / "workspace"), "--json"]
            peak, seconds = measure(command)
        peaks.append(peak)
        rows = count * len(event.hits)
        print(f"{count:4d} events, {rows:9d} rows: peak {peak:6.0f} MiB, {seconds:6.1f} s", flush=True)
    print(f"ratio of the peaks: {peaks[1] / peaks[0]:.2f} (aim: 1)")


if __name__ == "__main__":
    main()

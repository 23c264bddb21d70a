"""Intake of a `submission.csv` of many events: time against `pandas.read_csv`, and memory.

    python benchmarks/bench_event_predictions.py [EVENTS] [HITS]

Writes files with EVENTS and four times as many events of HITS hits each (20 and 100 000 by default; the
competition had 125), in order and with all rows shuffled. Every reading is a process of its own, of which the
peak memory beyond that of the imports is shown. The memory is bounded: the ratio from EVENTS to 4 EVENTS is 1
as soon as a file is larger than the pieces in which it is read.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

READ = r"""
import json, re, sys, time
import numpy as np
import pandas as pd
from pathlib import Path
from hepchallenge.run.event_predictions import read_event_predictions

file, events, hits, how = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
columns = dict.fromkeys(["event_id", "hit_id", "track_id"], "int64")
ids = np.arange(1, hits + 1)

def peak():
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
before, start = peak(), time.perf_counter()
if how == "pandas":
    pd.read_csv(file)
else:
    read_event_predictions(
        file, columns, "event_id", "hit_id", np.arange(events), lambda event: ids, file.parent
    )
print(json.dumps([time.perf_counter() - start, peak() - before]))
"""


def write(file: Path, events: int, hits: int, *, shuffled: bool) -> None:
    """Write one submission."""
    rng = np.random.default_rng(1)
    rows = np.arange(events * hits)
    if shuffled:
        rng.shuffle(rows)
    table = pa.table(
        {"event_id": rows // hits, "hit_id": rows % hits + 1, "track_id": rng.integers(0, 10_000, len(rows))}
    )
    pa_csv.write_csv(table, file)


def main() -> None:
    """Print one line per file."""
    few, hits = (int(text) for text in (*sys.argv[1:], *("20", "100000")[len(sys.argv) - 1 :]))
    print(
        f"{'events':>7} {'rows':>10} {'order':>9} {'pandas s':>9} {'ours s':>7} {'ratio':>6} {'ours MB':>8}"
    )
    for shuffled in (False, True):
        memory = []
        for events in (few, 4 * few):
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "submission.csv"
                write(file, events, hits, shuffled=shuffled)
                measured = {}
                for how in ("pandas", "ours"):
                    command = [sys.executable, "-c", READ, str(file), str(events), str(hits), how]
                    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                    measured[how] = json.loads(output)
            (slow, _), (seconds, megabytes) = measured["pandas"], measured["ours"]
            memory.append(megabytes)
            order = "shuffled" if shuffled else "in order"
            print(
                f"{events:7} {events * hits:10} {order:>9} {slow:9.2f} {seconds:7.2f} "
                f"{seconds / slow:6.2f} {megabytes:8.0f}"
            )
        print(f"{'':28} memory of {4 * few} events / memory of {few}: {memory[1] / memory[0]:.2f}")


if __name__ == "__main__":
    main()

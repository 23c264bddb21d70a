"""Accuracy, time and memory of the TrackML starting kits on full-size toy events, one after the other.

The kits run in this process: there is no isolation here, and no limit on cores but what `taskset` or the
system sets. Each kit has a process of its own so that the peak memory is its own; it includes numpy,
pandas, the compiler of the kit and the event. `fit` gets one more toy event, and is not counted in the
seconds per event.

    python benchmarks/bench_trackers.py --hits 100000 --seeds 11 12 13 14 15
    python benchmarks/bench_trackers.py --folder FOLDER --detectors FILE   # published events: event*-hits.csv
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hepchallenge.scoring.trackml import event_score, event_weights, throughput_score

ROOT = Path(__file__).resolve().parents[1]
TRAINING_SEED = 1_000_003  # not one that anybody would ask for


@dataclass
class Training:
    """What `Tracker.fit` gets: events to go through, and the modules."""

    events: list[Any]
    detectors: pd.DataFrame

    def __iter__(self) -> Any:
        return iter(self.events)


@dataclass
class Event:
    """One event; truth and particles are None where they are not published."""

    name: str
    hits: pd.DataFrame
    cells: pd.DataFrame | None
    particles: pd.DataFrame | None
    truth: pd.DataFrame | None


def toy_event(seed: int, n_hits: int) -> Event:
    """Return a toy event of about so many hits, without cells."""
    from hepchallenge.challenges.trackml.toy import simulate_event

    hits, cells, particles, truth = simulate_event(seed, seed, n_hits=n_hits, cells=False)
    return Event(f"toy {seed}", hits, cells, particles, truth)


def published_events(folder: Path) -> list[Event]:
    """Return the events of a folder of published files; cells are not read."""
    events = []
    for file in sorted(folder.glob("event*-hits.csv*")):
        prefix = file.name.split("-")[0]
        tables = {}
        for table in ("hits", "particles", "truth"):
            found = sorted(folder.glob(f"{prefix}-{table}.csv*"))
            tables[table] = pd.read_csv(found[0]) if found else None
        events.append(Event(prefix, cells=None, **tables))
    if not events:
        raise SystemExit(f"{folder}: expected event*-hits.csv or .csv.gz, found none")
    return events


def load_tracker(kit: Path) -> Any:
    """Return the class Tracker of a kit, whose files import each other by name."""
    sys.path.insert(0, str(kit))
    import tracker

    return tracker.Tracker


def run_kit(kit: Path, arguments: argparse.Namespace, results: Any) -> None:
    """Run a kit over all events and put one record per event into `results`, the fit's before them."""
    if arguments.folder:
        detectors = pd.read_csv(arguments.detectors)
        events = published_events(arguments.folder)
        training = published_events(arguments.training)[:1] if arguments.training else []
        training = [one for one in training if one.truth is not None and one.particles is not None]
    else:
        from hepchallenge.challenges.trackml.toy import detectors as toy_detectors

        detectors = toy_detectors()
        events = [toy_event(seed, arguments.hits) for seed in arguments.seeds]
        training = [toy_event(TRAINING_SEED, arguments.hits)]
    tracker = load_tracker(kit)()
    start = time.perf_counter()
    if hasattr(tracker, "fit"):
        tracker.fit(Training(training, detectors))
    results.put({"fit": time.perf_counter() - start})
    for event in events:
        start = time.perf_counter()
        labels = tracker.predict_event(event.hits, event.cells, detectors)
        seconds = time.perf_counter() - start
        record = {"event": event.name, "hits": len(event.hits), "seconds": seconds}
        sizes = np.bincount(labels)[1:]
        record |= {
            "tracks": int(np.count_nonzero(sizes)),
            "on_tracks": float(sizes.sum() / max(len(labels), 1)),
        }
        if event.truth is not None and event.particles is not None:
            particle = event.truth["particle_id"].to_numpy()
            for phase in (1, 2):
                weights = event_weights(event.truth, event.particles, phase=phase)
                record[f"accuracy{phase}"] = event_score(particle, weights, labels)
        record["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        results.put(record)
    results.put(None)


def report(kit: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run a kit in a process of its own, print its events as they end, and return the means."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=run_kit, args=(kit, arguments, results))
    process.start()
    print(f"{kit.parent.name}/{kit.name}: fit {results.get()['fit']:.1f} s")
    records = []
    while (record := results.get()) is not None:
        records.append(record)
        accuracy = "".join(
            f"  phase {n} {record[f'accuracy{n}']:.4f}" for n in (1, 2) if "accuracy1" in record
        )
        tracks = f"{record['tracks']} tracks, {record['on_tracks']:.1%} of the hits on them"
        print(
            f"  {record['event']:<16} {record['hits']:>7} hits {record['seconds']:7.3f} s{accuracy}  {tracks}"
        )
    process.join()
    summary = {"kit": f"{kit.parent.name}/{kit.name}", "events": len(records)}
    for key in ("accuracy1", "accuracy2", "seconds"):
        values = [record[key] for record in records if key in record]
        if values:
            spread = f" (spread {np.std(values, ddof=1):.4f})" if len(values) > 1 else ""
            print(f"  mean {key:<10} {np.mean(values):.4f}{spread}")
            summary[key] = float(np.mean(values))
    if "accuracy2" in summary:
        summary["throughput"] = throughput_score(summary["accuracy2"], summary["seconds"])
        print(f"  throughput score {summary['throughput']:.4f}")
    summary["memory"] = max(record["memory"] for record in records)
    print(f"  peak memory     {summary['memory']:.2f} GiB")
    return summary


def main() -> None:
    """Read the options and run the kits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kits = [ROOT / "starting_kits/trackml/dbscan_helix", ROOT / "starting_kits/trackml/track_following"]
    kits.append(ROOT / "starting_kits/trackml_throughput/track_following_fast")
    parser.add_argument("kits", nargs="*", type=Path, default=kits, help="folders with a tracker.py")
    parser.add_argument("--hits", type=int, default=100_000, help="hits of a toy event, about")
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13], help="one toy event each")
    parser.add_argument("--folder", type=Path, help="published events instead of toy events")
    parser.add_argument("--detectors", type=Path, help="with --folder: detectors.csv or .csv.gz")
    parser.add_argument(
        "--training", type=Path, help="with --folder: a folder of events with truth for `fit`"
    )
    parser.add_argument("--json", type=Path, help="write the means there as well")
    arguments = parser.parse_args()
    if arguments.folder and not arguments.detectors:
        parser.error("--folder needs --detectors")
    means = [report(kit.resolve(), arguments) for kit in arguments.kits]
    if arguments.json:
        arguments.json.write_text(json.dumps(means, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""A board of 100 000 submissions of 2 000 teams, ranked and exported, against SQLite reading the same rows.

Run it on an idle machine:

    python benchmarks/bench_board_size.py

The workspace is filled through the store's own tables and encoders (prediction files of the toy HiggsML
challenge: one job each, scores by every metric and part, none of them from a real run). Then in turn, in one
process: all rows of the tables that a board is made of are fetched by Python's sqlite3 (`SELECT *`), and the
board, of each team's best, is ranked and exported in every format, the site included. Medians are printed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from hepchallenge.board import FORMATS, export
from hepchallenge.cli.leaderboard import load_board
from hepchallenge.collector import without_collector
from hepchallenge.contract import BoardRules
from hepchallenge.records import FoldOutcome, Limits, RunKey, Scoring, StoredArray, Submission, Verdict
from hepchallenge.store import codec, open_workspace, schema
from hepchallenge.store.database import DATABASE_NAME

CHALLENGE = "higgsml"
METRICS = ("ams", "best_ams", "auc")
PARTS = ("test", "public", "private")
DATA = "da7a" * 16


def digest(number: int) -> str:
    """Return what looks like the digest of a submission."""
    return codec.digest_of(number)


def fill(workspace: Path, n_submissions: int, n_teams: int) -> None:
    """Write records of so many scored submissions."""
    rng = np.random.default_rng(0)
    first = datetime(2026, 1, 1, tzinfo=UTC)
    rows: dict[str, list[dict[str, object]]] = {"submissions": [], "runs": [], "folds": [], "scorings": []}
    for number in range(1, n_submissions + 1):
        at = (first + timedelta(seconds=30 * number)).isoformat(timespec="microseconds")
        team = f"team {int(rng.integers(n_teams))}"
        name, own = f"entry {number}", digest(number)
        record = Submission(name=name, digest=own, kind="predictions", team=team, description="toy " * 10)
        rows["submissions"].append(
            {
                "id": number,
                "identity": codec.digest_of([CHALLENGE, name, own]),
                "challenge": CHALLENGE,
                "name": name,
                "digest": own,
                "record": codec.encode_submission(record),
                "received_at": at,
            }
        )
        key = RunKey(
            challenge=CHALLENGE, challenge_version="0" * 64, submission_digest=own, data_digest=DATA,
            limits=Limits(), seed=0,
        )  # fmt: skip
        rows["runs"].append(
            {
                "id": number,
                "key_digest": codec.key_digest(key),
                "attempt": 1,
                "key": codec.encode_key(key),
                "submission_id": number,
                "challenge": CHALLENGE,
                "challenge_version": key.challenge_version,
                "submission_digest": own,
                "data_kind": "toy",
                "data_digest": DATA,
                "isolation": "namespaces",
                "accounting": "cgroup",
                "versions": codec.dumps({"python": "3.11.0", "hepchallenge": "0", "numpy": "2.4"}),
                "created_at": at,
            }
        )
        array = StoredArray(digest=own, path=f"predictions/{own}.npy", shape=(550_000,), dtype="<f8")
        outcome = FoldOutcome(
            fold=0, verdict=Verdict.SCORED, predictions={"test": array}, wall_seconds=1.0, cpu_seconds=1.0
        )
        rows["folds"].append(
            {
                "run_id": number,
                "fold": 0,
                "verdict": "scored",
                "outcome": codec.encode_fold(outcome),
                "created_at": at,
            }
        )
        values = rng.normal(3.5, 0.2, (len(METRICS), len(PARTS)))
        scores = {
            metric: {part: float(values[i, j]) for j, part in enumerate(PARTS)}
            for i, metric in enumerate(METRICS)
        }
        errors = {metric: dict.fromkeys(PARTS, 0.05) for metric in METRICS}
        scoring = Scoring(
            verdict=Verdict.SCORED, scores=scores, errors=errors, fold_scores=(scores,), scorer_version="0"
        )
        rows["scorings"].append(
            {
                "run_id": number,
                "verdict": "scored",
                "scoring": codec.encode_scoring(scoring),
                "created_at": at,
            }
        )
    open_workspace(workspace).close()
    with contextlib.closing(sqlite3.connect(workspace / DATABASE_NAME)) as database, database:
        for table, records in rows.items():
            columns = list(records[0])
            marks = ", ".join("?" for _ in columns)
            database.executemany(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})",
                [tuple(record.values()) for record in records],
            )


def read_rows(workspace: Path) -> int:
    """Fetch what a board is made of and return the number of rows."""
    tables = (schema.submissions, schema.runs, schema.folds, schema.scorings)
    with contextlib.closing(sqlite3.connect(workspace / DATABASE_NAME)) as database:
        return sum(len(database.execute(f"SELECT * FROM {table.name}").fetchall()) for table in tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--submissions", type=int, default=100_000)
    parser.add_argument("--teams", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3, help="alternations of which the median is taken")
    options = parser.parse_args()
    os.environ.pop("HEPCHALLENGE_DATABASE", None)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        fill(workspace, options.submissions, options.teams)
        read: list[float] = []
        steps: dict[str, list[float]] = {"board": [], **{name: [] for name in FORMATS}}
        for number in range(options.rounds):
            # As the command does; neither side is charged for a look at the other's objects.
            with without_collector():
                started = time.perf_counter()
                n_rows = read_rows(workspace)
                read.append(time.perf_counter() - started)
                started = time.perf_counter()
                board = load_board(CHALLENGE, workspace, rules=BoardRules(entry="best"))
                steps["board"].append(time.perf_counter() - started)
                for name in FORMATS:
                    started = time.perf_counter()
                    export(board, Path(folder) / f"out{number}", [name])
                    steps[name].append(time.perf_counter() - started)
    print(f"{n_rows} rows of {options.submissions} submissions; ranked {len(board.ranked)}")
    sqlite = statistics.median(read)
    print(f"  {'SQLite':8s} {sqlite:6.2f} s")
    for name, seconds in steps.items():
        print(f"  {name:8s} {statistics.median(seconds):6.2f} s")
    whole = statistics.median(sum(one) for one in zip(*steps.values(), strict=True))
    print(
        f"board computed and exported: {whole:.2f} s, {whole / sqlite:.1f} times SQLite's reading of the rows"
    )


if __name__ == "__main__":
    main()

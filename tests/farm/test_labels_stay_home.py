"""Every byte that leaves the organiser's process is recorded, and searched for what must stay at home."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from event_kit import write_event_kit
from farm_processes import Farm
from recorder import Recorder, addresses_in, watch_connections
from small_kit import write_kit

from hepchallenge.contract import find_challenge, load_challenge
from hepchallenge.data.prepared import prepare_toy
from hepchallenge.pipeline import data_for
from hepchallenge.stage.labels import mask_labels
from hepchallenge.stage.stage import Staged, stage
from hepchallenge.store import open_workspace

KITS = {
    "higgsml": ("mass_window", 4000),
    "tau3mu": ("geometry_boosting", 4000),
    "tracking2d": ("nearest_hit", 20),
}
"""A starting kit that is quick, and how many toy events are enough."""

NOT_HIDDEN = {"tracking2d": "column 0"}
"""Columns of labels that are among the inputs, too: the number of the event."""

_MOST_RUNS = 24
_BITS = 64
"""What is searched for says at least so much that it is not found by chance."""

Runs = dict[str, list[np.ndarray]]
"""By name, runs of consecutive values."""


@dataclass(frozen=True)
class Sent:
    """What left the organiser's process, and what it knew."""

    staged: Staged
    by_dask: list[bytes]
    """What each connection carried."""
    by_files: list[bytes]
    """What each file in the shared folder holds."""


# What to look for


def _bits(values: np.ndarray) -> float:
    """Return the information in one value, in bits, if it were independent of the others."""
    _, counts = np.unique(values, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def _says_something(run: np.ndarray) -> bool:
    """Whether whole numbers are neither all equal nor those that follow each other."""
    if run.dtype.kind in "US" or not np.array_equal(run, np.trunc(run)):
        return True
    return len(np.unique(np.diff(run))) > 2


def _runs(values: np.ndarray, shown: np.ndarray | None = None) -> list[np.ndarray]:
    """Return runs of consecutive values all over a vector, each long enough to be no chance.

    Where some of it is `shown`, each of them has something else.
    """
    length = max(16, int(np.ceil(_BITS / max(_bits(values), 1e-9))))
    places = [slice(start, start + length) for start in range(0, len(values) - length + 1, length)]
    runs = [
        values[place]
        for place in places
        if _says_something(values[place])
        and (shown is None or not np.array_equal(values[place], shown[place]))
    ]
    chosen = np.linspace(0, len(runs) - 1, min(len(runs), _MOST_RUNS)).astype(int)
    return [runs[number] for number in chosen]


def _forms(run: np.ndarray) -> Iterator[bytes]:
    """Yield the bytes of a run of values as they could travel: raw, pickled, packed, as text."""
    if run.dtype.kind in "US":
        words = run.astype(str).tolist()
        yield run.astype("U").tobytes()
        yield run.astype("S").tobytes()
    else:
        floats = run.astype(float)
        for dtype in ("f8", "f4", "i8", "i4", "i2", "i1", "?"):
            with np.errstate(invalid="ignore", over="ignore"):
                cast = run.astype(dtype)
            if dtype == "f4" or np.array_equal(cast.astype(float), floats):
                yield cast.tobytes()
                yield cast.astype(cast.dtype.newbyteorder(">")).tobytes()
        for mark in (b"G", b"\xcb"):  # Python's pickle, and MessagePack
            yield b"".join(mark + struct.pack(">d", value) for value in floats.tolist())
        if np.array_equal(floats, np.trunc(floats)):
            whole = floats.astype(int)
            if whole.min() >= 0 and whole.max() < 256:
                yield b"".join(b"K" + bytes([value]) for value in whole.tolist())
            words = [str(value) for value in whole.tolist()]
            for gap in ("\n", ",", ", ", " "):
                yield gap.join(f"{value}.0" for value in words).encode()
        else:
            words = [repr(value) for value in floats.tolist()]
    for gap in ("\n", ",", ", ", " ", "', '", '","', '", "'):
        yield gap.join(words).encode()


def found_in(sent: list[bytes], wanted: Runs) -> set[str]:
    """Return the names of what was sent, as far as some run of it, in some form."""
    return {
        name
        for name, runs in wanted.items()
        if any(form in data for run in runs for form in set(_forms(run)) for data in sent)
    }


def _columns(name: str, labels: Any, shown: Any = None) -> Runs:
    """Return runs of the columns of labels, and of their rows as they lie in memory."""
    tables = [None if table is None else np.asarray(table) for table in (labels, shown)]
    if tables[0].ndim == 1:
        return {name: _runs(*tables)}
    found = {f"{name}, rows": _runs(*(table if table is None else table.ravel() for table in tables))}
    for column in range(tables[0].shape[1]):
        parts = (table if table is None else table[:, column] for table in tables)
        found[f"{name}, column {column}"] = _runs(*parts)
    return found


def _truths(name: str, events: Any, numbers: Any) -> Runs:
    return {f"{name} {number}": _runs(np.asarray(events[int(number)])) for number in numbers}


def hidden(staged: Staged) -> Runs:
    """Return what a run of the first fold must not send."""
    truth = staged.truth
    train_is, valid_is = truth.folds[0]
    if staged.events is not None:
        runs = _truths("truth of validation event", truth.y_train, valid_is)
        runs |= _truths("truth of test event", truth.y_test, range(len(truth.y_test)))
    else:
        runs = _columns("test labels", truth.y_test)
        runs |= _columns("validation labels", truth.y_train[valid_is])
        runs |= _columns("all training labels", truth.y_train, mask_labels(truth.y_train, train_is))
    for gate, labels in truth.gates.items():
        runs |= _columns(f"labels of gate {gate}", labels)
    runs |= {f"ids of gate {gate}": _runs(ids) for gate, ids in staged.gate_ids.items()}
    if truth.parts:
        words = np.full(len(truth.y_test), "private", dtype="U7")
        words[truth.parts["public"]] = "public"
        runs |= {"parts": _runs(words), "parts as numbers": _runs((words == "public").astype(int))}
        runs |= {f"rows of part {name}": _runs(rows) for name, rows in truth.parts.items()}
    if staged.stream is not None:
        places = staged.stream.places
        runs |= {f"places of {name}": _runs(rows) for name, rows in places.items()}
        runs["order of the stream"] = _runs(np.argsort(np.concatenate(list(places.values()))))
    return runs


def shown(staged: Staged) -> Runs:
    """Return what a run of the first fold has to send."""
    truth = staged.truth
    train_is, _ = truth.folds[0]
    if staged.events is not None:
        return _truths("truth of training event", truth.y_train, train_is)
    return _columns("labels of the fold", mask_labels(truth.y_train, train_is))


# Runs on a farm


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm")) as farm:
        farm.start_scheduler()
        farm.start_worker("first")
        yield farm


def _sent(
    farm: Farm, folder: Path, challenge: Path | str, submission: Path, data: Path | None = None
) -> Sent:
    """Run the first fold of a submission on a farm, and return all that the organiser's process sent."""
    shared, watched, workspace = folder / "shared", folder / "watched", folder / "workspace"
    shared.mkdir()
    with Recorder(farm.address) as recorder:
        cluster = folder / "cluster.toml"
        cluster.write_text(f'scheduler = "{recorder.address}"\nshared = "{shared}"\n')
        words = ["score", challenge, submission, "--quick", "--json", "--isolation", "none"]
        words += ["--workspace", workspace, "--backend", "dask", "--cluster", cluster]
        words += ["--data", data] if data else []
        organiser = farm.start_command(*words, environment=watch_connections(watched))
        code, out = organiser.communicate()
    assert '"verdict": "scored"' in out or '"verdict": "gate_failed"' in out, (code, organiser.log_text())
    # There is no other way out.
    assert addresses_in(watched) == {str(recorder.place)}
    loaded = load_challenge(find_challenge(challenge).folder)
    path, info = data_for(loaded, data)
    with open_workspace(workspace) as store:
        staged = stage(loaded, path, info, folder / "inputs", secret=store.secret(), quick=True)
    if staged.stream is not None:
        # The same order, since it is the same file.
        assert (workspace / "inputs" / staged.stream.inputs.name).exists()
    files = [path.read_bytes() for path in shared.rglob("*") if path.is_file()]
    return Sent(staged, [bytes(sent) for sent in recorder.sent], files)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[Path, Path]]:
    """Return a starting kit of a challenge, and its toy data."""
    monkeypatch.setenv("HEPCHALLENGE_CACHE", str(tmp_path / "cache"))

    def toy(name: str) -> tuple[Path, Path]:
        challenge = load_challenge(name)
        kit, n_events = KITS[name]
        make = challenge.problem.make_toy_data
        assert make is not None
        return challenge.kits_folder / kit, prepare_toy(name, make, seed=0, events=n_events)

    return toy


@pytest.mark.parametrize("name", KITS)
def test_only_the_labels_of_a_folds_training_rows_leave_the_organiser(
    farm: Farm, tmp_path: Path, name: str, toy: Callable[[str], tuple[Path, Path]]
) -> None:
    submission, data = toy(name)
    sent = _sent(farm, tmp_path, name, submission, data)
    wanted = {
        what: runs for what, runs in hidden(sent.staged).items() if NOT_HIDDEN.get(name, "-") not in what
    }
    assert [what for what, runs in wanted.items() if not runs] == []
    assert found_in(sent.by_dask + sent.by_files, wanted) == set()
    # The same search does find what has to travel, and only where not everybody can read it.
    assert found_in(sent.by_dask, shown(sent.staged)) >= {"labels of the fold, rows"}
    assert found_in(sent.by_files, shown(sent.staged)) == set()
    # What is small travels with the jobs.
    assert sent.by_files or name == "tracking2d"


def test_of_events_only_the_truths_of_training_events_leave_the_organiser(farm: Farm, tmp_path: Path) -> None:
    kit = write_event_kit(tmp_path / "kit")
    sent = _sent(farm, tmp_path, kit, kit / "submissions" / "honest")
    wanted = hidden(sent.staged)
    assert all(runs for what, runs in wanted.items() if what.startswith("truth"))
    assert found_in(sent.by_dask + sent.by_files, wanted) == set()
    assert found_in(sent.by_dask, shown(sent.staged)) == set(shown(sent.staged))
    assert found_in(sent.by_files, shown(sent.staged)) == set()


def test_the_search_finds_test_labels_that_lie_among_a_challenges_code(farm: Farm, tmp_path: Path) -> None:
    kit = write_kit(tmp_path / "kit")
    labels = np.loadtxt(kit / "data" / "test.csv", delimiter=",")[:, 2]
    (kit / "helper.py").write_text(f"LABELS = {labels.tolist()}\n")
    sent = _sent(farm, tmp_path, kit, kit / "submissions" / "good")
    assert found_in(sent.by_dask + sent.by_files, hidden(sent.staged)) == {"test labels"}

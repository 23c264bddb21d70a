"""Staging: the data are read once, inputs are written for the sandbox, truth stays in this process.

Only this room and the scorer ever see labels. What it writes are bundles of features (public by
definition of the challenge); the ground truth of training and test rows is kept in memory and
handed on to the scorer directly.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, chdir, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hepchallenge.bundle import bundle_path, write_bundle
from hepchallenge.contract import (
    Challenge,
    EventInputs,
    Gate,
    check_event_folds,
    check_events,
    check_folds,
    check_parts,
    check_test_features,
)
from hepchallenge.exceptions import ContractError, HepChallengeError, OrganiserError
from hepchallenge.records import DataInfo
from hepchallenge.stage.labels import MASKABLE, is_maskable
from hepchallenge.stage.stream import Stream, make_stream

__all__ = ["Data", "Staged", "Truth", "as_ramp_does", "ramp_test_mode", "read_data", "stage"]


@dataclass(frozen=True)
class Truth:
    """What a submission must never see: ground truth of all rows, with the folds and parts to score on.

    Where a challenge has events, an event takes the place of a row. `y_test` is None where a challenge has
    no test set or does not tell its labels. `parts` maps `public` and `private` to test rows and is empty
    where a challenge has no such parts.
    """

    y_train: Any
    y_test: Any
    folds: tuple[tuple[np.ndarray, np.ndarray], ...]
    parts: dict[str, np.ndarray]
    gates: dict[str, Any] = field(default_factory=dict)
    """Truth of the gates' samples, by name."""

    @property
    def n_train(self) -> int:
        """Number of training rows."""
        return len(self.y_train)

    @property
    def n_test(self) -> int | None:
        """Number of test rows with known truth, or None."""
        return None if self.y_test is None else len(self.y_test)


@dataclass(frozen=True)
class StagedEvents:
    """Inputs of the training and test events, public by definition of the challenge."""

    train: EventInputs
    test: EventInputs


@dataclass(frozen=True)
class Staged:
    """A challenge's data, made ready: public inputs on disk, truth in memory.

    Where a challenge has events, both stay where they are and are read event by event: `events` holds the
    inputs, and `test_ids` are the ids of the test events. Where it has gates, `stream` holds all rows to
    predict, and a submission is not given `test_inputs`.
    """

    data: DataInfo
    path: Path
    train_inputs: Path | None
    test_inputs: Path | None
    truth: Truth
    test_ids: np.ndarray | None
    events: StagedEvents | None = None
    stream: Stream | None = None
    gate_ids: dict[str, np.ndarray] = field(default_factory=dict)
    """Ids of the gates' rows, where a challenge takes prediction files."""


def _files_digest(folder: Path) -> str | None:
    """Return a digest over names and contents of a kit's data files, or None if there are none."""
    root = folder / "data" if (folder / "data").is_dir() else folder
    if root == folder and (folder / "problem.py").exists():
        return None
    digest = hashlib.sha256()
    found = False
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        if any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(root).parts):
            continue
        found = True
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()}\0{content}\n".encode())
    return digest.hexdigest() if found else None


@contextmanager
def ramp_test_mode(quick: bool) -> Iterator[None]:
    """Set the variable by which kits know of `ramp-test --quick-test`, or make sure that it is not set.

    A kit may read less data then; so it must not come from the environment behind a record's back.
    """
    before = os.environ.pop("RAMP_TEST_MODE", None)
    if quick:
        os.environ["RAMP_TEST_MODE"] = "1"
    try:
        yield
    finally:
        os.environ.pop("RAMP_TEST_MODE", None)
        if before is not None:
            os.environ["RAMP_TEST_MODE"] = before


@contextmanager
def as_ramp_does(challenge: Challenge, quick: bool) -> Iterator[None]:
    """Run a kit's data functions with the working folder and the variable that ramp-test gives them."""
    folder: AbstractContextManager[None] = nullcontext() if challenge.builtin else chdir(challenge.folder)
    with ramp_test_mode(quick), folder:
        yield


def _call(challenge: Challenge, name: str, *args: Any, **kwargs: Any) -> Any:
    """Call a function of `problem.py`; what it raises becomes an error that names it."""
    try:
        return getattr(challenge.problem, name)(*args, **kwargs)
    except HepChallengeError:
        raise
    except (Exception, SystemExit) as error:
        raise ContractError(
            challenge.problem.file, name, "data that can be read", f"{type(error).__name__}: {error}"
        ) from error


def _pair(challenge: Challenge, name: str, value: Any) -> tuple[Any, Any]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ContractError(
            challenge.problem.file, name, "a pair (inputs, labels)", f"{type(value).__name__}"
        )
    return _in_memory(value[0]), _in_memory(value[1])


def _in_memory(value: Any) -> Any:
    """Return data that no longer lean on the file they come from.

    A lazily opened xarray Dataset travels as the path of its file, which is out of reach in the sandbox and
    may hold the labels as well.
    """
    if isinstance(value, np.memmap):
        return value.view(np.ndarray)
    if type(value) in (list, tuple):
        return type(value)(_in_memory(item) for item in value)
    if type(value) is dict:
        return {key: _in_memory(item) for key, item in value.items()}
    if type(value).__module__.partition(".")[0] == "xarray" and callable(getattr(value, "load", None)):
        return value.load()
    return value


def _check_labels(challenge: Challenge, x_test: Any, y_train: Any, y_test: Any) -> None:
    """Check that training labels can be withheld and counted, and that test labels have inputs."""
    file = challenge.problem.file
    if not is_maskable(y_train):
        raise ContractError(
            file, "get_train_data", f"labels that are {MASKABLE}", f"{type(y_train).__name__}"
        )
    if y_test is not None and x_test is None:
        raise ContractError(file, "get_test_data", "inputs to the test labels", "labels without inputs")
    if y_test is not None and not hasattr(y_test, "__len__"):
        raise ContractError(file, "get_test_data", "labels that can be counted", type(y_test).__name__)


class Data(NamedTuple):
    """What a challenge's data functions gave: inputs and labels of the training and of the test rows."""

    x_train: Any
    y_train: Any
    x_test: Any
    y_test: Any


def read_data(challenge: Challenge, path: Path, data_label: str | None = None) -> Data:
    """Call a challenge's data functions and check what they give; to be called within `as_ramp_does`.

    Parameters
    ----------
    challenge, path, data_label
        As for `stage`.

    Raises
    ------
    ContractError
        If they fail or return what the contract does not allow.
    """
    problem = challenge.problem
    keywords: dict[str, Any] = {"path": str(path)}
    if data_label is not None:
        if not problem.takes_data_label:
            raise ContractError(
                problem.file, "get_train_data", "a parameter data_label, since one was given", "none"
            )
        keywords["data_label"] = data_label
    train, test = (
        _pair(challenge, name, _call(challenge, name, **keywords))
        for name in ("get_train_data", "get_test_data")
    )
    data = Data(*train, *test)
    if problem.has_events:
        check_events(challenge, "get_train_data", *train)
        check_events(challenge, "get_test_data", *test)
    else:
        _check_labels(challenge, data.x_test, data.y_train, data.y_test)
    return data


def stage(
    challenge: Challenge,
    path: Path,
    data: DataInfo | None,
    inputs_folder: Path,
    *,
    secret: bytes | None = None,
    quick: bool = False,
    data_label: str | None = None,
    write_inputs: bool = True,
) -> Staged:
    """Read a challenge's data and write the public inputs.

    Parameters
    ----------
    challenge
        A loaded challenge.
    path
        What its data functions are called with, as ramp-test's `--ramp-data-dir`.
    data
        Kind and digest if they are known (prepared data); else both are found from the files at `path`.
    inputs_folder
        Where bundles go; equal inputs are written once.
    secret
        What no submission can know; it decides the order of the rows where a challenge has gates. Without it
        nothing can be run: there is no stream then.
    quick
        Only the first fold, with `RAMP_TEST_MODE=1` set while data are read, as `ramp-test --quick-test`.
    data_label
        Handed to the data functions of kits that take it.
    write_inputs
        False where nothing will be run: of bundles only the paths are returned at which they would lie.

    Raises
    ------
    ContractError
        If the data functions fail or return what the contract does not allow.
    """
    problem = challenge.problem
    on_events = problem.has_events
    with as_ramp_does(challenge, quick):
        x_train, y_train, x_test, y_test = read_data(challenge, path, data_label)
        checked = check_event_folds if on_events else check_folds
        folds = checked(challenge, _call(challenge, "get_cv", x_train, y_train), len(y_train))
        n_test = _rows(x_test, y_test)
        parts: dict[str, np.ndarray] = {}
        if problem.get_test_parts is not None and n_test is not None:
            words = check_parts(challenge, _call(challenge, "get_test_parts", path=str(path)), n_test)
            parts = {part: np.flatnonzero(words == part) for part in ("public", "private")}
            parts = {part: rows for part, rows in parts.items() if len(rows)}
        test_ids = None
        if problem.get_test_ids is not None and n_test is not None:
            test_ids = np.asarray(_call(challenge, "get_test_ids", path=str(path)))
            if test_ids.shape != (n_test,) or test_ids.dtype.kind not in "iu":
                raise ContractError(
                    problem.file,
                    "get_test_ids",
                    f"{n_test} whole numbers, one per test row",
                    f"shape {test_ids.shape} of dtype {test_ids.dtype}",
                )
        gates = {gate.name: _gate_data(challenge, gate, str(path)) for gate in problem.gates}
        gate_ids = _gate_ids(challenge, gates, test_ids, str(path))
    if quick:
        folds = folds[:1]
    events = train_inputs = test_inputs = None
    if on_events:
        for event in [x_test.shared, *([x_test[0]] if len(x_test) else [])]:
            check_test_features(challenge, event)
        events = StagedEvents(x_train, x_test)
    else:
        if x_test is not None:
            check_test_features(challenge, x_test)
        bundle = write_bundle if write_inputs else bundle_path
        train_inputs = bundle(x_train, inputs_folder)
        test_inputs = None if x_test is None else bundle(x_test, inputs_folder)
    if data is None:
        digest = _files_digest(path) or _inputs_digest(train_inputs, test_inputs, y_train, y_test)
        if data_label is not None:
            digest = hashlib.sha256(f"{digest}\0{data_label}".encode()).hexdigest()
        data = DataInfo(kind="kit", digest=digest)
    stream = None
    if gates and secret is not None:
        samples = {"train": x_train, "test": x_test, **{name: inputs for name, (inputs, _) in gates.items()}}
        stream = make_stream(challenge, samples, secret, data.digest, inputs_folder)
    truths = {name: truth for name, (_, truth) in gates.items()}
    truth = Truth(y_train, y_test, tuple(folds), parts if y_test is not None else {}, truths)
    return Staged(data, path, train_inputs, test_inputs, truth, test_ids, events, stream, gate_ids)


def _gate_data(challenge: Challenge, gate: Gate, path: str) -> tuple[Any, Any]:
    """Return inputs and truth of a gate's sample."""
    where = f"gates: {gate.name}"
    file = challenge.problem.file
    if challenge.problem.has_events:
        raise ContractError(file, where, "a challenge with rows", "one with events, which has no gates")
    try:
        pair = gate.get_data(path)
    except HepChallengeError:
        raise
    except (Exception, SystemExit) as error:
        found = f"{type(error).__name__}: {error}"
        raise ContractError(file, where, "data that can be read", found) from error
    inputs, truth = _pair(challenge, where, pair)
    if len(inputs) != len(truth) or not len(inputs):
        expected = "as many rows of inputs as of truth, at least one"
        raise ContractError(file, where, expected, f"{len(inputs)} and {len(truth)}")
    check_test_features(challenge, inputs)
    return inputs, truth


def _gate_ids(
    challenge: Challenge, gates: dict[str, tuple[Any, Any]], test_ids: np.ndarray | None, path: str
) -> dict[str, np.ndarray]:
    """Return the ids by which prediction files name the gates' rows; none if there are no such files."""
    if challenge.config.prediction_file is None or test_ids is None:
        return {}
    file = challenge.problem.file
    known, gate_ids = test_ids, {}
    for gate in challenge.problem.gates:
        where, n_rows = f"gates: {gate.name}", len(gates[gate.name][1])
        if not callable(getattr(gate, "get_ids", None)):
            expected = "a gate with a method get_ids, since there are prediction files"
            raise ContractError(file, where, expected, type(gate).__name__)
        ids = np.asarray(gate.get_ids(path))  # type: ignore[attr-defined]
        if ids.shape != (n_rows,) or ids.dtype.kind not in "iu":
            found = f"shape {ids.shape} of dtype {ids.dtype}"
            raise ContractError(file, where, f"{n_rows} whole numbers as ids", found)
        known = np.concatenate([known, ids])
        gate_ids[gate.name] = ids
    values, counts = np.unique(known, return_counts=True)
    if (counts > 1).any():
        found = f"{values[counts > 1][0]} twice"
        raise ContractError(file, "gates", "ids that no other row has, in the test sample or a gate", found)
    return gate_ids


def _rows(x_test: Any, y_test: Any) -> int | None:
    if y_test is not None:
        return len(y_test)
    try:
        return None if x_test is None else len(x_test)
    except TypeError:
        return None


def _inputs_digest(train: Path | None, test: Path | None, y_train: Any, y_test: Any) -> str:
    """Return a digest of data that come from no file, such as a library's samples."""
    from hepchallenge.bundle import dump_object

    if train is None:
        raise OrganiserError("events must come from files, by whose content the data are known")
    digest = hashlib.sha256(f"{train.stem}\0{test.stem if test else ''}".encode())
    try:
        for labels in (y_train, y_test):
            head, buffers = dump_object(labels)
            digest.update(head)
            for buffer in buffers:
                digest.update(buffer)
    except OrganiserError as error:
        raise OrganiserError(f"labels cannot be digested: {error}") from error
    return digest.hexdigest()

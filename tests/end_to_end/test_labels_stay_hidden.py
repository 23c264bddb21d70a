"""A submission that searches its memory, its files and its neighbours for labels finds its own only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from levels import need
from small_kit import MARKS, write_submission

import hepchallenge
from hepchallenge.records import Document, Verdict
from hepchallenge.run.isolation import Isolation

SPY = """
import gc, os, sys
from pathlib import Path
import numpy as np

TRAIN, TEST = (float(word) for word in "{train} {test}".split())


def report(array, own, where):
    for name, low in (("validation", TRAIN), ("test", TEST)):
        found = set(array[(array > low) & (array < low + 1)].tolist()) - own
        if found:
            print("FOUND", name, "labels in", where, *(value.hex() for value in found), flush=True)


def search_memory(own):
    # All of it: frames, the heap, what a fork left there, mapped files.
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            start, end = (int(word, 16) for word in line.split()[0].split("-"))
            for at in range(start, end if "r" in line.split()[1] else start, 1 << 24):
                try:
                    memory.seek(at)
                    data = memory.read(min(1 << 24, end - at))
                except (OSError, ValueError, OverflowError):
                    break
                with np.errstate(all="ignore"):
                    report(np.frombuffer(data[: len(data) // 8 * 8], float), own, "memory")


def search_objects(own):
    for thing in gc.get_objects():
        if isinstance(thing, np.ndarray) and thing.dtype == float:
            report(thing.ravel(), own, "an object")
    frame = sys._getframe()
    while frame is not None:
        for name, value in {{**frame.f_globals, **frame.f_locals}}.items():
            if isinstance(value, np.ndarray) and value.dtype == float:
                report(value.ravel(), own, "the frame of " + frame.f_code.co_name)
        frame = frame.f_back
    for name, module in list(sys.modules.items()):
        search_module(module, own)


def search_module(module, own):
    for function in ("get_train_data", "get_test_data"):
        if not hasattr(module, function):
            continue
        for path in (".", "..", "/", os.path.dirname(getattr(module, "__file__", "") or "."), {kit!r}):
            try:
                report(np.asarray(getattr(module, function)(path)[1], float), own, function)
            except Exception:
                pass


def search_files(own):
    words = [str(int(TRAIN)).encode() + b".", str(int(TEST)).encode() + b"."]
    # Where the root cannot be listed, by name.
    for folder, _, files in [*os.walk("/"), ({kit!r} + "/data", (), ("train.csv", "test.csv"))]:
        if folder.startswith(("/proc", "/usr", "/sys", sys.prefix + "/lib", sys.base_prefix)):
            continue
        for file in files:
            path = os.path.join(folder, file)
            try:
                if path == __file__ or not os.path.isfile(path) or os.path.getsize(path) > 1 << 24:
                    continue
                data = Path(path).read_bytes()
            except OSError:
                continue
            if any(word in data for word in words):
                print("FOUND labels in", path, flush=True)
            report(np.frombuffer(data[: len(data) // 8 * 8], float), own, path)


def search_neighbours():
    try:
        pids = [pid for pid in os.listdir("/proc") if pid.isdigit()]
    except PermissionError:
        pids = [1, *range(max(1, os.getpid() - 3000), os.getpid() + 100)]
    for pid in pids:
        if int(pid) == os.getpid():
            continue
        for name in ("mem", "environ", "maps", "fd/0", "root/tmp", "cwd/."):
            try:
                open(f"/proc/{{pid}}/{{name}}", "rb").read(1)
            except IsADirectoryError:
                print("FOUND the folder of", pid, flush=True)
            except OSError:
                continue
            else:
                print("FOUND", name, "of", pid, flush=True)


class Classifier:
    def fit(self, X, y):
        self.mean = y.mean()
        own = {{*y.tolist(), self.mean}}
        search_objects(own)
        search_memory(own)
        if {walls}:
            search_files(own)
            search_neighbours()
        print("LOOKED", self.mean, flush=True)
        self.own = own

    def predict(self, X):
        search_objects(self.own)
        search_memory(self.own)
        print("LOOKED", len(X), flush=True)
        return np.full(len(X), self.mean)
"""


def _spy(kit: Path, level: Isolation) -> tuple[Document, str]:
    need(level)
    walls = level is not Isolation.NONE
    code = SPY.format(train=MARKS["train.csv"], test=MARKS["test.csv"], kit=str(kit), walls=walls)
    spy = write_submission(kit / "submissions" / "spy", code)
    document = hepchallenge.score(kit, [spy], workspace=kit.parent / "workspace", isolation=level, jobs=2)
    logs = sorted(path for path in (kit.parent / "workspace" / "logs").rglob("*") if path.is_file())
    return document, "".join(path.read_text() for path in logs)


def _leaks(kit: Path, log: str) -> list[str]:
    """Return the lines that tell of a label.

    Numbers are compared with all labels: freed memory may hold one of the spy's own of which the last bytes
    are overwritten, and which is then none of them.
    """
    tables = [np.loadtxt(kit / "data" / name, delimiter=",") for name in MARKS]
    labels = {label.hex() for table in tables for label in table[:, 2].tolist()}
    found = []
    for line in log.splitlines():
        numbers = {word for word in line.split() if word.startswith("0x1.")}
        if "FOUND" in line and (not numbers or numbers & labels):
            found.append(line)
    return found


@pytest.mark.parametrize("level", list(Isolation))
def test_a_spy_finds_no_label_but_those_of_its_own_training_rows(kit: Path, level: Isolation) -> None:
    document, log = _spy(kit, level)
    assert document.submissions[0].scoring.verdict is Verdict.SCORED, document.submissions[0].scoring.message
    # In each of three folds: at fit, at predict on train and on test.
    assert log.count("LOOKED") == 9
    assert not _leaks(kit, log), log


def test_the_spy_does_find_validation_labels_that_are_not_withheld(
    kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hepchallenge.stage.labels.mask_labels", lambda y, train_is: y)
    _, log = _spy(kit, Isolation.NONE)
    assert any("validation labels in memory" in line for line in _leaks(kit, log))


def test_the_spy_does_find_test_labels_in_a_folder_that_is_shown(
    kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hepchallenge.run import container

    shown = container.interpreter_paths()
    monkeypatch.setattr(container, "interpreter_paths", lambda: (*shown, str(kit / "data" / "..")))
    monkeypatch.setattr(container, "plan_container", _without_hiding(container.plan_container))
    _, log = _spy(kit, Isolation.NAMESPACES)
    assert any("test.csv" in line for line in _leaks(kit, log))


def _without_hiding(plan_container):
    return lambda shown, hidden, *rest: plan_container(shown, (), *rest)

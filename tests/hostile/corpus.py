"""The corpus: its cases, the world that they are let loose in, and what counts as evidence of success."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
GROUPS = {
    "A": "Reading the answer",
    "B": "Touching the scorer",
    "C": "Metric gaming",
    "D": "Clock and resources",
}
N_TRAIN, N_TEST, N_FILE = 40, 32, 24
TRAIN_MARK, TEST_MARK = 738291640 + 1 / 4, 846372910 + 1 / 8
"""Labels are these and small fractions more, so that they cannot be taken for anything else."""
SHARED_MEMORY = "/dev/shm/hepchallenge-hostile-"
LIMITS = {
    # So long that nobody comes near it, however busy the host.
    "fit_wall": 100.0,
    "fit_cpu": 0.8,
    "predict_wall": 100.0,
    "predict_cpu": 0.8,
    "memory_bytes": 256 << 20,
    "output_bytes": 4 << 20,
    "scratch_bytes": 8 << 20,
    "log_bytes": 64 << 10,
    "processes": 24,
}
IDLE_LIMITS = LIMITS | {"fit_wall": 2.0, "predict_wall": 2.0}
"""For those that wait until they are ended."""


@dataclass(frozen=True)
class Case:
    """One hostile submission as `cases.toml` tells."""

    name: str
    number: int
    tries: str
    verdicts: tuple[str, ...]
    group: str = ""
    challenge: str = "tabular"
    evidence: str = ""
    own: bool = False
    naive: dict[str, Any] = field(default_factory=dict)
    expect: dict[str, float] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return HERE / self.name

    @property
    def idle(self) -> bool:
        """Whether it waits until the wall clock ends it."""
        return self.verdicts == ("wall_limit",)


def _tables() -> dict[str, Any]:
    return tomllib.loads((HERE / "cases.toml").read_text())


def cases() -> list[Case]:
    """Return all cases in the order of the catalogue."""
    found = []
    for table in _tables()["case"]:
        verdict = table.pop("verdict")
        found.append(Case(verdicts=(verdict,) if isinstance(verdict, str) else tuple(verdict), **table))
    return found


def skipped() -> list[dict[str, Any]]:
    """Return the cases of the catalogue that are not in the corpus, with the reason."""
    return _tables()["skipped"]


def digest_of_labels(labels: np.ndarray) -> str:
    return hashlib.sha256(np.sort(labels).tobytes()).hexdigest()


def _tree(*places: Path) -> dict[str, str]:
    """Return what lies below some folders, by content and mode; bytecode caches do not count."""
    found = {}
    for place in places:
        for folder, folders, names in os.walk(place):
            folders[:] = [name for name in folders if name != "__pycache__"]
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(OSError):
                    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "special"
                    found[str(path)] = f"{path.lstat().st_mode:o} {content}"
    return found


class World:
    """Challenges with secret labels, and everything around them that must not be read, changed or reached."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.token = secrets.token_hex(8)
        self.marker = f"hostile-{self.token}"
        self.secret = secrets.token_hex(16)
        self.shared_memory = Path(SHARED_MEMORY + self.token)
        for name in ("home", "temporary", "output", "drop", "workspace/notes", "cache", "submissions"):
            (self.root / name).mkdir(parents=True)
        (self.root / "workspace/notes/organiser.txt").write_text("not to be changed")
        (self.root / "home/notes.txt").write_text("not to be changed")
        self.labels = self._write_tabular()
        self._write_selection()

    def kit(self, challenge: str) -> Path:
        return self.root / challenge

    def _write_tabular(self) -> np.ndarray:
        kit = self.kit("tabular")
        shutil.copytree(HERE / "_challenges/tabular", kit, ignore=shutil.ignore_patterns("__pycache__"))
        (kit / "data").mkdir()
        rng = np.random.default_rng()
        labels = {}
        for name, mark, rows in (("train", TRAIN_MARK, N_TRAIN), ("test", TEST_MARK, N_TEST)):
            labels[name] = mark + rng.permutation(np.arange(1, rows + 1)) / 1024
            table = np.column_stack([rng.normal(size=(rows, 2)), labels[name]])
            np.savetxt(kit / "data" / f"{name}.csv", table, delimiter=",", fmt="%.17g")
        self.hard_label = float(labels["train"][0])
        test = labels["test"]
        text = "".join(f"\n{label!r}" for label in test.tolist()).encode()
        git = kit / ".git/objects/ab"
        git.mkdir(parents=True)
        (git / ("0" * 38)).write_bytes(zlib.compress(b"blob %d\0" % len(text) + text))
        (kit / "__pycache__").mkdir()
        (kit / "__pycache__/scorer.cpython-311.pyc").write_bytes(b"\0" * 16 + test.tobytes())
        other = kit / "submissions/somebody"
        other.mkdir(parents=True)
        (other / "classifier.py").write_text("raise ValueError\n")
        self.shared_memory.write_bytes(test.tobytes())
        self.shared_memory.chmod(0o666)
        return test

    def _write_selection(self) -> None:
        kit = self.kit("selection")
        shutil.copytree(HERE / "_challenges/selection", kit, ignore=shutil.ignore_patterns("__pycache__"))
        (kit / "data").mkdir()
        rows = [(100 + k, int(k >= N_FILE // 2)) for k in range(N_FILE)]
        table = "id,label\n" + "".join(f"{i},{label}\n" for i, label in rows)
        for name in ("train", "test"):
            (kit / "data" / f"{name}.csv").write_text(table)
        answers = "".join(f"{i},{label}.0,{'bs'[label]}\n" for i, label in rows)
        (kit / "data/answers.csv").write_text("id,score,class\n" + answers)

    def facts(self, case: Case, runner: int, servers: dict[str, Any]) -> dict[str, Any]:
        """Return what the submission of a case is told."""
        kit = self.kit(case.challenge)
        places = {name: str(self.root / name) for name in ("home", "workspace", "output", "temporary")}
        return {
            **places,
            **servers,
            "root": str(self.root),
            "kit": str(kit),
            "answers": str(kit / "data/answers.csv"),
            "drop": str(self.root / "drop" / case.name),
            "marker": f"{self.marker}-{case.name}",
            "secret_digest": hashlib.sha256(self.secret.encode()).hexdigest(),
            "runner": runner,
            "n_test": N_TEST,
            "mark": TEST_MARK,
            "hard_label": self.hard_label,
        }

    def write_submission(self, case: Case, facts: dict[str, Any]) -> Path:
        """Write the submission of a case as its participant hands it in."""
        target = self.root / "submissions" / case.name
        shutil.copytree(case.folder, target, ignore=shutil.ignore_patterns("__pycache__", "build.py"))
        if case.challenge == "tabular":
            shutil.copy(HERE / "_known/known.py", target)
            (target / "known.json").write_text(json.dumps(facts))
        build = case.folder / "build.py"
        if build.exists():
            space: dict[str, Any] = {}
            exec(build.read_text(), space)
            space["build"](target, facts)
        return target

    def environment(self) -> dict[str, str]:
        """Return the environment of a runner: it holds a token, as organisers' shells do."""
        keep = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        own = {
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "temporary"),
            "HEPCHALLENGE_CACHE": str(self.root / "cache"),
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "HOSTILE_TOKEN": self.secret,
            "PYTHONDONTWRITEBYTECODE": "1",
            "MPLCONFIGDIR": str(self.root / "cache"),
        }
        return keep | threads | own

    def state(self) -> dict[str, str]:
        """Return what no submission may change."""
        places = [
            self.kit("tabular"),
            self.kit("selection"),
            self.root / "home",
            self.root / "workspace/notes",
        ]
        return _tree(*places)

    def changed(self, before: dict[str, str]) -> list[str]:
        after = self.state()
        return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))

    def leftovers(self) -> list[str]:
        """Return what lies where nothing may be left."""
        shm = [p for p in Path("/dev/shm").glob(f"*{self.token}*") if p != self.shared_memory]
        return sorted(map(str, [*(self.root / "temporary").iterdir(), *shm]))

    def survivors(self) -> dict[int, str]:
        """Return the processes that carry this world's marker or token, in command line or environment."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                words = Path("/proc", pid, "cmdline").read_bytes()
                around = Path("/proc", pid, "environ").read_bytes()
                ours = self.marker.encode() in words or self.secret.encode() in around
                if ours and int(pid) != os.getpid():
                    found[int(pid)] = words.decode(errors="replace")
        return found

    def kill_survivors(self) -> None:
        for pid in self.survivors():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Remove everything."""
        self.kill_survivors()
        for path in Path("/dev/shm").glob(f"*{self.token}*"):
            path.unlink()
        # Python's own way recurses, and one of the attacks is about that.
        subprocess.run(["rm", "-rf", str(self.root)], check=True)


class Servers:
    """What listens on the host: whatever reaches it has left the sandbox."""

    def __init__(self, world: World) -> None:
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._udp.setblocking(False)
        self._abstract, self._path = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        path = str(world.root / "s")
        self._abstract.bind("\0" + world.marker)
        self._path.bind(path)
        os.chmod(path, 0o777)
        for server in (self._abstract, self._path):
            server.listen(16)
        self.facts = {
            "tcp": self._tcp.getsockname()[1],
            "udp": self._udp.getsockname()[1],
            "abstract": world.marker,
            "socket": path,
        }

    def received(self) -> bool:
        """Whether a datagram has come."""
        with contextlib.suppress(BlockingIOError):
            return bool(self._udp.recv(4096))
        return False

    def close(self) -> None:
        for server in (self._tcp, self._udp, self._abstract, self._path):
            server.close()


@contextlib.contextmanager
def open_world(root: Path) -> Iterator[tuple[World, Servers]]:
    """Make a world and what listens in it, and remove both afterwards."""
    world = World(root)
    servers = Servers(world)
    try:
        yield world, servers
    finally:
        servers.close()
        world.close()


# ---- evidence ----------------------------------------------------------------------------------------


def evidence_in_log(world: World, case: Case, log: bytes) -> set[str]:
    """Return what a submission's own words prove."""
    found = set()
    if f"STOLEN {digest_of_labels(world.labels)}".encode() in log:
        found.add("stolen")
    if b"\nDID " in b"\n" + log:
        found.add("did")
    return found


def evidence_in_scores(case: Case, scores: dict[str, float]) -> set[str]:
    """Return what scores prove; none of the submissions has learned anything."""
    found = set()
    if case.challenge == "tabular" and scores.get("distance", 1.0) < 1e-6:
        found.add("perfect")
    if case.challenge == "selection" and scores.get("auc", 0.0) > 0.999:
        found.add("perfect")
    if not np.isfinite(scores.get("ams", 0.0)):
        found.add("infinite")
    return found


def run_naively(case: Case, root: Path) -> tuple[set[str], str]:
    """Run a case with the naive runner, in a process of its own; return the evidence and what was printed."""
    with open_world(root) as (world, servers):
        before = world.state()
        order_file = world.root / "order.json"
        facts = world.facts(case, 0, servers.facts)
        submission = world.write_submission(case, facts)
        report = world.root / "report.json"
        order = {
            "facts": facts,
            "submission": str(submission),
            "options": case.naive,
            "report": str(report),
            "kind": "file" if case.challenge == "selection" else "code",
        }
        order_file.write_text(json.dumps(order))
        patience = 5.0 if case.evidence == "timeout" else 180.0
        process = subprocess.Popen(
            [sys.executable, str(HERE / "naive.py"), str(order_file), world.marker],
            env=world.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        late = False
        words = b""
        try:
            words, _ = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            late = True
        alive = world.survivors()
        world.kill_survivors()
        if late:
            words, _ = process.communicate()
        log_file = Path(f"{report}.log")
        log = log_file.read_bytes() if log_file.exists() else b""
        found = evidence_in_log(world, case, log)
        answer = json.loads(report.read_text()) if report.exists() else None
        if late:
            found.add("timeout")
        elif answer is None:
            found.add("crash")
        else:
            found |= _evidence_in_answer(case, answer)
            if alive:
                found.add("survivor")
        if world.changed(before):
            found.add("changed")
        if (world.root / "drop" / case.name).exists():
            found.add("file")
        if world.leftovers():
            found.add("left")
        if len(log) > 4 << 20:
            found.add("flood")
        if b"\x1b" in log:
            found.add("escape")
        if servers.received():
            found.add("did")
        return found, (words + b"\n" + log[-3000:]).decode(errors="replace")


def _evidence_in_answer(case: Case, answer: dict[str, Any]) -> set[str]:
    found = {"accepted"} if answer["ok"] else set()
    if answer["source"] == "default":
        found.add("default")
    else:
        found |= evidence_in_scores(case, answer["scores"])
    if answer.get("wall") is not None and answer["wall"] < 0.1:
        found.add("untimed")
    if answer.get("unpacked", 0) > 64 << 20:
        found.add("bomb")
    return found

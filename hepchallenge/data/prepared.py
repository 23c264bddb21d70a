"""Prepared folders: a challenge's data in columns, made once from published files or simulated.

A prepared folder holds one `<table>.arrow` a table, whatever else the challenge needs, and `manifest.json`,
which says what it is and what it was made from. It never changes once it has its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from hepchallenge.contract.challenge import builtin_folder
from hepchallenge.contract.config import ToyDefaults, read_config
from hepchallenge.contract.problem import PROBLEM_NAME
from hepchallenge.data.files import built_folder, cache_root, sha256_of, told_when_full, write_json
from hepchallenge.data.tables import (
    BatchWriter,
    recorded_sources,
    table_digest,
    visible_files,
    write_table,
)
from hepchallenge.exceptions import DataError, UsageError

__all__ = [
    "FORMAT",
    "MANIFEST_NAME",
    "FileRecord",
    "Manifest",
    "PreparedWriter",
    "find_manifest",
    "open_prepared",
    "prepare_source",
    "prepare_toy",
    "read_manifest",
    "write_prepared",
    "writing_prepared",
]

FORMAT = 1
"""Version of the layout of prepared folders."""

MANIFEST_NAME = "manifest.json"

Prepare = Callable[[Path, Path], None]
MakeToy = Callable[..., None]
Waiting = Callable[[], None] | None


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """A file by name, content and length in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a prepared folder holds and what it was made from."""

    challenge: str
    kind: Literal["toy", "real"]
    rows: dict[str, int]
    tables: dict[str, str]
    """Digest of every table's values."""
    files: tuple[FileRecord, ...]
    """Every file of the folder but the manifest."""
    sources: tuple[FileRecord, ...] = ()
    """The published files; empty for toy data."""
    info: dict[str, Any] = field(default_factory=dict)
    """What the challenge says about its data, such as the seed of a split or of a simulation."""
    made_by: str = ""
    """Digest of the code that made the folder."""
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """The data digest of every record: SHA-256 over challenge, kind and content, hexadecimal.

        It depends on values only, not on the library version that wrote them or the place where they lie.
        """
        others = {f.name: f.sha256 for f in self.files if not f.name.endswith(".arrow")}
        content = {"challenge": self.challenge, "kind": self.kind, "tables": self.tables, "files": others}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as `manifest.json` holds it."""
        return asdict(self)


def _record(file: Path, root: Path) -> FileRecord:
    name = file.relative_to(root).as_posix()
    return FileRecord(name=name, sha256=sha256_of(file), size=file.stat().st_size)


# --- Writing


def write_prepared(
    target: Path, tables: Mapping[str, pa.Table], info: Mapping[str, Any] | None = None
) -> None:
    """Write the tables of a prepared folder, as `prepare_data` and `make_toy_data` of a challenge do.

    Parameters
    ----------
    target : Path
        The folder that the framework gave; it exists. Other files may be written next to the tables.
    tables : mapping of str to pyarrow.Table
        Tables by name (`train`, `test`, ...); numbers, booleans and strings without nulls.
    info : mapping, optional
        Anything that JSON can hold and that helps to understand the data: seeds, proportions, choices made.

    Notes
    -----
    The framework adds to the manifest what only it knows: challenge, kind, sources and file digests.
    """
    with writing_prepared(target) as writer:
        for name, table in tables.items():
            writer.add(name, table)
        writer.info.update(info or {})


class PreparedWriter:
    """The tables of a prepared folder in the making; see `writing_prepared`.

    Attributes
    ----------
    info : dict
        What to tell about the data; it may be filled until the end.
    """

    def __init__(self, target: Path) -> None:
        self.info: dict[str, Any] = {}
        self._target = target
        self._rows: dict[str, int] = {}
        self._digests: dict[str, str] = {}
        self._streams: dict[str, BatchWriter] = {}

    def add(self, name: str, table: pa.Table) -> None:
        """Write a whole table."""
        write_table(self._target / f"{name}.arrow", table)
        self._rows[name], self._digests[name] = table.num_rows, table_digest(table)

    def stream(self, name: str, schema: pa.Schema) -> BatchWriter:
        """Begin a table that comes in batches, whatever number of them; it is closed with the folder."""
        self._streams[name] = BatchWriter(self._target / f"{name}.arrow", schema)
        return self._streams[name]

    def close(self) -> None:
        """Close the files of the tables that came in batches."""
        for name, stream in self._streams.items():
            stream.close()
            self._rows[name], self._digests[name] = stream.rows, stream.digest

    def _manifest(self) -> dict[str, Any]:
        return {"rows": self._rows, "tables": self._digests, "info": self.info}


@contextlib.contextmanager
def writing_prepared(target: Path) -> Iterator[PreparedWriter]:
    """Write a prepared folder table by table, or batch by batch; the manifest follows at the end.

    The same as `write_prepared` for data that do not fit into memory.

    Examples
    --------
    >>> with writing_prepared(folder) as writer:  # doctest: +SKIP
    ...     hits = writer.stream("train-hits", schema)
    ...     for batch in batches:
    ...         hits.write(batch)
    """
    target.mkdir(parents=True, exist_ok=True)
    with told_when_full(target):
        writer = PreparedWriter(target)
        try:
            yield writer
        finally:
            writer.close()
    write_json(target / MANIFEST_NAME, writer._manifest())


def _finish(folder: Path, challenge: str, kind: Literal["toy", "real"], made_by: str, sources: Any) -> None:
    """Complete the manifest that `write_prepared` began."""
    file = folder / MANIFEST_NAME
    if not file.is_file():
        expected = "tables written by hepchallenge.data.write_prepared"
        raise DataError(folder, f"{kind} data of {challenge}", expected, "none")
    begun = json.loads(file.read_text(encoding="utf-8"))
    files = sorted(f for f in folder.rglob("*") if f.is_file() and f != file)
    manifest = Manifest(
        challenge=challenge,
        kind=kind,
        rows=begun["rows"],
        tables=begun["tables"],
        info=begun["info"],
        files=tuple(_record(f, folder) for f in files),
        sources=tuple(sources),
        made_by=made_by,
    )
    write_json(file, manifest.to_dict())


# --- Reading


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a prepared folder and check that every file is there in full length.

    Raises
    ------
    DataError
        If there is no manifest, it is not of this format, or a file is missing or has another length.
    """
    file = folder / MANIFEST_NAME
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise DataError(file, "format", str(FORMAT), str(values["format"]))
        for key in ("files", "sources"):
            values[key] = tuple(FileRecord(**record) for record in values[key])
        manifest = Manifest(**values)
    except FileNotFoundError:
        raise DataError(file, "file", "the manifest of a prepared folder", "no such file") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(file, "content", "a complete manifest", f"{type(error).__name__}: {error}") from None
    for record in manifest.files:
        path = folder / record.name
        size = path.stat().st_size if path.is_file() else None
        if size != record.size:
            found = "no such file" if size is None else f"{size} bytes"
            raise DataError(path, "size", f"{record.size} bytes", found)
    return manifest


def find_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a prepared folder, or None if the folder is not one."""
    return read_manifest(folder) if (folder / MANIFEST_NAME).is_file() else None


def _usable(challenge: str, made_by: str) -> Callable[[Path], bool]:
    def usable(folder: Path) -> bool:
        try:
            manifest = read_manifest(folder)
        except DataError:
            return False
        return manifest.challenge == challenge and manifest.made_by == made_by

    return usable


# --- Making


def _home(function: Callable[..., Any]) -> Path:
    """Return the folder of the challenge that a function belongs to."""
    return Path(inspect.getfile(inspect.unwrap(function))).resolve().parent


def code_digest(function: Callable[..., Any]) -> str:
    """Hash the code that may shape what a challenge's function writes: prepared data of older code is stale.

    For a built-in challenge that is every built-in challenge (they share simulations), the metrics (whose
    kernels scale weights) and the data room; for another, the Python files of its folder.
    """
    home = _home(function)
    if builtin_folder() in home.parents:
        room = Path(__file__).resolve().parent
        metrics = (room.parent / "scoring").resolve()
        files = [*builtin_folder().rglob("*.py"), *metrics.rglob("*.py"), *room.glob("*.py")]
    else:
        files = [*home.glob("*.py"), *home.glob("external_imports/**/*.py")]
    digest = hashlib.sha256(str(FORMAT).encode())
    for file in sorted(files):
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _slot(challenge: str, kind: str, *parts: object) -> Path:
    key = hashlib.sha256(json.dumps([challenge, kind, *parts]).encode()).hexdigest()[:16]
    return cache_root() / challenge / "prepared" / f"{kind}-{key}"


def prepare_toy(
    challenge: str,
    make_toy: MakeToy,
    *,
    seed: int | None = None,
    events: int | None = None,
    hits: int | None = None,
    waiting: Waiting = None,
) -> Path:
    """Return the prepared folder of a challenge's toy data, simulated on first use.

    Parameters
    ----------
    make_toy : function
        `make_toy_data(target, seed=..., n_events=...)` of the challenge; it may take `n_hits` as well.
    seed, events, hits : int, optional
        By default those of `[toy]` in the `challenge.toml` next to the function.

    Raises
    ------
    UsageError
        If a number of hits is given and the challenge's events have none.
    """
    defaults: ToyDefaults = read_config(_home(make_toy)).toy
    seed = defaults.seed if seed is None else seed
    events = defaults.events if events is None else events
    hits = defaults.hits if hits is None else hits
    if hits is not None and "n_hits" not in inspect.signature(make_toy).parameters:
        raise UsageError(f"{challenge}: a number of hits was given, but its toy data have no hits")
    sizes = {} if hits is None else {"n_hits": hits}
    made_by = code_digest(make_toy)

    def build(folder: Path) -> None:
        make_toy(folder, seed=seed, n_events=events, **sizes)
        _finish(folder, challenge, "toy", made_by, ())

    target = _slot(challenge, "toy", seed, events, *sizes.values(), made_by)
    return built_folder(target, build, usable=_usable(challenge, made_by), waiting=waiting)


def _fingerprint(source: Path) -> list[tuple[str, int, int, int]]:
    """Return name, length and times of every file: cheap, and different whenever a file was written again."""
    root = source.parent if source.is_file() else source
    stats = ((file.relative_to(root).as_posix(), file.stat()) for file in visible_files(source))
    return [(name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in stats]


def prepare_source(challenge: str, prepare: Prepare, source: Path, *, waiting: Waiting = None) -> Path:
    """Return the prepared folder of published files, made on first use.

    Parameters
    ----------
    prepare : function
        `prepare_data(source, target)` of the challenge.
    source : Path
        A folder with the published files, or one file.

    Raises
    ------
    DataError
        If the source does not exist or the challenge finds it wrong.
    InfrastructureError
        If the disk is full. Nothing half-written is left behind in any case.
    """
    source = source.resolve()
    if not source.exists():
        raise DataError(source, "path", f"the published files of {challenge}", "no such file or folder")
    made_by = code_digest(prepare)
    target = _slot(challenge, "real", _fingerprint(source), made_by)

    def build(folder: Path) -> None:
        with recorded_sources() as opened:
            prepare(source, folder)
        # A challenge that reads in its own way, not through `Published`, used any of the files.
        used = sorted(opened) or visible_files(source)
        root = source.parent if source.is_file() else source
        _finish(folder, challenge, "real", made_by, (_record(file, root) for file in used))

    return built_folder(target, build, usable=_usable(challenge, made_by), waiting=waiting)


def open_prepared(
    path: str | os.PathLike[str],
    *,
    challenge: str,
    prepare: Prepare | None = None,
    make_toy: MakeToy | None = None,
    waiting: Waiting = None,
) -> Path:
    """Return the prepared folder that belongs to a path, making it on first use.

    Parameters
    ----------
    path : path
        One of: a prepared folder; a folder with the published files, or with a subfolder `data/` that holds
        them; one published file; the folder of a challenge (with its `problem.py`) without data, for which
        toy data are simulated, so that `ramp-test` runs a challenge as it is.
    challenge : str
        Name of the challenge.
    prepare, make_toy : function, optional
        The challenge's `prepare_data` and `make_toy_data`.
    waiting : function, optional
        Called once if another process is preparing data of this challenge.

    Raises
    ------
    DataError
        If the path is none of these, is a prepared folder of another challenge, or is damaged.
    """
    folder = Path(path)
    if (folder / MANIFEST_NAME).is_file():
        manifest = read_manifest(folder)
        if manifest.challenge != challenge:
            found = f"those of {manifest.challenge}"
            raise DataError(folder / MANIFEST_NAME, "challenge", f"the data of {challenge}", found)
        return folder.resolve()
    data = folder / "data"
    if (data / MANIFEST_NAME).is_file():
        return open_prepared(data, challenge=challenge)
    has_data = data.is_dir() and bool(visible_files(data))
    if (folder / PROBLEM_NAME).is_file() and not has_data:
        if make_toy is None:
            raise DataError(folder, "path", f"the data of {challenge}", "none, and it simulates no toy data")
        return prepare_toy(challenge, make_toy, waiting=waiting)
    if prepare is None:
        raise DataError(folder, "path", f"a prepared folder of {challenge}", "something else")
    return prepare_source(challenge, prepare, data if has_data else folder, waiting=waiting)

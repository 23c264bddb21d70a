"""Taking submissions in: copied once, checked on open descriptors, known by the digest of their files.

Reading a submission never executes it. What is not a plain file or folder is refused, so that the
copy holds nothing that leads elsewhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from hepchallenge.exceptions import InfrastructureError, InvalidSubmission, UsageError
from hepchallenge.records import Submission

__all__ = ["PREDICTION_FILES", "TakenIn", "take_in"]

PREDICTION_FILES = tuple(f"submission{ending}" for ending in (".csv", ".csv.gz", ".csv.zip", ".parquet"))
"""Names under which a folder may hold predictions instead of code."""

_MAX_FILES = 2000
_MAX_DEPTH = 16
_MAX_FILE_BYTES = 512 * 1024**2
_MAX_TOTAL_BYTES = 1024**3
_SKIPPED = {"__pycache__", ".git", ".ipynb_checkpoints", "training_output"}
_TOML_KEYS = {"team": str, "title": str, "description": str, "links": list, "parameters": int}
_MAX_TOML_BYTES = 64 * 1024
_MAX_PARAMETERS = 10**15
# Surrogates stand for bytes that are no UTF-8, which neither a digest nor a database takes.
_UNFIT = r"\x00-\x1f\x7f-\x9f\ud800-\udfff"
_NAME = re.compile(rf"[^{_UNFIT}/\\]{{1,100}}")
_UNFIT_IN_FILE_NAME = re.compile(rf"[{_UNFIT}\\]")
_UNFIT_IN_LINE = re.compile(rf"[{_UNFIT}]")
_UNFIT_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class TakenIn:
    """A submission in the workspace: its record and the read-only copy that is run."""

    record: Submission
    folder: Path
    prediction_file: Path | None = None


def _open_plain(path: str | os.PathLike[str], name: str, folder_fd: int | None = None) -> int:
    """Open a plain file without following a link; anything else is refused before a byte is read."""
    try:
        # Non-blocking, so that opening a fifo returns and can be refused.
        descriptor = os.open(
            path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd
        )
    except OSError as error:
        raise InvalidSubmission(
            f"{name}: expected a plain file that can be read, found {error.strerror}"
        ) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise InvalidSubmission(f"{name}: expected a plain file, found a special one")
    return descriptor


def _walk(folder_fd: int, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    """Yield relative name and open descriptor of every plain file below a folder, in sorted order."""
    if depth > _MAX_DEPTH:
        raise InvalidSubmission(f"{prefix[:200]}: folders are nested more than {_MAX_DEPTH} deep")
    try:
        entries = sorted(os.listdir(folder_fd))
    except OSError as error:
        raise InvalidSubmission(f"{prefix or 'the folder'}: cannot be listed: {error.strerror}") from None
    for entry in entries:
        if entry in _SKIPPED or entry.endswith(".pyc"):
            continue
        name = f"{prefix}{entry}"
        if _UNFIT_IN_FILE_NAME.search(entry):
            raise InvalidSubmission(
                f"{name!a}: file names are UTF-8 without control characters and backslashes"
            )
        mode = os.stat(entry, dir_fd=folder_fd, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            try:
                child = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder_fd)
            except OSError as error:
                raise InvalidSubmission(f"{name}: cannot be opened: {error.strerror}") from None
            try:
                yield from _walk(child, f"{name}/", depth + 1)
            finally:
                os.close(child)
        elif stat.S_ISLNK(mode):
            raise InvalidSubmission(f"{name}: links are not taken; copy the file in its place")
        else:
            yield name, _open_plain(entry, name, folder_fd)


def _copy(descriptor: int, target: Path, name: str) -> tuple[str, int]:
    """Copy an open file and return its SHA-256 and size."""
    digest = hashlib.sha256()
    size = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "xb") as out:
        while data := os.read(descriptor, 1 << 20):
            size += len(data)
            if size > _MAX_FILE_BYTES:
                raise InvalidSubmission(
                    f"{name}: larger than the {_MAX_FILE_BYTES // 2**20} MiB allowed a file"
                )
            digest.update(data)
            out.write(data)
    os.chmod(target, 0o444)
    return digest.hexdigest(), size


def _copy_all(source: Path, target: Path) -> str:
    """Copy a submission's plain files and return the digest over their names and contents."""
    digest = hashlib.sha256()
    total = count = 0
    seen: dict[str, str] = {}
    if source.is_dir():
        root = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
        files: Iterator[tuple[str, int]] = _walk(root)
    else:
        root = -1
        ending = source.name[source.name.index(".") :] if "." in source.name else ""
        name = f"submission{ending}"
        files = iter([(name, _open_plain(source, source.name))])
    try:
        for name, descriptor in files:
            try:
                count += 1
                if count > _MAX_FILES:
                    raise InvalidSubmission(f"more than {_MAX_FILES} files")
                if (other := seen.setdefault(name.casefold(), name)) != name:
                    raise InvalidSubmission(f"{name} and {other} differ in case only")
                content, size = _copy(descriptor, target / PurePosixPath(name), name)
            finally:
                os.close(descriptor)
            total += size
            if total > _MAX_TOTAL_BYTES:
                raise InvalidSubmission(f"larger than the {_MAX_TOTAL_BYTES // 2**20} MiB allowed in all")
            digest.update(f"{name}\0{content}\n".encode())
    finally:
        if root >= 0:
            os.close(root)
    if not count:
        raise InvalidSubmission("the folder holds no file")
    return digest.hexdigest()


def _read_facts(folder: Path) -> dict[str, Any]:
    """Return the checked content of `submission.toml`; an absent file says nothing."""
    path = folder / "submission.toml"
    if not path.is_file():
        return {}
    if path.stat().st_size > _MAX_TOML_BYTES:
        raise InvalidSubmission(f"submission.toml: larger than the {_MAX_TOML_BYTES // 1024} KiB allowed")
    try:
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidSubmission(f"submission.toml: {str(error)[:200]}") from None
    for key, value in facts.items():
        _check_fact(key, value)
    links = facts.get("links", [])
    if not all(isinstance(link, str) and re.fullmatch(r"https?://[!-~]{1,500}", link) for link in links):
        raise InvalidSubmission("submission.toml: links: expected a list of http(s) addresses")
    if not 0 <= facts.get("parameters", 0) <= _MAX_PARAMETERS:
        raise InvalidSubmission(f"submission.toml: parameters: expected a number from 0 to {_MAX_PARAMETERS}")
    return {**facts, "links": tuple(links)}


def _check_fact(key: str, value: Any) -> None:
    kind = _TOML_KEYS.get(key)
    if kind is None:
        known = ", ".join(sorted(_TOML_KEYS))
        raise InvalidSubmission(f"submission.toml: unknown key {key[:60]!r} (known: {known})")
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InvalidSubmission(
            f"submission.toml: {key}: expected {kind.__name__}, found {type(value).__name__}"
        )
    if isinstance(value, str):
        if len(value) > 4000:
            raise InvalidSubmission(f"submission.toml: {key}: longer than 4000 characters")
        unfit = _UNFIT_IN_TEXT if key == "description" else _UNFIT_IN_LINE
        if unfit.search(value):
            raise InvalidSubmission(f"submission.toml: {key}: control characters are not taken")


def _kind_of(
    folder: Path, elements: Sequence[str], takes_predictions: bool
) -> tuple[Literal["code", "predictions"], Path | None]:
    """Tell code from predictions by the files that are there."""
    needed = [name if "." in name else f"{name}.py" for name in elements]
    missing = [name for name in needed if not (folder / name).is_file()]
    files = [folder / name for name in PREDICTION_FILES if (folder / name).is_file()]
    # A workflow of the challenge's own may keep its files' names to itself.
    if not missing and (needed or not (files and takes_predictions)):
        return "code", None
    if len(files) > 1:
        raise InvalidSubmission(f"expected one prediction file, found {', '.join(f.name for f in files)}")
    if files:
        if not takes_predictions:
            raise InvalidSubmission(f"{files[0].name}: this challenge takes code, not predictions")
        return "predictions", files[0]
    either = f", or one of {', '.join(PREDICTION_FILES)}" if takes_predictions else ""
    present = ", ".join(sorted(p.name for p in folder.iterdir()))[:300]
    raise InvalidSubmission(f"expected {', '.join(missing)}{either}; found {present}")


def submission_name(source: Path) -> str:
    """Return the name under which a folder or prediction file is known."""
    resolved = source.resolve()
    name = resolved.name if resolved.is_dir() else resolved.name.partition(".")[0]
    if name == "submission" and not resolved.is_dir():
        name = resolved.parent.name
    if not _NAME.fullmatch(name):
        raise InvalidSubmission(
            "the submission's folder name: expected at most 100 printable characters without slashes"
        )
    return name


def take_in(source: Path, store: Path, elements: Sequence[str], takes_predictions: bool) -> TakenIn:
    """Copy a submission into `store` under its digest and return its record.

    Parameters
    ----------
    source
        A folder, or a single prediction file.
    store
        Folder of all copies; an equal submission is stored once.
    elements
        The workflow's element names; one without an ending is a Python file.
    takes_predictions
        Whether the challenge takes prediction files.

    Raises
    ------
    UsageError
        If there is nothing at `source`.
    InvalidSubmission
        If it holds links, special files, too much, or not what the challenge takes.
    """
    if not source.exists():
        raise UsageError(f"{source}: no such submission folder or prediction file")
    name = submission_name(source)
    try:
        store.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=store, prefix=".incoming-"))
    except OSError as error:
        raise InfrastructureError(f"cannot copy submissions to {store}: {error.strerror}") from error
    try:
        digest = _copy_all(source, work)
        kind, prediction_file = _kind_of(work, elements, takes_predictions)
        facts = _read_facts(work)
        target = store / digest
        if not target.exists():
            os.chmod(work, 0o755)
            # Another command may have taken in the same submission meanwhile.
            with contextlib.suppress(OSError):
                os.rename(work, target)
    except OSError as error:
        raise InfrastructureError(f"cannot copy {name} to {store}: {error.strerror}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    record = Submission(name=name, digest=digest, kind=kind, **facts)
    return TakenIn(record, target, target / prediction_file.name if prediction_file else None)

"""Taking submissions in: copied once, checked on open descriptors, known by the digest of their files.

A folder and an archive of it are the same submission. Reading one never executes it. What is not a plain
file or folder is refused, so that the copy holds nothing that leads elsewhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
import tomllib
import unicodedata
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from hepchallenge.exceptions import InfrastructureError, InvalidSubmission, UsageError
from hepchallenge.records import Submission
from hepchallenge.stage.archive import ARCHIVES, Member, is_archive, member_path, open_archive

__all__ = ["PREDICTION_FILES", "TakenIn", "sweep_copies", "take_in", "taken_before"]

PREDICTION_FILES = tuple(f"submission{ending}" for ending in (".csv", ".csv.gz", ".csv.zip", ".parquet"))
"""Names under which a folder may hold predictions instead of code."""

_INCOMING = ".incoming-"
_ABANDONED_AFTER = 24 * 3600.0
_MAX_FILES = 2000
_MAX_ENTRIES = 10_000
_MAX_DEPTH = 16
_MAX_PATH_BYTES = 1000
_MAX_FILE_BYTES = 512 * 1024**2
_MAX_TOTAL_BYTES = 1024**3
_SKIPPED = {"__pycache__", ".git", ".ipynb_checkpoints", "training_output", "__MACOSX", ".DS_Store"}
_TOML_KEYS = {"team": str, "title": str, "description": str, "links": list, "parameters": int}
_MAX_TOML_BYTES = 64 * 1024
_MAX_PARAMETERS = 10**15
# Surrogates stand for bytes that are no UTF-8, which neither a digest nor a database takes.
_UNFIT = r"\x00-\x1f\x7f-\x9f\ud800-\udfff"
_NAME = re.compile(rf"[^{_UNFIT}/\\]{{1,100}}")
_UNFIT_IN_FILE_NAME = re.compile(rf"[{_UNFIT}\\]")
_UNFIT_IN_LINE = re.compile(rf"[{_UNFIT}]")
_UNFIT_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

# Relative names, and contents in pieces, each to be read before the next one is asked for.
_Files = Generator[tuple[str, Iterable[bytes]], None, None]


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


def _unfit_name(name: str) -> InvalidSubmission:
    return InvalidSubmission(
        f"{name!a:.200}: file names are UTF-8 without control characters and backslashes"
    )


def _list(folder_fd: int, prefix: str, seen: list[int]) -> list[str]:
    """Return the sorted names in a folder; `seen` holds how many entries there were in all so far."""
    names = []
    try:
        with os.scandir(folder_fd) as entries:
            for entry in entries:
                seen[0] += 1
                if seen[0] > _MAX_ENTRIES:
                    raise InvalidSubmission(f"more than {_MAX_ENTRIES} files and folders")
                names.append(entry.name)
    except OSError as error:
        raise InvalidSubmission(f"{prefix or 'the folder'}: cannot be listed: {error.strerror}") from None
    return sorted(names)


def _walk(folder_fd: int, prefix: str, seen: list[int], depth: int = 0) -> Iterator[tuple[str, int]]:
    """Yield relative name and open descriptor of every plain file below a folder, in sorted order."""
    if depth > _MAX_DEPTH:
        raise InvalidSubmission(f"{prefix[:200]}: folders are nested more than {_MAX_DEPTH} deep")
    for entry in _list(folder_fd, prefix, seen):
        if entry in _SKIPPED or entry.endswith(".pyc"):
            continue
        name = f"{prefix}{entry}"
        if _UNFIT_IN_FILE_NAME.search(entry):
            raise _unfit_name(name)
        try:
            mode = os.stat(entry, dir_fd=folder_fd, follow_symlinks=False).st_mode
        except OSError as error:
            raise InvalidSubmission(f"{name}: cannot be opened: {error.strerror}") from None
        if stat.S_ISDIR(mode):
            try:
                child = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder_fd)
            except OSError as error:
                raise InvalidSubmission(f"{name}: cannot be opened: {error.strerror}") from None
            try:
                yield from _walk(child, f"{name}/", seen, depth + 1)
            finally:
                os.close(child)
        elif stat.S_ISLNK(mode):
            raise InvalidSubmission(f"{name}: links are not taken; copy the file in its place")
        else:
            yield name, _open_plain(entry, name, folder_fd)


class _Names:
    """The files and folders of a submission; two that some file system takes for one are refused."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, bool]] = {}
        self._files = 0

    def take_file(self, name: str) -> None:
        """Check a file's relative name against all before it."""
        self._files += 1
        if self._files > _MAX_FILES:
            raise InvalidSubmission(f"more than {_MAX_FILES} files")
        if len(name.encode()) > _MAX_PATH_BYTES:
            raise InvalidSubmission(f"{name[:200]}: a path of more than {_MAX_PATH_BYTES} bytes")
        parts = name.split("/")
        if len(parts) > _MAX_DEPTH + 1:
            raise InvalidSubmission(f"{name[:200]}: folders are nested more than {_MAX_DEPTH} deep")
        for length in range(1, len(parts)):
            self._take("/".join(parts[:length]), is_file=False)
        self._take(name, is_file=True)

    def _take(self, path: str, is_file: bool) -> None:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())
        known = self._known.get(folded)
        if known is None:
            self._known[folded] = (path, is_file)
            return
        other, is_other_file = known
        if other != path:
            how = "case" if other.casefold() == path.casefold() else "the form of equal characters"
            raise InvalidSubmission(f"{path} and {other} differ in {how} only")
        if is_file != is_other_file:
            raise InvalidSubmission(f"{path}: is both a file and a folder")
        if is_file:
            raise InvalidSubmission(f"{path}: is there twice")


def _too_large(name: str) -> InvalidSubmission:
    return InvalidSubmission(f"{name}: larger than the {_MAX_FILE_BYTES // 2**20} MiB allowed a file")


def _too_large_in_all() -> InvalidSubmission:
    return InvalidSubmission(f"larger than the {_MAX_TOTAL_BYTES // 2**20} MiB allowed in all")


def _read(descriptor: int, name: str) -> Iterator[bytes]:
    """Give the content of an open file in pieces."""
    # A sparse file can claim to be larger than any disk.
    if os.fstat(descriptor).st_size > _MAX_FILE_BYTES:
        raise _too_large(name)
    while True:
        try:
            data = os.read(descriptor, 1 << 20)
        except OSError as error:
            raise InvalidSubmission(f"{name}: cannot be read: {error.strerror}") from None
        if not data:
            return
        yield data


def _in_folder(source: Path) -> _Files:
    try:
        root = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InvalidSubmission(f"the folder: cannot be opened: {error.strerror}") from None
    try:
        for name, descriptor in _walk(root, "", [0]):
            try:
                yield name, _read(descriptor, name)
            finally:
                os.close(descriptor)
    finally:
        os.close(root)


def _single_file(source: Path) -> _Files:
    ending = source.name[source.name.index(".") :] if "." in source.name else ""
    descriptor = _open_plain(source, source.name)
    try:
        yield f"submission{ending}", _read(descriptor, source.name)
    finally:
        os.close(descriptor)


def _in_archive(source: Path, scratch: Path) -> _Files:
    """Give an archive's files in the order in which a folder's are given, after a look at all of them."""
    descriptor = _open_plain(source, source.name)
    with open_archive(descriptor, source.name, scratch, _MAX_ENTRIES, _MAX_TOTAL_BYTES) as members:
        files = _checked_members(members)
        top = {parts[0] for parts, _ in files}
        # Most programs pack the folder itself, which makes no other submission of it.
        inner = 1 if len(top) == 1 and min(len(parts) for parts, _ in files) > 1 else 0
        for parts, member in sorted(files, key=lambda file: file[0]):
            yield "/".join(parts[inner:]), member.chunks()


def _checked_members(members: Sequence[Member]) -> list[tuple[tuple[str, ...], Member]]:
    names, files, total = _Names(), [], 0
    for member in members:
        parts = member_path(member.name)
        if not parts or any(_UNFIT_IN_FILE_NAME.search(part) or len(part.encode()) > 255 for part in parts):
            raise _unfit_name(member.name)
        if _SKIPPED.intersection(parts) or parts[-1].endswith(".pyc"):
            continue
        name = "/".join(parts)
        names.take_file(name)
        if member.size > _MAX_FILE_BYTES:
            raise _too_large(name)
        total += member.size
        if total > _MAX_TOTAL_BYTES:
            raise _too_large_in_all()
        files.append((parts, member))
    return files


def _copy(chunks: Iterable[bytes], target: Path, name: str) -> tuple[str, int]:
    """Copy a file's content and return its SHA-256 and size; owner, mode and times are our own."""
    digest = hashlib.sha256()
    size = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "xb") as out:
        for data in chunks:
            size += len(data)
            if size > _MAX_FILE_BYTES:
                raise _too_large(name)
            digest.update(data)
            out.write(data)
    os.chmod(target, 0o444)
    return digest.hexdigest(), size


def _copy_all(source: Path, target: Path) -> str:
    """Copy a submission's plain files and return the digest over their names and contents."""
    digest = hashlib.sha256()
    total = count = 0
    names = _Names()
    if source.is_dir():
        files = _in_folder(source)
    elif is_archive(source.name):
        files = _in_archive(source, target.parent)
    else:
        files = _single_file(source)
    with contextlib.closing(files):
        for name, chunks in files:
            count += 1
            names.take_file(name)
            content, size = _copy(chunks, target / PurePosixPath(name), name)
            total += size
            if total > _MAX_TOTAL_BYTES:
                raise _too_large_in_all()
            digest.update(f"{name}\0{content}\n".encode())
    if not count:
        raise InvalidSubmission(f"the {'folder' if source.is_dir() else 'archive'} holds no file")
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
    """Return the name under which a folder, an archive or a prediction file is known."""
    resolved = source.resolve()
    if resolved.is_dir():
        name = resolved.name
    elif is_archive(resolved.name):
        name = resolved.name[: -len(next(e for e in ARCHIVES if resolved.name.lower().endswith(e)))]
    else:
        name = resolved.name.partition(".")[0]
    if name == "submission" and not resolved.is_dir():
        name = resolved.parent.name
    if not _NAME.fullmatch(name):
        raise InvalidSubmission(
            "the submission's folder name or file name: expected at most 100 printable characters "
            "without slashes"
        )
    return name


def sweep_copies(store: Path) -> None:
    """Remove copies that commands were killed over, a day ago or longer.

    It looks at every submission in `store`: once for a command, not for each that is taken in.
    """
    with contextlib.suppress(OSError):
        for left in store.glob(f"{_INCOMING}*"):
            if time.time() - left.stat().st_mtime > _ABANDONED_AFTER:
                shutil.rmtree(left, ignore_errors=True)


def take_in(source: Path, store: Path, elements: Sequence[str], takes_predictions: bool) -> TakenIn:
    """Copy a submission into `store` under its digest and return its record.

    Parameters
    ----------
    source
        A folder, an archive of one, or a single prediction file.
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
        If it holds links, special files, too much, or not what the challenge takes; the message names the
        file or the archive's member.
    """
    if not source.exists():
        raise UsageError(f"{source}: no such submission folder, archive or prediction file")
    name = submission_name(source)
    try:
        store.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=store, prefix=_INCOMING))
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


def taken_before(record: Submission, store: Path) -> TakenIn | None:
    """Return the copy that `take_in` made of a submission; None if there is none in `store`."""
    folder = store / record.digest
    if not folder.is_dir():
        return None
    if record.kind == "code":
        return TakenIn(record, folder)
    file = next((folder / name for name in PREDICTION_FILES if (folder / name).is_file()), None)
    return None if file is None else TakenIn(record, folder, file)

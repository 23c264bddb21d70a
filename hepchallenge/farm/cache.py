"""What a node keeps of what it was sent: objects by the SHA-256 of their bytes, up to a number of bytes.

All worker processes of a host share one folder. What a job uses is pinned; of the rest, what was not used for
longest goes first. A process can be killed at any moment: its pins are locks, which the kernel frees, and
what it was writing has no name yet that anybody would look for.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from hepchallenge.exceptions import InfrastructureError
from hepchallenge.run.scratch import remove_tree

__all__ = ["Missing", "NodeCache", "default_folder", "shared_path"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_TREE = re.compile(r"[a-z]+-[0-9a-f]{64}")
_CHUNK = 1 << 20
_BLOCK = 4096
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_FILES = ("lock", "id", "boot", "used")
_FOLDERS = ("objects", "trees", "incoming", "pins")


class Missing(Exception):
    """Objects that are not in the cache; `digests` names them."""

    def __init__(self, digests: list[str]) -> None:
        super().__init__(f"{len(digests)} objects are not in the cache")
        self.digests = digests


def default_folder() -> Path:
    """Return the folder of this host's cache: HEPCHALLENGE_NODE_CACHE, or one of this user's own."""
    given = os.environ.get("HEPCHALLENGE_NODE_CACHE")
    return Path(given) if given else Path(tempfile.gettempdir()) / f"hepchallenge-node-{os.getuid()}"


def shared_path(folder: str | os.PathLike[str], digest: str) -> Path:
    """Return where an object lies in a folder that organiser and nodes share."""
    return Path(folder) / digest[:2] / digest


def _on_disk(size: int) -> int:
    """Return how much of a disk so many bytes take."""
    return -(-max(size, 1) // _BLOCK) * _BLOCK


def _size_of_tree(folder: Path) -> int:
    return _BLOCK + sum(_on_disk(path.lstat().st_size) for path in folder.rglob("*"))


def _in_pieces(path: Path) -> Iterator[bytes]:
    """Give the content of a plain file, of whoever it may be."""
    # Non-blocking, so that opening a pipe returns.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InfrastructureError(f"{path}: expected a plain file, found a special one")
        while piece := file.read(_CHUNK):
            yield piece


def _try_lock(path: Path) -> int | None:
    """Return a descriptor that holds a file or folder, or None if somebody else does."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


class _Part:
    """An object that is coming in piece by piece."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.size = 0
        self.sha256 = hashlib.sha256()
        self._descriptor = descriptor

    def add(self, data: bytes | memoryview) -> None:
        self.sha256.update(data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def close(self) -> None:
        """Forget what has no name in the cache by now."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self._descriptor)


class NodeCache:
    """Objects, and folders made of them, in one folder of this host. Methods may be called from any thread.

    Parameters
    ----------
    folder
        Made with mode 0700 if it is not there. It must be this user's and hold nothing else.
    cap_bytes
        How much of the disk it may take, what is coming in not counted.

    Attributes
    ----------
    id : str
        Random; two processes with the same id share a cache.

    Raises
    ------
    InfrastructureError
        If the folder is somebody else's, a link, not empty but no cache, or cannot be written.
    """

    def __init__(self, folder: Path, cap_bytes: int) -> None:
        self.folder = folder = folder.absolute()
        self.cap_bytes = cap_bytes
        self._parts: dict[str, _Part] = {}
        self._parts_lock = threading.Lock()
        with self._faults():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            facts = folder.lstat()
            if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
                raise InfrastructureError(
                    f"{folder}: expected a folder of this user's own for what nodes keep"
                )
            unknown = sorted(set(os.listdir(folder)) - {*_FILES, *_FOLDERS})
            if unknown:
                raise InfrastructureError(f"{folder}: expected what nodes keep, found {unknown[0]!a:.100}")
            folder.chmod(0o700)
            for name in _FOLDERS:
                (folder / name).mkdir(exist_ok=True)
            with self._locked():
                self._begin()

    def _begin(self) -> None:
        """Give the cache an id, and remove what was left by processes that were killed."""
        if not self._read("id"):
            self._write("id", secrets.token_hex(16))
        self.id = self._read("id")
        boot = _BOOT.read_text() if _BOOT.exists() else ""
        if boot != self._read("boot"):
            # A file may be shorter than it was if the whole host went down.
            for path in (*self._entries(), *(self.folder / "incoming").iterdir()):
                remove_tree(path) if path.is_dir() else path.unlink()
            self._write("used", "0")
            self._write("boot", boot)
        for path in (self.folder / "incoming").iterdir():
            # Who is at work there may be done meanwhile.
            with contextlib.suppress(FileNotFoundError):
                if (descriptor := _try_lock(path)) is not None:
                    remove_tree(path) if path.is_dir() else path.unlink()
                    os.close(descriptor)

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn errors of the file system into errors that name the cache."""
        try:
            yield
        except OSError as error:
            raise InfrastructureError(f"{self.folder}: cannot keep what was sent: {error}") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Be alone, among all threads and processes, with the names in the cache."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text()
        except FileNotFoundError:
            return ""

    def _write(self, name: str, text: str) -> None:
        beside = self.folder / "incoming" / f"{name}-{secrets.token_hex(8)}"
        beside.write_text(text)
        os.replace(beside, self.folder / name)

    # Names. An entry is an object, a plain file, or a tree, a folder that was made of one.

    def _object(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise InfrastructureError(f"expected a SHA-256 in hexadecimal, found {digest!a:.100}")
        return self.folder / "objects" / digest[:2] / digest

    def _tree(self, name: str) -> Path:
        if not _TREE.fullmatch(name):
            raise InfrastructureError(f"expected a word and a SHA-256 in hexadecimal, found {name!a:.100}")
        return self.folder / "trees" / name

    def _entries(self) -> list[Path]:
        objects = (self.folder / "objects").glob("*/*")
        return [*objects, *(self.folder / "trees").iterdir()]

    def path(self, digest: str) -> Path | None:
        """Return the file of an object, or None. Only what is pinned is sure to stay."""
        path = self._object(digest)
        return path if path.exists() else None

    def has_tree(self, name: str) -> bool:
        """Whether a folder has been made. Only what is pinned is sure to stay."""
        return self._tree(name).exists()

    # Room

    def _make_room(self, size: int) -> None:
        """Count `size` bytes more, and let go of what was not used for longest if that is too much.

        What is counted is never less than what is there: it is written before a file gets its name.
        """
        used = self._read("used")
        total = int(used) if used.isdigit() else self.cap_bytes
        if total + size > self.cap_bytes:
            total = self._evict(size)
        self._write("used", str(total + size))

    def _evict(self, size: int) -> int:
        """Make room for `size` bytes, and for a tenth of all beyond, and return how much is left."""
        pinned = self._pinned()
        entries = []
        for path in self._entries():
            facts = path.lstat()
            held = _size_of_tree(path) if stat.S_ISDIR(facts.st_mode) else _on_disk(facts.st_size)
            entries.append((facts.st_mtime_ns, held, path))
        total = sum(held for _, held, _ in entries)
        goal = self.cap_bytes - self.cap_bytes // 10
        for _, held, path in sorted(entries):
            if total + size <= goal:
                break
            if str(path.relative_to(self.folder)) in pinned:
                continue
            if path.is_dir():
                # In one step: half a tree would look like a whole one.
                gone = self.folder / "incoming" / f"gone-{secrets.token_hex(8)}"
                path.rename(gone)
                remove_tree(gone)
            else:
                path.unlink()
            total -= held
        if total + size > self.cap_bytes:
            self._write("used", str(total))
            raise InfrastructureError(
                f"{self.folder}: {size} bytes more are needed beside {total} that jobs use, "
                f"and the cache may have {self.cap_bytes}"
            )
        return total

    def _pinned(self) -> set[str]:
        """Return what processes that are alive have pinned."""
        names: set[str] = set()
        for path in (self.folder / "pins").iterdir():
            with contextlib.suppress(FileNotFoundError):
                descriptor = _try_lock(path)
                if descriptor is None:
                    names.update(path.read_text().splitlines())
                else:
                    path.unlink()
                    os.close(descriptor)
        return names

    # Taking in

    def _new_part(self) -> _Part:
        with self._locked():
            descriptor, name = tempfile.mkstemp(dir=self.folder / "incoming")
            # Before anybody who sweeps can look at it.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        return _Part(Path(name), descriptor)

    def _enter(self, part: _Part, digest: str) -> None:
        """Give what has come its name."""
        if (found := part.sha256.hexdigest()) != digest:
            raise InfrastructureError(
                f"an object that was damaged on its way: expected {digest}, found {found}"
            )
        part.path.chmod(0o444)
        target = self._object(digest)
        with self._locked():
            if not target.exists():
                self._make_room(_on_disk(part.size))
                target.parent.mkdir(exist_ok=True)
                os.rename(part.path, target)

    def put(self, digest: str, content: bytes | Path | Iterable[bytes]) -> None:
        """Keep an object: its bytes, a file that holds them, or pieces of them.

        Raises
        ------
        InfrastructureError
            If they have another digest, or there is no room beside what is pinned; nothing is left then.
        """
        if self.path(digest) is not None:
            return
        pieces: Iterable[bytes] = [content] if isinstance(content, bytes) else ()
        if isinstance(content, Path):
            pieces = _in_pieces(content)
        elif not isinstance(content, bytes):
            pieces = content
        with self._faults():
            part = self._new_part()
            try:
                for piece in pieces:
                    part.add(piece)
                self._enter(part, digest)
            finally:
                part.close()

    def put_piece(self, digest: str, offset: int, total: int, piece: bytes) -> int:
        """Keep a piece of an object; with the last one the object is there.

        A piece that has come before changes nothing.

        Returns
        -------
        int
            How many bytes have come, from the first one on without a gap: where to go on.

        Raises
        ------
        InfrastructureError
            If more came than there should be, or as for `put`; it has to be sent from the beginning then.
        """
        if self.path(digest) is not None:
            return total
        with self._parts_lock, self._faults():
            part = self._parts.pop(digest, None) or self._new_part()
            with contextlib.ExitStack() as stack:
                stack.callback(part.close)
                if offset <= part.size < offset + len(piece):
                    part.add(memoryview(piece)[part.size - offset :])
                if part.size < total:
                    stack.pop_all()
                    self._parts[digest] = part
                    return part.size
                if part.size > total:
                    raise InfrastructureError(f"expected an object of {total} bytes, found {part.size}")
                self._enter(part, digest)
        return total

    def drop_pieces(self) -> None:
        """Forget objects of which only a part has come to this process."""
        with self._parts_lock:
            while self._parts:
                self._parts.popitem()[1].close()

    # Use

    def _pin(self, paths: Sequence[Path]) -> tuple[list[Path], Callable[[], None]]:
        """Pin entries unless some are absent; return those, and what lets go of the others."""
        with self._faults(), self._locked():
            absent = []
            for path in paths:
                try:
                    os.utime(path)
                except FileNotFoundError:
                    absent.append(path)
            if absent:
                return absent, lambda: None
            descriptor, name = tempfile.mkstemp(dir=self.folder / "pins")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            text = "".join(f"{path.relative_to(self.folder)}\n" for path in paths)
            os.write(descriptor, text.encode())

        def let_go() -> None:
            with contextlib.suppress(OSError):
                os.unlink(name)
            os.close(descriptor)

        return [], let_go

    @contextlib.contextmanager
    def pin(self, digests: Iterable[str]) -> Iterator[dict[str, Path]]:
        """Keep objects in the cache for a while; gives their files by digest.

        Raises
        ------
        Missing
            If some are not there; none is pinned then.
        """
        paths = {digest: self._object(digest) for digest in digests}
        absent, let_go = self._pin(list(paths.values()))
        if absent:
            raise Missing([path.name for path in absent])
        try:
            yield paths
        finally:
            let_go()

    @contextlib.contextmanager
    def tree(self, name: str, make: Callable[[Path], Path]) -> Iterator[Path]:
        """Keep a folder in the cache for a while; it is made if it is not there.

        Parameters
        ----------
        name
            A word and a digest that says all that is in it, `submission-<sha256>`.
        make
            Given an empty folder to work in, returns the finished one, in it or itself.
        """
        target = self._tree(name)
        while True:
            absent, let_go = self._pin([target])
            if not absent:
                break
            with self.scratch() as work:
                made = make(work)
                size = _size_of_tree(made)
                with self._faults(), self._locked():
                    if not target.exists():
                        self._make_room(size)
                        made.rename(target)
        try:
            yield target
        finally:
            let_go()

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give an empty folder on the cache's disk; it is removed, at the latest after this process's end."""
        with self._faults(), self._locked():
            work = Path(tempfile.mkdtemp(dir=self.folder / "incoming"))
            descriptor = _try_lock(work)
        try:
            # What lies below may become a tree, and is opened by who runs in a sandbox.
            yield work
        finally:
            remove_tree(work)
            if descriptor is not None:
                os.close(descriptor)

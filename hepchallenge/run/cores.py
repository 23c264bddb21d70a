"""Leases of this host's cores, so that the runs of several processes of one user do not time each other.

Every core has two files in a folder of the user's own, locked with `flock`: who has a core for itself locks
its `.own` file; who has to share it locks its `.shared` file together with the others that do, and leaves a
byte there, by which the owner notices it even after it has gone. The kernel frees all locks of a process that
ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from hepchallenge.exceptions import InfrastructureError

__all__ = ["CoreLease", "Mark", "check_folder", "core_folder", "lease_cores"]

_MOST_WAITING = 2.0
"""Seconds to wait for another process that leases at the same moment."""

Mark = tuple[int, ...] | None
"""How often each leased core was shared so far; None if one is shared now."""


def core_folder() -> Path:
    """Return where the processes of this user meet.

    The same for all of them: `TMPDIR` and `XDG_RUNTIME_DIR` are others in a batch job than in a shell.
    """
    return Path("/tmp") / f"hepchallenge-cores-{os.getuid()}"


def _open_folder(folder: Path) -> int:
    """Make and open the folder, which must be this user's alone and no link."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    about = os.fstat(descriptor)
    if about.st_uid != os.getuid() or stat.S_IMODE(about.st_mode) & 0o077:
        os.close(descriptor)
        raise PermissionError(f"{folder}: expected a folder of this user's alone (mode 700)")
    return descriptor


def _open_file(folder: int, name: str) -> int:
    # Python opens it close-on-exec, so no submission's process can keep a lock alive.
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600, dir_fd=folder)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _alone(folder: int) -> Iterator[None]:
    """Let no other process lease meanwhile, else two could each get half of what they want."""
    descriptor = _open_file(folder, "leasing")
    try:
        until = time.monotonic() + _MOST_WAITING
        # One that is stopped in here must not stop all others: they lease without order then.
        while not _try_lock(descriptor) and time.monotonic() < until:
            time.sleep(0.001)
        yield
    finally:
        os.close(descriptor)


class _Core:
    """One core's two files; closing them lets go of it."""

    def __init__(self, folder: int, number: int) -> None:
        self.number = number
        self._own = _open_file(folder, f"{number}.own")
        try:
            self._shared = _open_file(folder, f"{number}.shared")
        except OSError:
            os.close(self._own)
            raise

    def own(self) -> bool:
        """Try to have it, which does not hinder those that share it already."""
        return _try_lock(self._own)

    def disown(self) -> None:
        """Give it back."""
        fcntl.flock(self._own, fcntl.LOCK_UN)

    def share(self) -> None:
        """Be one of those that share it, and leave a trace of it."""
        # Who owns it asks for this lock for a moment only.
        fcntl.flock(self._shared, fcntl.LOCK_SH)
        os.write(self._shared, b".")

    def unshare(self) -> None:
        """Be none of them any more."""
        fcntl.flock(self._shared, fcntl.LOCK_UN)

    def is_shared(self) -> bool:
        """Whether others share it now; only for who does not."""
        if not _try_lock(self._shared):
            return True
        fcntl.flock(self._shared, fcntl.LOCK_UN)
        return False

    def times_shared(self) -> int:
        """How often it was shared since this was last set back."""
        return os.fstat(self._shared).st_size

    def set_back(self) -> None:
        """Forget how often it was shared; only for its owner, while nobody shares it."""
        os.ftruncate(self._shared, 0)

    def is_known(self) -> bool:
        """Whether others still find the files that are locked here."""
        return bool(os.fstat(self._own).st_nlink and os.fstat(self._shared).st_nlink)

    def close(self) -> None:
        """Let go of everything."""
        os.close(self._own)
        os.close(self._shared)


class CoreLease:
    """Cores that this process may use: owned, or shared with others where there were not enough.

    Parameters
    ----------
    cores
        Their numbers.
    held
        Their files, in the same order; empty where leases cannot be recorded, so that none is exclusive.
    owned
        Whether this process owns them all, else it shares them all.
    folder
        Where the files are.

    Notes
    -----
    A lease that had to share becomes an exclusive one as soon as the others have gone.
    """

    def __init__(self, cores: Sequence[int], held: Sequence[_Core], owned: bool, folder: Path) -> None:
        self.cores = tuple(cores)
        self._held = tuple(held)
        self._owned = owned
        self._folder = folder
        self._lock = threading.Lock()

    @property
    def exclusive(self) -> bool:
        """Whether no other lease has any of the cores now."""
        return self.mark() is not None

    def mark(self) -> Mark:
        """Return what to give to `undisturbed_since` later."""
        with self._lock:
            if not self._held or not (self._owned or self._take()):
                return None
            if any(core.is_shared() or not core.is_known() for core in self._held):
                return None
            return tuple(core.times_shared() for core in self._held)

    def undisturbed_since(self, mark: Mark) -> bool:
        """Return whether no other lease had any of the cores at or since the moment of a mark."""
        return mark is not None and self.mark() == mark

    def _take(self) -> bool:
        """Try to own the cores instead of sharing them."""
        try:
            folder = _open_folder(self._folder)
        except OSError:
            return False
        try:
            with _alone(folder):
                if not all(core.own() for core in self._held):
                    for core in self._held:
                        core.disown()
                    return False
                for core in self._held:
                    core.unshare()
        finally:
            os.close(folder)
        self._owned = True
        return True

    def close(self) -> None:
        """Let go of the cores."""
        with self._lock:
            for core in self._held:
                core.close()
            self._held = ()


def check_folder(folder: Path | None = None) -> None:
    """Check that leases can be recorded; nothing is made for it.

    Raises
    ------
    InfrastructureError
        If the folder could not be made, or is not this user's alone.
    """
    where = folder or core_folder()
    try:
        if not os.path.lexists(where):
            if not os.access(where.parent, os.W_OK | os.X_OK):
                raise PermissionError(f"{where.parent}: not writable")
            return
        descriptor = _open_folder(where)
        try:
            with _alone(descriptor):
                pass
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InfrastructureError(f"cores cannot be leased: {error}") from None


def lease_cores(wanted: int, among: Sequence[int], folder: Path | None = None) -> CoreLease:
    """Lease cores of this host.

    Parameters
    ----------
    wanted
        How many, from 1; all of `among` if they are fewer.
    among
        The numbers of those that may be had.
    folder
        Where leases are recorded; by default `core_folder()`.

    Returns
    -------
    CoreLease
        Cores that no other lease has, the first ones of `among` that are free. If there are not enough of
        them, cores that are shared: free ones first, then those that were shared least.

    Notes
    -----
    Only leases of the same user are known, on the same host, in the same container. Where they cannot be
    recorded at all, the lease is not exclusive.
    """
    wanted = min(wanted, len(among))
    where = folder or core_folder()
    cores: list[_Core] = []
    with contextlib.ExitStack() as undo:
        try:
            descriptor = _open_folder(where)
            undo.callback(os.close, descriptor)
            with _alone(descriptor):
                for number in among:
                    core = _Core(descriptor, number)
                    undo.callback(core.close)
                    cores.append(core)
                lease = _lease(wanted, cores, where)
        except OSError:
            return CoreLease(among[:wanted], (), False, where)
        undo.pop_all()
    os.close(descriptor)
    for core in cores:
        if core.number not in lease.cores:
            core.close()
    return lease


def _lease(wanted: int, cores: Sequence[_Core], folder: Path) -> CoreLease:
    """Own free cores if there are enough, else share some; what is not leased is left as it was."""
    free: list[_Core] = []
    busy: list[_Core] = []
    for core in cores:
        if len(free) < wanted and core.own():
            if core.is_shared():
                core.disown()
            else:
                free.append(core)
                continue
        busy.append(core)
    if len(free) == wanted:
        for core in free:
            core.set_back()
        return CoreLease([core.number for core in free], free, True, folder)
    for core in free:
        core.disown()
    some = [*free, *sorted(busy, key=_Core.times_shared)][:wanted]
    some.sort(key=lambda core: core.number)
    for core in some:
        core.share()
    return CoreLease([core.number for core in some], some, False, folder)

"""One command at a time for one run key, whoever started it; a killed holder lets go by dying."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from hepchallenge.exceptions import StoreError

__all__ = ["exclusive"]


@contextlib.contextmanager
def exclusive(path: Path, on_wait: Callable[[], object] | None = None) -> Iterator[None]:
    """Hold `path` exclusively; if another process or thread holds it, call `on_wait` once and wait.

    The kernel frees the lock when its holder ends, however it ends. The file stays: removing it
    would let two holders lock two files of one name.

    Raises
    ------
    StoreError
        If the file cannot be made or locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Python opens it close-on-exec, so a submission's process cannot keep the lock alive.
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StoreError(f"{path}: cannot lock: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            raise StoreError(f"{path}: cannot lock: {error.strerror or error}") from error
        yield
    finally:
        os.close(handle)

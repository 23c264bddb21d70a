"""Python's collector of reference cycles, held back where many objects are made and none is in a cycle."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["without_collector"]


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Collect no cycles meanwhile.

    While objects become many, the collector looks through all of them again and again; a board of 100 000
    submissions would take a third longer.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

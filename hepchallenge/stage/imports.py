"""Which libraries a submission will import, guessed without executing or parsing it.

This happens before anything of a submission was checked, in the process that holds the labels. So files are
opened as carefully as if they were copied in, little of each is read, and Python's parser is not let near:
some texts of 200 kB keep it busy for minutes.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

__all__ = ["warm_modules"]

_HEAVY = frozenset(
    {
        "awkward",
        "catboost",
        "energyflow",
        "fastjet",
        "hep_ml",
        "hist",
        "jax",
        "joblib",
        "keras",
        "lightgbm",
        "matplotlib",
        "networkx",
        "numba",
        "numpy",
        "pandas",
        "pyarrow",
        "scipy",
        "skimage",
        "sklearn",
        "statsmodels",
        "tensorflow",
        "torch",
        "torchvision",
        "uproot",
        "vector",
        "xarray",
        "xgboost",
    }
)
"""Packages worth importing once for all folds. A stranger may choose among these, and nothing else is
imported for them outside the sandbox."""


_MOST_FILES = 100
_MOST_BYTES = 256 * 1024
_MOST_MODULES = 64
_STATEMENT = re.compile(
    rb"^[ \t]*(?:from[ \t]+([\w.]{1,100})[ \t]+import\b|import[ \t]+([\w., \t]{1,1000}))", re.M
)
_NOT_FOR_USE = frozenset({"conftest", "setup", "testing", "tests"})
"""Parts of packages that are there to test them; some change a library's settings when imported."""


def _beginning(file: Path) -> bytes:
    """Return the first bytes of a plain file; nothing of what is a link, a pipe or a device."""
    try:
        # Non-blocking, so that opening a pipe returns.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _MOST_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _imported(text: bytes) -> Iterator[str]:
    for match in _STATEMENT.finditer(text):
        for clause in (match[1] or match[2]).split(b","):
            words = clause.split()
            if words:
                yield words[0].decode(errors="replace")


def _worth_it(name: str) -> bool:
    first, *parts = name.split(".")
    return first in _HEAVY and all(
        part.isidentifier() and not part.startswith("_") and part not in _NOT_FOR_USE for part in parts
    )


def warm_modules(folders: Iterable[Path]) -> list[str]:
    """Return the well-known heavy modules that the Python files of these folders import, sorted.

    A guess: what it misses, or finds in a comment, costs time and nothing else. At most 64 modules.
    """
    found: set[str] = set()
    for folder in folders:
        try:
            files = sorted(islice((f for f in folder.iterdir() if f.suffix == ".py"), _MOST_FILES))
        except OSError:
            continue
        for file in files:
            found.update(filter(_worth_it, _imported(_beginning(file))))
    return sorted(found)[:_MOST_MODULES]

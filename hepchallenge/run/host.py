"""What tells how fast a host is, and which libraries it has: for records whose times are compared."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from hepchallenge._version import __version__
from hepchallenge.records import HostFacts

__all__ = ["cpu_model", "host_class", "host_facts", "library_versions", "reference_seconds"]

_LIBRARIES = (
    "numpy",
    "pandas",
    "scikit-learn",
    "ramp-workflow",
    "pyarrow",
    "xgboost-cpu",
    "xgboost",
    "torch",
)

_STEPS = 130_000
_REPEATS = 5


def library_versions() -> dict[str, str]:
    """Return the versions of the interpreter and of the libraries that can change a number."""
    # Boards import this file too, and do not need the time that this takes.
    import importlib.metadata

    versions = {"python": platform.python_version(), "hepchallenge": __version__}
    for name in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _model(about: Mapping[str, str]) -> str:
    """Return the model of one processor of which /proc/cpuinfo tells this."""
    name = about.get("model name") or about.get("cpu") or about.get("cpu model") or ""
    if name and "cpu family" in about and "model" in about:
        # Virtual machines often hide the name, and give two generations of processors the same.
        return f"{name}, family {about['cpu family']} model {about['model']}"
    if not name and "CPU part" in about:
        # ARM processors have numbers only.
        return f"ARM implementer {about.get('CPU implementer', '?')} part {about['CPU part']}"
    return name or about.get("uarch", "")


def cpu_model(cpuinfo: str | None = None) -> str:
    """Return the model of this host's processor, with single blanks.

    Parameters
    ----------
    cpuinfo
        Text of `/proc/cpuinfo`; by default that of this host.

    Returns
    -------
    str
        Name with family and model; for ARM the numbers of implementer and part. Models of different cores are
        joined by ` + `. Where nothing is told, the architecture. One and the same as long as the host runs.
    """
    return _this_model() if cpuinfo is None else _models(cpuinfo)


@lru_cache(maxsize=1)
def _this_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        text = ""
    return _models(text)


def _models(cpuinfo: str) -> str:
    models: set[str] = set()
    # Some architectures tell the model once, after the processors.
    for block in cpuinfo.split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines())
        about = {key.strip(): " ".join(value.split()) for key, _, value in pairs}
        models.add(_model(about))
    return " + ".join(sorted(models - {""})) or platform.machine() or "unknown"


def host_class(facts: HostFacts) -> str:
    """Return what must be equal for times to compare: the model of the processor, with single blanks."""
    return " ".join(facts.cpu.split())


def reference_seconds() -> float:
    """Return the CPU seconds that a fixed piece of work takes in this thread, the least of a few tries.

    Notes
    -----
    The work is a chain of floating-point operations, each of which needs the one before it: x becomes
    sqrt(x^2 + 1). It fits in registers, cannot be spread over vector lanes, and calls no BLAS, so that
    neither caches nor numbers of threads matter. CPU time does not count waiting for a core, and the least
    of a few tries leaves most interruptions out: what is left is how fast a core works now. All tries take
    about 20 ms, and let other threads of this process work meanwhile.
    """
    import numpy as np

    one = np.broadcast_to(np.float64(1.0), (_STEPS,))
    tries = []
    for _ in range(_REPEATS):
        started = time.thread_time()
        np.hypot.reduce(one)
        tries.append(time.thread_time() - started)
    return min(tries)


def host_facts(cores: int, exclusive: bool, reference: float) -> HostFacts:
    """Return what there is to record about this host now, beside what its cores are."""
    return HostFacts(
        name=platform.node(),
        cpu=cpu_model(),
        cores=cores,
        exclusive=exclusive,
        load=os.getloadavg()[0],
        reference_seconds=reference,
    )

"""The file that says which farm to use: a running Dask cluster, or one to be started for a command.

Read without importing Dask; a cluster is started by `start_cluster`, and ends with the command that did so.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hepchallenge.contract.reader import TableReader, read_document, show
from hepchallenge.exceptions import ContractError, InfrastructureError, UsageError
from hepchallenge.records import parse_bytes

__all__ = ["NEEDS_EXTRA", "Cluster", "FarmSettings", "read_cluster_file", "start_cluster"]

_CLASSES = {
    "LocalCluster": "distributed.LocalCluster",
    "slurm": "dask_jobqueue.SLURMCluster",
    "htcondor": "dask_jobqueue.HTCondorCluster",
    "sge": "dask_jobqueue.SGECluster",
    "pbs": "dask_jobqueue.PBSCluster",
}
"""What may be written for a class whose place one need not know; all others by module and name."""

NEEDS_EXTRA = "a farm needs Dask, which is not installed: pip install 'hepchallenge[farm]'"

DEFAULT_CACHE_BYTES = 20 << 30
DEFAULT_PATIENCE = 600.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class FarmSettings:
    """Which farm, and how it is used; either `scheduler` is set or `cluster`."""

    file: Path | None = None
    """Where this was read, for messages."""
    scheduler: str = ""
    """Address of a running cluster's scheduler."""
    cluster: str = ""
    """Module and name of the class of a cluster to be started."""
    options: dict[str, Any] = field(default_factory=dict)
    """What the class is called with."""
    workers: int = 0
    """Worker processes to ask for; 0 if `jobs` says it."""
    jobs: int = 0
    """Jobs of the batch system to ask for, each with as many worker processes as its options say."""
    shared: str = ""
    """A folder that this host and all nodes see under the same path, or nothing."""
    cache_bytes: int = DEFAULT_CACHE_BYTES
    """How much a node keeps of what it was sent."""
    patience: float = DEFAULT_PATIENCE
    """Seconds without a scheduler, or without any worker, after which a command gives up."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that can be connected to."""

    address: str
    security: Any
    """Dask's TLS settings of a cluster that was started here; None: those of Dask's own configuration."""
    close: Callable[[], None]
    """Ends the cluster if it was started here."""


def _positive(reader: TableReader, key: str, kind: type) -> Any:
    value = reader.take(key, kind)
    if value is not None and value <= 0:
        raise reader.error(key, "a number above 0", show(value))
    return value


def _size(reader: TableReader, key: str, default: int) -> int:
    value = reader.take_any(key)
    if value is None:
        return default
    try:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(show(value))
        return parse_bytes(value)
    except ValueError as error:
        raise reader.error(key, 'a number of bytes or a size such as "20GiB"', str(error)) from None


def _options(reader: TableReader, cluster: str) -> dict[str, Any]:
    table = reader.table_at("options")
    options = {} if table is None else {key: table.take_any(key) for key in table.table}
    if cluster == _CLASSES["LocalCluster"]:
        if options.get("processes") is False:
            # As threads of this process they would be in one memory with the labels.
            raise reader.error("options.processes", "true: nodes are processes of their own", "false")
        if "n_workers" in options:
            raise reader.error("options.n_workers", "no such key: say workers = N above", "one")
        # Another cluster may have the usual port.
        options.setdefault("dashboard_address", ":0")
        # Of lost workers the command speaks itself.
        options.setdefault("silence_logs", logging.CRITICAL + 1)
    return options


def read_cluster_file(file: Path) -> FarmSettings:
    """Read the file that `--cluster` names.

    Parameters
    ----------
    file
        TOML. Either `scheduler = "tcp://HOST:PORT"`, or `class`: `LocalCluster`, `slurm`, `htcondor`, `sge`,
        `pbs`, or module and name of any class of Dask clusters, with `workers` or `jobs` (how many to ask
        for), and `[options]` that the class takes. And, if wanted: `shared` (folder that all hosts see under
        this path), `cache` (size a node keeps), `patience` (seconds).

    Raises
    ------
    UsageError
        If there is no such file.
    ContractError
        If it is no TOML, a key is unknown or missing, or a value has the wrong type or range.
    """
    try:
        reader = read_document(file)
    except FileNotFoundError:
        raise UsageError(f"{file}: no such cluster file") from None
    scheduler, name = reader.text("scheduler"), reader.text("class")
    if bool(scheduler) == bool(name):
        found = "both" if name else "neither"
        raise reader.error("class", "either a class of clusters, or scheduler = the address of one", found)
    workers, jobs = _positive(reader, "workers", int), _positive(reader, "jobs", int)
    cluster = _CLASSES.get(name, name)
    if name:
        if "." not in cluster:
            known = ", ".join(_CLASSES)
            raise reader.error("class", f"one of {known}, or module and name of a class", show(name))
        if (workers is None) == (jobs is None):
            found = "neither" if workers is None else "both"
            raise reader.error("workers", "either workers = N or jobs = N: how many to ask for", found)
        if jobs is not None and name == "LocalCluster":
            raise reader.error("jobs", "workers = N: there is no batch system", show(jobs))
    else:
        for key in ("workers", "jobs", "options"):
            if key in reader.table:
                raise reader.error(key, "no such key: a running cluster has the workers that it has", "one")
    shared = reader.text("shared")
    if shared and not (Path(shared).is_absolute() and Path(shared).is_dir()):
        raise reader.error("shared", "a folder, from the root on", show(shared))
    patience = _positive(reader, "patience", float)
    settings = FarmSettings(
        file=file,
        scheduler=scheduler,
        cluster=cluster,
        options=_options(reader, cluster),
        workers=workers or 0,
        jobs=jobs or 0,
        shared=shared,
        cache_bytes=_size(reader, "cache", DEFAULT_CACHE_BYTES),
        patience=DEFAULT_PATIENCE if patience is None else float(patience),
    )
    reader.finish()
    return settings


def start_cluster(settings: FarmSettings) -> Cluster:
    """Return the cluster of the settings, which is started if it is not one that runs.

    Raises
    ------
    UsageError
        If Dask, or its part for batch systems, is not installed.
    ContractError
        If there is no such class, or it does not take the options.
    InfrastructureError
        If it cannot be started, as where a batch system is not to be found.
    """
    if settings.scheduler:
        return Cluster(settings.scheduler, None, lambda: None)
    file, (module, _, name) = settings.file, settings.cluster.rpartition(".")
    try:
        make = getattr(importlib.import_module(module), name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] in ("dask", "distributed", "dask_jobqueue"):
            raise UsageError(NEEDS_EXTRA) from None
        raise ContractError(file, "class", "module and name of a class", str(error)) from None
    except AttributeError as error:
        raise ContractError(file, "class", "module and name of a class", str(error)) from None
    options = dict(settings.options)
    if settings.cluster == _CLASSES["LocalCluster"]:
        options["n_workers"] = settings.workers
    try:
        cluster = make(**options)
    except (TypeError, ValueError) as error:
        expected = f"what {settings.cluster} takes"
        raise ContractError(file, "options", expected, str(error)) from error
    except Exception as error:
        raise InfrastructureError(
            f"{settings.cluster} cannot be started: {type(error).__name__}: {error}"
        ) from error
    close = partial(_close, cluster)
    try:
        if settings.jobs:
            cluster.scale(jobs=settings.jobs)
        else:
            cluster.scale(settings.workers)
        if hasattr(cluster, "job_cls"):
            cluster.sync(_submitted, cluster)
    except BaseException as error:
        close()
        if settings.jobs and isinstance(error, TypeError):
            found = f"a class that takes no jobs: {error}"
            raise ContractError(file, "jobs", f"workers = N for {settings.cluster}", found) from error
        if isinstance(error, FileNotFoundError):
            reason = f"there is no program {error.filename} on this host"
        elif isinstance(error, OSError | RuntimeError | ValueError):
            reason = str(error)
        else:
            raise
        raise InfrastructureError(f"{settings.cluster} cannot be started: {reason}") from error
    return Cluster(cluster.scheduler_address, getattr(cluster, "security", None) or None, close)


async def _submitted(cluster: Any) -> None:
    """Wait until a batch system has taken all jobs of a cluster; raise what it has said to one that failed.

    Dask tries once, when it is scaled, and tells nobody how that ended.
    """
    while len(cluster.workers) < len(cluster.worker_spec):
        await asyncio.sleep(_LOOK_SECONDS)
    for job in cluster.workers.values():
        # One that was taken has nothing more to do; else this tries again.
        await job


def _close(cluster: Any) -> None:
    """End a cluster; whatever goes wrong then, what has been recorded is not to be lost for it."""
    with contextlib.suppress(Exception):
        from distributed.core import Status

        # Dask can only end what has begun.
        for job in getattr(cluster, "workers", {}).values():
            if job.status is Status.created:
                job.status = Status.failed
    with contextlib.suppress(Exception):
        cluster.close()

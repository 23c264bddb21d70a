"""The connection to a Dask scheduler: the only place that speaks with Dask.

Everything goes by way of the scheduler, so that neither this host nor a node has to be reached by others. All
of it runs in one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from hepchallenge.exceptions import UsageError
from hepchallenge.farm.cluster import NEEDS_EXTRA, Cluster

try:
    import dask.config
    import distributed
    from distributed.comm.core import CommClosedError
except ModuleNotFoundError as error:
    raise UsageError(NEEDS_EXTRA) from error

__all__ = ["CallFailed", "Link", "LinkLost", "on_node", "quiet_dask"]

_ANSWER_SECONDS = 30.0
_CLOSE_SECONDS = 5.0
_REMEMBERED = 20


class LinkLost(Exception):
    """The scheduler is out of reach, or is another one than before."""


class CallFailed(Exception):
    """A worker did not do what it was called for; the message says why."""


async def on_node(name: str, args: tuple[Any, ...], dask_worker: Any = None) -> Any:
    """Call a function of `hepchallenge.farm.node` in the worker process where this runs.

    In a thread of its own: jobs take all that Dask has for tasks, and its event loop must go on.
    """
    from hepchallenge.farm import node

    node.serve(dask_worker.state.nthreads)
    return await asyncio.to_thread(getattr(node, name), *args)


def _has_client(client: str, dask_scheduler: Any = None) -> bool:
    """Whether a client is connected to the scheduler where this runs."""
    return client in dask_scheduler.clients


def _as_task(name: str, args: tuple[Any, ...]) -> Any:
    """Call a function of `hepchallenge.farm.node` as a task, for which a slot of the worker is free."""
    from hepchallenge.farm import node

    return getattr(node, name)(*args)


@contextlib.contextmanager
def quiet_dask() -> Iterator[None]:
    """Silence what Dask has to say in this process, and to remember; the command says itself what matters.

    Of the messages that it has sent Dask keeps the last thousand, inputs and all.
    """
    loggers = logging.root.manager.loggerDict
    names = [name for name in loggers if name.split(".")[0] in ("distributed", "tornado")]
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        with dask.config.set({"distributed.admin.low-level-log-length": _REMEMBERED}):
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


class Link:
    """A connection, which can be made again after it was lost; to be used in one event loop.

    Parameters
    ----------
    cluster
        What to connect to.
    changed
        Called in the loop when a worker has come or gone.
    """

    def __init__(self, cluster: Cluster, changed: Callable[[], None]) -> None:
        self._cluster = cluster
        self._changed = changed
        self._client: Any = None
        self._scheduler_id = ""
        self._said_goodbye: set[str] = set()
        self._own: set[str] = set()
        self._n_tasks = 0

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return self._cluster.address

    @property
    def client(self) -> str:
        """By which the scheduler knows this connection, as long as it lasts."""
        return "" if self._client is None else str(self._client.id)

    async def is_connected(self, client: str) -> bool:
        """Whether a process is there to which a connection belongs, other than those made here before.

        Raises
        ------
        LinkLost
            If the scheduler does not answer.
        """
        if client in self._own:
            return False
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return bool(await self._client.run_on_scheduler(_has_client, client))
        except (OSError, CommClosedError) as error:
            raise LinkLost(str(error) or type(error).__name__) from None

    async def connect(self, seconds: float) -> None:
        """Connect within so many seconds, after what was there before is let go.

        Raises
        ------
        LinkLost
            If there is no answer.
        UsageError
            If the address is none, or the scheduler takes no such connection.
        """
        await self.close()
        self._said_goodbye.clear()
        client: Any = distributed.Client(  # type: ignore[no-untyped-call]
            self._cluster.address,
            asynchronous=True,
            set_as_default=False,
            direct_to_workers=False,
            security=self._cluster.security,
            timeout=seconds,
            name="hepchallenge",
        )
        self._client = client
        try:
            await client
            self._scheduler_id = (await self._identity(0))["id"]
            self._own.add(self.client)
        except OSError as error:
            await self.close()
            raise LinkLost(str(error)) from None
        except (ValueError, TypeError, RuntimeError) as error:
            await self.close()
            raise UsageError(f"{self._cluster.address}: cannot connect: {error}") from error
        client.subscribe_topic("all", self._hear)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        """Take note of what the scheduler tells all."""
        told = event[1]
        if told.get("action") == "remove-worker" and told.get("expected"):
            self._said_goodbye.add(told["worker"])
        if told.get("action") in ("add-worker", "remove-worker"):
            self._changed()

    async def _identity(self, n_workers: int) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer: dict[str, Any] = await self._client.scheduler.identity(n_workers=n_workers)
        except (OSError, CommClosedError) as error:
            raise LinkLost(str(error) or type(error).__name__) from None
        return answer

    async def workers(self) -> dict[str, int]:
        """Return the workers by address, with the number of tasks that each runs at once.

        Raises
        ------
        LinkLost
            If the scheduler does not answer, or was started again.
        """
        if self._client is None or self._client.status != "running":
            raise LinkLost("the connection was closed")
        identity = await self._identity(-1)
        if identity["id"] != self._scheduler_id:
            raise LinkLost("the scheduler was started again")
        return {address: int(about["nthreads"]) for address, about in identity["workers"].items()}

    def left_in_good_order(self, worker: str) -> bool:
        """Whether a worker that has gone was to go, as at the end of its time."""
        return worker in self._said_goodbye

    async def call(self, worker: str, name: str, *args: Any, seconds: float = 60.0) -> Any:
        """Call a function of `hepchallenge.farm.node` in a worker's process, beside what it runs.

        Raises
        ------
        LinkLost
            If there is no connection any more.
        CallFailed
            If it raised, there is no such worker, or it has not answered in so many seconds.
        """
        client = self._client
        if client is None:
            raise LinkLost("the connection was closed")
        try:
            async with asyncio.timeout(seconds):
                answers = await client.run(on_node, name, args, workers=[worker])
            return answers[worker]
        except TimeoutError:
            raise CallFailed(f"no answer for {seconds:g} s") from None
        except Exception as error:
            if client.status != "running":
                raise LinkLost(str(error)) from None
            raise CallFailed(f"{type(error).__name__}: {error}") from error

    async def task(self, worker: str, name: str, *args: Any) -> Any:
        """Call a function of `hepchallenge.farm.node` on a worker, after what was sent there before.

        Raises
        ------
        LinkLost
            If the connection was lost meanwhile.
        CallFailed
            If it raised. A worker that has gone never answers: the caller notices that it has, and cancels.
        """
        self._n_tasks += 1
        client = self._client
        if client is None:
            raise LinkLost("the connection was closed")
        future = client.submit(
            _as_task,
            name,
            args,
            key=f"hepchallenge-{uuid.uuid4().hex}",
            workers=[worker],
            # It is known then what a lost worker was running.
            allow_other_workers=False,
            retries=0,
            pure=False,
            priority=-self._n_tasks,
        )
        try:
            return await future
        except distributed.client.FutureCancelledError as error:
            raise LinkLost(str(error)) from None
        except Exception as error:
            if client.status != "running":
                raise LinkLost(str(error)) from None
            raise CallFailed(f"{type(error).__name__}: {error}") from error
        finally:
            # With nobody who wants it, the scheduler forgets it wherever it waits or lies.
            future.release()

    async def restart(self, worker: str) -> None:
        """Ask the nanny of a worker that hangs to start it again; nothing is said if that fails."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._client.restart_workers([worker], raise_for_error=False)

    async def close(self) -> None:
        """Let the connection go; nothing happens if there is none."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await client._close(fast=True)

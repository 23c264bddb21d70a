"""The nodes as the organiser knows them: which may be used, at which level, and what each has been sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from hepchallenge.contract.hosts import HostDemands
from hepchallenge.exceptions import InfrastructureError
from hepchallenge.farm import node as remote
from hepchallenge.farm.cache import shared_path
from hepchallenge.farm.link import CallFailed, Link
from hepchallenge.farm.wire import JobEncoder
from hepchallenge.run.accounting import Accounting
from hepchallenge.run.isolation import Isolation

__all__ = ["Busy", "CoreShares", "Greeting", "Node", "Refused", "Supplier", "differences", "greet", "weakest"]

_PIECE_BYTES = 8 << 20
_PIECE_SECONDS = 300.0
_GREET_SECONDS = 180.0
"""It finds out first what its host offers."""
_TRIES = 3
_CARRIED_BYTES = 256 << 10
_MOST_CARRIED = 4 << 20
"""Dask warns of tasks that carry more than 10 MB."""
_MOST_REMEMBERED = 50_000
_FETCHED_TOGETHER = 64

T = TypeVar("T")


class Refused(Exception):
    """A worker that cannot be used; the message says why."""


class Busy(Exception):
    """A worker that serves another command, whose process is there."""


class Greeting(msgspec.Struct, frozen=True):
    """What a worker process says of itself."""

    node: str
    host: str
    pid: int
    versions: dict[str, str]
    offers: list[str]
    accounting: str
    cpu: str
    cores: int
    slots: int


@dataclass
class Node:
    """A host and its cache, which several workers may share."""

    host: str
    held: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """What it has been sent, as far as is known here: it may have dropped some."""
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    def has(self, digests: Iterable[str]) -> None:
        """Note that objects are there."""
        for digest in digests:
            self.held[digest] = None
            self.held.move_to_end(digest)
        while len(self.held) > _MOST_REMEMBERED:
            # It is sent again when it is needed, or the node says that it has it.
            self.held.popitem(last=False)

    def lacks(self, digests: Iterable[str]) -> None:
        """Note that objects are not there any more."""
        for digest in digests:
            self.held.pop(digest, None)


async def greet(link: Link, worker: str) -> Greeting:
    """Return what a worker says of itself.

    Raises
    ------
    CallFailed
        If it cannot say anything.
    Refused
        If what it says cannot be understood.
    """
    # Beside its tasks: it may still run what a command wanted that is gone.
    answer = await link.call(worker, "greet", seconds=_GREET_SECONDS)
    try:
        return msgspec.json.decode(answer, type=Greeting)
    except (msgspec.MsgspecError, TypeError) as error:
        raise Refused(f"it speaks another language: {error!s:.200}") from None


def differences(theirs: dict[str, str], ours: dict[str, str]) -> str:
    """Say in which versions a node differs from this host; empty if in none."""
    words = [
        f"{name} {theirs.get(name, 'missing')} (here {ours.get(name, 'missing')})"
        for name in sorted({*theirs, *ours})
        if theirs.get(name) != ours.get(name)
    ]
    return ", ".join(words)


def weakest(greetings: Sequence[Greeting]) -> tuple[Isolation, Accounting]:
    """Return the strongest isolation level that all of them offer, and how all can count."""
    levels = [level for level in Isolation if all(level.value in about.offers for about in greetings)]
    exact = all(about.accounting == Accounting.CGROUP for about in greetings)
    return levels[0] if levels else Isolation.NONE, Accounting.CGROUP if exact else Accounting.SAMPLED


def check(
    about: Greeting,
    versions: dict[str, str],
    isolation: Isolation,
    accounting: Accounting,
    demands: HostDemands,
) -> None:
    """Refuse a worker whose results would not compare with those of the others, or that protects less."""
    if differ := differences(about.versions, versions):
        raise Refused(f"it has {differ}")
    if isolation.value not in about.offers:
        raise Refused(f"it does not offer isolation {isolation.value!r}")
    if accounting is Accounting.CGROUP and about.accounting != accounting:
        raise Refused("it cannot count by cgroups, as the others do")
    if demands.host_class and demands.refuses(about.cpu, True):
        raise Refused(f"its processor is {about.cpu}, the board takes {demands.host_class}")


class CoreShares:
    """How many cores of its host each worker takes."""

    def __init__(self) -> None:
        self._most: Counter[str] = Counter()

    def of(self, about: Greeting, greetings: Iterable[Greeting]) -> int:
        """Return a worker's share of its host's cores, among all that are there, or were at once before.

        One that was lost comes back, and wants its share again.
        """
        here = sum(other.host == about.host for other in greetings)
        self._most[about.host] = most = max(self._most[about.host], here, 1)
        return max(1, about.cores // most)


class Supplier:
    """Brings to nodes what their jobs need: through a shared folder, or piece by piece through Dask.

    Parameters
    ----------
    link, encoder
        How nodes are reached, and where the objects come from.
    shared
        A folder that this host and all nodes see under the same path, or nothing. Only what any submission
        may read is put there.
    threads
        Where files are read and written.
    """

    def __init__(self, link: Link, encoder: JobEncoder, shared: str, threads: Executor) -> None:
        self._link = link
        self._encoder = encoder
        self._shared = shared
        self._threads = threads

    async def supply(self, worker: str, node: Node, digests: Iterable[str]) -> dict[str, bytes]:
        """Bring to a node what it lacks, and return the small things, which are to travel with the job.

        Raises
        ------
        CallFailed
            If the worker by which they are sent does not take them.
        InfrastructureError
            If an object cannot be read.
        """
        absent = [digest for digest in dict.fromkeys(digests) if digest not in node.held]
        if not absent:
            return {}
        carried = await self._in_thread(partial(self._small_ones, absent))
        if rest := [digest for digest in absent if digest not in carried]:
            # One after the other: what another job has just sent needs no second journey.
            async with node.sending:
                await self._send(worker, node, [digest for digest in rest if digest not in node.held])
        return carried

    async def send(self, worker: str, node: Node, digests: Iterable[str]) -> None:
        """Bring objects to a node whether it seems to have them or not; errors as for `supply`."""
        async with node.sending:
            await self._send(worker, node, list(digests))

    def _small_ones(self, digests: Iterable[str]) -> dict[str, bytes]:
        """Return the objects that are small enough to travel with a job, as long as they are few."""
        carried = {}
        room = _MOST_CARRIED
        for digest in digests:
            if (size := self._encoder.size(digest)) <= min(room, _CARRIED_BYTES):
                room -= size
                carried[digest] = self._bytes(digest)
        return carried

    def _bytes(self, digest: str) -> bytes:
        content = self._encoder.object(digest)
        return content.read_bytes() if isinstance(content, Path) else content

    def _in_thread(self, call: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def _send(self, worker: str, node: Node, digests: list[str]) -> None:
        if self._shared:
            public = await self._in_thread(partial(self._public_ones, digests))
            for first in range(0, len(public), _FETCHED_TOGETHER):
                some = public[first : first + _FETCHED_TOGETHER]
                await self._in_thread(partial(self._share, some))
                absent = await self._link.call(worker, "fetch", some, self._shared, seconds=_PIECE_SECONDS)
                node.has(set(some) - set(absent))
            digests = [digest for digest in digests if digest not in node.held or digest not in public]
        for digest in digests:
            await self._put(worker, digest)
            node.has([digest])

    def _public_ones(self, digests: Iterable[str]) -> list[str]:
        return [digest for digest in digests if self._encoder.is_public(digest)]

    def _share(self, digests: Iterable[str]) -> None:
        """Put objects into the shared folder, unless they are there."""
        for digest in digests:
            if not shared_path(self._shared, digest).exists():
                self._write_shared(digest)

    def _write_shared(self, digest: str) -> None:
        path = shared_path(self._shared, digest)
        # A node that does not find it is sent it by Dask.
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
                try:
                    content = self._encoder.object(digest)
                    file.write(content.read_bytes() if isinstance(content, Path) else content)
                    file.flush()
                    os.fchmod(file.fileno(), 0o644)
                    os.rename(file.name, path)
                except BaseException:
                    os.unlink(file.name)
                    raise

    async def _put(self, worker: str, digest: str) -> None:
        content, total = await self._in_thread(
            lambda: (self._encoder.object(digest), self._encoder.size(digest))
        )
        done, stuck = 0, 0
        while True:
            piece = await self._in_thread(partial(_piece, content, done))
            there = await self._link.call(worker, "put", digest, done, total, piece, seconds=_PIECE_SECONDS)
            if there >= total:
                return
            stuck = stuck + 1 if there <= done else 0
            if stuck > _TRIES:
                raise CallFailed(f"it does not take object {digest[:12]} beyond byte {there} of {total}")
            done = there


def _piece(content: Path | bytes, start: int) -> bytes:
    if isinstance(content, bytes):
        return content[start : start + _PIECE_BYTES]
    try:
        with open(content, "rb") as file:
            file.seek(start)
            return file.read(_PIECE_BYTES)
    except OSError as error:
        raise InfrastructureError(f"cannot read what a job needs: {error}") from error


def missing_in(answer: bytes) -> list[str]:
    """Return the digests in an answer that begins with `node.MISSING`."""
    digests: list[str] = json.loads(answer.removeprefix(remote.MISSING))
    return digests

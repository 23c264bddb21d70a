"""Jobs on a farm, behind the same interface as jobs on this host.

Three kinds of threads work here. One runs an event loop in which everything about nodes and the scheduler
happens (`_Farm`); jobs are made and packed in a second one, results unpacked and checked in a third. Whoever
leads the command pulls jobs in and takes results out through `FarmBackend.run`, at its own pace: no more jobs
are under way than the workers have use for, however many wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from hepchallenge.contract.hosts import HostDemands
from hepchallenge.exceptions import InfrastructureError, IsolationUnavailable
from hepchallenge.farm import node as remote
from hepchallenge.farm.cluster import Cluster, FarmSettings, start_cluster
from hepchallenge.farm.dispatch import Answer, Dispatch, Key, News, Parcel
from hepchallenge.farm.link import CallFailed, Link, LinkLost, quiet_dask
from hepchallenge.farm.nodes import (
    Busy,
    CoreShares,
    Greeting,
    Node,
    Refused,
    Supplier,
    check,
    greet,
    missing_in,
    weakest,
)
from hepchallenge.farm.wire import EncodedJob, JobEncoder, Setup, decode_result, encode_parcel, encode_setup
from hepchallenge.records import Limits, Verdict
from hepchallenge.run.accounting import Accounting
from hepchallenge.run.backend import DoneJob, Heard, QueuedJob
from hepchallenge.run.host import library_versions
from hepchallenge.run.isolation import Isolation
from hepchallenge.run.jobs import FoldJob, FoldResult

__all__ = ["FarmBackend", "FarmJobs"]

_POLL_SECONDS = 2.0
_POLL_WORKERS_A_SECOND = 200
"""The scheduler is asked for all workers less often where there are many."""
_FIRST_SECONDS = 10.0
"""How long others may take to greet, once the first worker has."""
_REFUSED_SECONDS = 30.0
"""How long to wait, at the start, for other workers where all that are there are refused."""
_CONNECT_SECONDS = 10.0
_RECONNECT_SECONDS = 1.0
_PREPARE_TRIES = 5
_PREPARE_SECONDS = 300.0
_MARGIN_SECONDS = 300.0
"""What a job may take beyond its limits: to be loaded, unpacked and checked."""
_STOP_SECONDS = 10.0
_THREADS_HERE = 2
_LEAST_OPEN = 2


@dataclass(frozen=True, kw_only=True)
class FarmJobs:
    """What all jobs of a command have in common."""

    challenge_folder: Path
    limits: Limits
    seed: int
    modules: Sequence[str] = ()
    """Installed modules that submissions will import."""
    test_mode: bool = False
    gpus: int = 0
    isolation: Isolation | None = None
    """The level that is demanded; None: the strongest that all nodes offer."""
    demands: HostDemands = HostDemands()  # noqa: RUF009 - it is frozen


@dataclass
class _Member:
    """A worker that is used."""

    about: Greeting
    node: Node


@dataclass
class _Made:
    """A job that is under way; what is only needed to send it is not kept."""

    job: QueuedJob
    fold: FoldJob | None = None
    result: FoldResult | None = None


class _Farm:
    """Everything that happens in the event loop.

    What has ended, remarks and the error that ends all go to `out`, for the thread that leads.
    """

    def __init__(
        self,
        settings: FarmSettings,
        cluster: Cluster,
        jobs: FarmJobs,
        heard: Heard,
        out: queue.SimpleQueue[Any],
    ) -> None:
        self.isolation, self.accounting = jobs.isolation, Accounting.SAMPLED
        self._settings = settings
        self._common = jobs
        self._heard = heard
        self._out = out
        self._encoder = JobEncoder(jobs.challenge_folder)
        self._packing = ThreadPoolExecutor(1, thread_name_prefix="farm-pack")
        self._unpacking = ThreadPoolExecutor(1, thread_name_prefix="farm-unpack")
        self._woken = asyncio.Event()
        self._link = Link(cluster, self._woken.set)
        self._supplier = Supplier(self._link, self._encoder, settings.shared, self._packing)
        self._dispatch = Dispatch(lambda key: self._jobs[key].job.wanted())
        self._jobs: dict[Key, _Made] = {}
        self._versions = library_versions()
        self._demands = jobs.demands
        self._nodes: dict[str, Node] = {}
        self._members: dict[str, _Member] = {}
        self._greeted: dict[str, Greeting] = {}
        self._shares = CoreShares()
        self._welcomes: dict[str, asyncio.Task[None]] = {}
        self._unused: set[str] = set()
        self._reasons: set[str] = set()
        self._busy: set[str] = set()
        self._sick: set[str] = set()
        self._sending: dict[int, asyncio.Task[None]] = {}
        self._watching: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._seen_at = time.monotonic()
        self._said_waiting = False
        self._is_broken = False
        self.capacity = 0

    # The way in

    async def begin(self) -> None:
        """Connect, and wait for the first workers, whose isolation is that of the whole command."""
        if not await self._connect():
            raise InfrastructureError(
                f"no scheduler answers at {self._link.address}; waited for {self._settings.patience:g} s"
            )
        self._seen_at = time.monotonic()
        greetings = await self._first_greetings()
        level, self.accounting = weakest(list(greetings.values()))
        if self.isolation is None:
            self.isolation = level
            if level is not Isolation.NAMESPACES:
                self._say(f"isolation {level.value}: not all nodes offer a stronger one")
        if level is Isolation.NONE and self.isolation is level:
            self._say("isolation none: submissions can read what your account can on the nodes")
        self._greeted |= greetings
        await asyncio.gather(*(self._admit(worker) for worker in greetings))
        if not self._members:
            await self._wait_for_others()
        self._watching = asyncio.create_task(self._guarded(self._watch()))

    async def _first_greetings(self) -> dict[str, Greeting]:
        """Return what the workers say that are there first."""
        while True:
            workers = await self._workers_or_reconnect()
            calls = {worker: asyncio.create_task(greet(self._link, worker)) for worker in workers}
            try:
                if calls:
                    await asyncio.wait(
                        calls.values(), timeout=self._settings.patience, return_when=asyncio.FIRST_COMPLETED
                    )
                    await asyncio.wait(calls.values(), timeout=_FIRST_SECONDS)
                found = {}
                for worker, call in calls.items():
                    if not call.done():
                        continue
                    try:
                        found[worker] = call.result()
                    except (CallFailed, Refused) as error:
                        self._refuse(worker, worker, str(error))
                    except LinkLost:
                        break
                fitting = {worker: about for worker, about in found.items() if self._offers_enough(about)}
                if fitting:
                    return fitting
                for worker, about in found.items():
                    self._refuse(worker, about.host, f"it does not offer isolation {self.isolation!s}")
            finally:
                for call in calls.values():
                    call.cancel()
            self._check_patience(refused_all=bool(self._unused))
            await self._pause()

    def _offers_enough(self, about: Greeting) -> bool:
        return self.isolation is None or self.isolation.value in about.offers

    async def _wait_for_others(self) -> None:
        """Wait until some worker is admitted, where all that were there first are refused."""
        while not self._members:
            self._check_patience(refused_all=True)
            await self._pause()
            for worker in await self._workers_or_reconnect():
                self._welcome(worker)

    async def _workers_or_reconnect(self) -> list[str]:
        """Return the workers that are not refused yet."""
        try:
            if self._is_broken:
                raise LinkLost
            seen = await self._link.workers()
        except LinkLost:
            await self._reconnect()
            return []
        return [worker for worker in seen if worker not in self._unused]

    def _check_patience(self, refused_all: bool = False) -> None:
        waited = time.monotonic() - self._seen_at
        if (
            refused_all
            and self._reasons
            and not self._welcomes
            and waited > min(_REFUSED_SECONDS, self._settings.patience)
        ):
            reasons = "; ".join(sorted(self._reasons)[:5])
            wanted = self._common.isolation
            if wanted is not None and any("isolation" in reason for reason in self._reasons):
                raise IsolationUnavailable(f"no node can be used: {reasons}")
            raise InfrastructureError(f"no node can be used: {reasons}")
        if waited > self._settings.patience:
            raise InfrastructureError(
                f"no worker {'that is free ' if self._busy else ''}at {self._link.address} for "
                f"{self._settings.patience:g} s; what is recorded stays, and the same command goes on later"
            )
        if not self._said_waiting:
            self._said_waiting = True
            self._say(f"waiting for workers at {self._link.address}")

    async def _pause(self) -> None:
        """Wait until it is time to look again, or workers have changed."""
        seconds = max(_POLL_SECONDS, len(self._members) / _POLL_WORKERS_A_SECOND)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    # Workers

    async def _watch(self) -> None:
        """Follow who comes and goes for as long as this lives."""
        while True:
            await self._pause()
            try:
                if self._is_broken:
                    raise LinkLost("the connection was cut")
                seen = await self._link.workers()
            except LinkLost as error:
                self._say(f"lost the scheduler: {error}")
                await self._reconnect()
                continue
            # What was given up comes back under another address, if it does.
            self._unused &= set(seen)
            for worker in [*self._members, *self._welcomes]:
                if worker not in seen:
                    self._drop(worker)
            for worker in seen:
                if worker not in self._unused:
                    self._welcome(worker)
            for worker in self._dispatch.overdue(time.monotonic()):
                self._say(f"{self._members[worker].about.host}: worker {worker} hangs: given up")
                self._unused.add(worker)
                self._drop(worker)
                self._keep(self._link.restart(worker))
            if self._members:
                self._seen_at, self._said_waiting = time.monotonic(), False
            else:
                self._check_patience()
            self._kick()

    def _welcome(self, worker: str) -> None:
        if worker not in self._welcomes and worker not in self._members:
            self._welcomes[worker] = asyncio.create_task(self._guarded(self._greet_and_admit(worker)))

    async def _greet_and_admit(self, worker: str) -> None:
        try:
            if worker not in self._greeted:
                self._greeted[worker] = await greet(self._link, worker)
            await self._admit(worker)
        except (CallFailed, Refused) as error:
            self._refuse(worker, worker, str(error))
        except LinkLost:
            self._note_broken()
        finally:
            self._welcomes.pop(worker, None)

    async def _admit(self, worker: str) -> None:
        """Take a worker in, or refuse it and say why."""
        about = self._greeted[worker]
        try:
            # Before the first is taken in it is not known which class of hosts is to be the one.
            demands = self._demands.settled(about.cpu)
            assert self.isolation is not None
            check(about, self._versions, self.isolation, self.accounting, demands)
            self._demands = demands
            node = self._nodes.setdefault(about.node, Node(about.host))
            await self._prepare(worker, about, node)
        except (CallFailed, Refused) as error:
            self._refuse(worker, about.host, str(error))
            return
        except Busy:
            if about.host not in self._busy:
                self._busy.add(about.host)
                self._say(f"{about.host} serves another command: it is used when that has ended")
            return
        except LinkLost:
            self._note_broken()
            return
        self._members[worker] = _Member(about, node)
        self._dispatch.join(worker, about.node, about.slots)
        self._kick()

    async def _prepare(self, worker: str, about: Greeting, node: Node) -> None:
        """Tell a worker what all jobs have in common, and end there what a command wanted that is gone."""
        assert self.isolation is not None
        common = self._common
        setup = Setup(
            session=self._link.client,
            name=self._encoder.name,
            challenge=self._encoder.challenge,
            builtin=self._encoder.builtin,
            isolation=self.isolation.value,
            accounting=self.accounting.value,
            limits=common.limits.to_dict(),
            seed=common.seed,
            test_mode=common.test_mode,
            gpus=common.gpus,
            modules=list(common.modules),
            cache_bytes=self._settings.cache_bytes,
            shared=self._settings.shared,
            cores=self._shares.of(about, self._greeted.values()),
        )
        instead_of = ""
        for _ in range(_PREPARE_TRIES):
            # Beside its tasks: one that nobody wants any more may hold it until then.
            answer: bytes = await self._link.call(
                worker, "prepare", encode_setup(setup), instead_of, seconds=_PREPARE_SECONDS
            )
            if answer == remote.OK:
                return
            if answer.startswith(remote.BUSY):
                instead_of = answer.removeprefix(remote.BUSY).decode()
                if await self._link.is_connected(instead_of):
                    raise Busy
                continue
            if not answer.startswith(remote.MISSING):
                raise Refused(answer.removeprefix(remote.ERROR).decode("utf-8", "replace"))
            await self._supplier.send(worker, node, missing_in(answer))
        raise Refused("it loses again and again what it was sent")

    def _refuse(self, worker: str, host: str, reason: str) -> None:
        """Leave a worker alone, and say why, once for all that have the same reason."""
        self._unused.add(worker)
        self._greeted.pop(worker, None)
        if reason not in self._reasons:
            self._reasons.add(reason)
            self._say(f"{host} is not used: {reason}")

    def _drop(self, worker: str, blameless: bool = False) -> None:
        """Let a worker go that is lost, or not to be used; what it had runs elsewhere."""
        if (welcome := self._welcomes.pop(worker, None)) is not None:
            welcome.cancel()
        self._greeted.pop(worker, None)
        if (member := self._members.pop(worker, None)) is None:
            return
        in_good_order = blameless or self._link.left_in_good_order(worker)
        if not in_good_order and worker not in self._unused:
            self._say(f"{member.about.host}: worker {worker} is lost")
        for parcel in self._dispatch.parcels_on(worker):
            if (sending := self._sending.pop(parcel.number, None)) is not None:
                sending.cancel()
        self._dispatch.lost(worker, in_good_order)
        self._tell()

    # The connection

    def _note_broken(self) -> None:
        """Have the connection made again, even if it is there again: what was under way is forgotten."""
        self._is_broken = True
        self._woken.set()

    async def _connect(self) -> bool:
        """Connect as soon as the scheduler answers; whether it did in time."""
        until = time.monotonic() + self._settings.patience
        said = False
        while True:
            try:
                await self._link.connect(min(_CONNECT_SECONDS, self._settings.patience))
                return True
            except LinkLost as error:
                if not said:
                    said = True
                    self._say(f"waiting for the scheduler at {self._link.address}: {error}")
                if time.monotonic() > until:
                    return False
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _reconnect(self) -> None:
        """Begin anew with all workers after the scheduler was lost; nobody is to blame for what ran."""
        tasks = [*self._welcomes.values(), *self._sending.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for known in (self._welcomes, self._sending, self._members, self._greeted):
            known.clear()
        self._unused.clear()
        self._is_broken = False
        self._dispatch.disconnected()
        if not await self._connect():
            raise InfrastructureError(
                f"the scheduler at {self._link.address} did not come back in {self._settings.patience:g} s; "
                "what is recorded stays, and the same command goes on later"
            )
        self._say(f"connected to {self._link.address} again")
        self._seen_at = time.monotonic()
        self._woken.set()

    # Jobs

    def add(self, jobs: Sequence[QueuedJob]) -> None:
        """Take jobs in."""
        for job in jobs:
            self._jobs[job.key] = _Made(job)
            self._dispatch.add(job.key)
        self._kick()

    def _kick(self) -> None:
        """Send what can be sent now."""
        for parcel in self._dispatch.take():
            self._sending[parcel.number] = asyncio.create_task(self._guarded(self._send(parcel)))
        self._tell()
        if (capacity := self._dispatch.capacity) != self.capacity:
            self.capacity = capacity
            self._out.put([])

    async def _send(self, parcel: Parcel) -> None:
        """Bring a parcel to its worker and its answers back."""
        member = self._members[parcel.worker]
        results: dict[Key, FoldResult] = {}
        answers: dict[Key, Answer] = {}
        n_bytes, refusal, taken = 0, "", False
        try:
            packed = await self._in(self._packing, partial(self._pack, parcel, results))
            answers = dict.fromkeys(results, Answer.FAILED)
            if packed:
                said = await self._carry(parcel, member, packed)
                n_bytes = sum(map(len, said))
                answers |= await self._in(self._unpacking, partial(self._unpack, list(packed), said, results))
                await self._heed(parcel, member, said)
        except LinkLost:
            self._note_broken()
            return
        except Refused as error:
            refusal = str(error)
        except Busy:
            taken = True
        except (CallFailed, InfrastructureError) as error:
            # If the worker is gone, that is what counts: this is cancelled when it is noticed.
            self._woken.set()
            await asyncio.sleep(_POLL_SECONDS)
            for key in parcel.keys:
                if key not in answers:
                    message = f"{member.about.host}: {error}"
                    results[key] = FoldResult(verdict=Verdict.INFRASTRUCTURE, message=message)
                    answers[key] = Answer.FAILED
        for key, result in results.items():
            self._jobs[key].result = result
        seconds = sum(result.wall_seconds for result in results.values())
        self._sending.pop(parcel.number, None)
        self._dispatch.answered(parcel.number, answers, time.monotonic(), seconds, n_bytes)
        if refusal:
            self._refuse(parcel.worker, member.about.host, refusal)
        if refusal or taken:
            self._drop(parcel.worker, blameless=True)
        self._kick()

    def _pack(self, parcel: Parcel, results: dict[Key, FoldResult]) -> dict[Key, EncodedJob]:
        """Make and encode the jobs of a parcel; what cannot be is a result that says why."""
        packed = {}
        for key in parcel.keys:
            made = self._jobs[key]
            fold = made.job.make()
            try:
                packed[key] = self._encoder.encode(fold)
            except InfrastructureError as error:
                results[key] = FoldResult(verdict=Verdict.INFRASTRUCTURE, message=str(error))
            # To check the result, neither labels nor rows of the training sample are needed.
            made.fold = replace(fold, labels=None)
        return packed

    async def _carry(self, parcel: Parcel, member: _Member, packed: Mapping[Key, EncodedJob]) -> list[bytes]:
        needs = [digest for job in packed.values() for digest in job.needs]
        carried = await self._supplier.supply(parcel.worker, member.node, needs)
        seconds = sum(self._most_seconds(key) for key in packed)
        # In one breath with the task's submission, so that they are in the same order as there.
        self._dispatch.sent(parcel.number, time.monotonic(), seconds)
        self._tell_begun()
        said: list[bytes] = await self._link.task(
            parcel.worker,
            "run_parcel",
            self._link.client,
            encode_parcel([job.spec for job in packed.values()]),
            carried,
        )
        if len(said) != len(packed):
            raise CallFailed(f"expected {len(packed)} answers, found {len(said)}")
        member.node.has(carried)
        return said

    def _most_seconds(self, key: Key) -> float:
        """Return how long a job may take on its node before something must be wrong there."""
        limits, fold = self._common.limits, self._jobs[key].fold
        assert fold is not None, "what is sent was made"
        n_predicts = 1 if fold.events is None else len(fold.valid_is) + len(fold.events.test)
        return limits.fit_wall + n_predicts * limits.predict_wall + _MARGIN_SECONDS

    def _unpack(
        self, keys: Sequence[Key], said: Sequence[bytes], results: dict[Key, FoldResult]
    ) -> dict[Key, Answer]:
        """Return what each answer means, and put the results among them into `results`, checked."""
        answers = {}
        for key, answer in zip(keys, said, strict=True):
            if answer.startswith((remote.MISSING, remote.NO_SESSION, remote.LATER)):
                answers[key] = Answer.NOT_RUN
                continue
            fold = self._jobs[key].fold
            assert fold is not None, "what is sent was made"
            try:
                result = self._encoder.receive(fold, decode_result(answer))
            except InfrastructureError as error:
                result = FoldResult(verdict=Verdict.INFRASTRUCTURE, message=str(error))
            results[key] = result
            failed = result.verdict is Verdict.INFRASTRUCTURE
            answers[key] = Answer.FAILED if failed else Answer.ENDED
        return answers

    async def _heed(self, parcel: Parcel, member: _Member, said: Sequence[bytes]) -> None:
        """Do what a worker asks for before it can run what it has not run."""
        for answer in said:
            if answer.startswith(remote.MISSING):
                member.node.lacks(missing_in(answer))
        if remote.NO_SESSION in said:
            await self._prepare(parcel.worker, member.about, member.node)

    # The way out

    def _tell_begun(self) -> None:
        for parcel in self._dispatch.begun():
            member = self._members.get(parcel.worker)
            for key in parcel.keys:
                if key in self._jobs and member is not None:
                    self._heard(self._jobs[key].job, member.about.host)

    def _tell(self) -> None:
        """Hand on what has become of jobs."""
        self._tell_begun()
        if done := [self._done(news) for news in self._dispatch.news()]:
            self._out.put(done)
        for node in self._dispatch.sick_nodes - self._sick:
            self._sick.add(node)
            self._say(f"{self._nodes[node].host} fails one job after the other: it gets no more")

    def _done(self, news: News) -> DoneJob:
        made = self._jobs.pop(news.key) if news.final else self._jobs[news.key]
        result, made.result = made.result, None
        if news.unwanted:
            return DoneJob(job=made.job, result=None)
        if news.failure or result is None:
            message = news.failure or "a worker gave no result"
            result = FoldResult(verdict=Verdict.INFRASTRUCTURE, message=message)
        return DoneJob(job=made.job, result=result, final=news.final)

    def _say(self, text: str) -> None:
        self._out.put(text)

    async def _in(self, pool: ThreadPoolExecutor, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, call)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something; an error that nobody there knows how to handle ends the command."""
        try:
            await work
        except Exception as error:
            self._out.put(error)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside everything else."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # The end

    async def end(self) -> None:
        """End what runs on the nodes, and let the connection go."""
        tasks = [*self._welcomes.values(), *self._sending.values(), *self._background]
        if self._watching is not None:
            tasks.append(self._watching)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        stops = [
            self._link.call(worker, "stop_session", self._link.client, seconds=_STOP_SECONDS)
            for worker in self._members
        ]
        # A node that does not hear it will when the next command introduces itself.
        await asyncio.gather(*stops, return_exceptions=True)
        await self._link.close()
        self._packing.shutdown(cancel_futures=True)
        self._unpacking.shutdown(cancel_futures=True)
        self._encoder.close()


class FarmBackend:
    """Runs jobs on the workers of a Dask cluster; see `hepchallenge.run.backend.Backend`.

    Parameters
    ----------
    settings
        Which farm; a cluster that it says how to start is started, and ends with this.
    jobs
        What all jobs have in common.
    heard
        Told which job starts, and where.
    say
        Told what there is to remark, in the thread that leads.

    Raises
    ------
    UsageError, ContractError
        If the farm's file or address means nothing, or Dask is not installed.
    IsolationUnavailable
        If no node offers the level that is demanded.
    InfrastructureError
        If there was no scheduler, or no worker that can be used, for as long as the settings' patience.
    """

    def __init__(
        self, settings: FarmSettings, jobs: FarmJobs, *, heard: Heard, say: Callable[[str], None]
    ) -> None:
        self._say, self._heard = say, heard
        self._out: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._here = ThreadPoolExecutor(_THREADS_HERE, thread_name_prefix="farm-here")
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            stack.enter_context(quiet_dask())
            stack.callback(self._here.shutdown, wait=False, cancel_futures=True)
            cluster = start_cluster(settings)
            stack.callback(cluster.close)
            self._loop = asyncio.new_event_loop()
            thread = threading.Thread(target=self._loop.run_forever, name="farm", daemon=True)
            thread.start()
            stack.callback(self._end_loop, thread)
            self._farm: _Farm = self._wait(self._new_farm(settings, cluster, jobs, heard))
            stack.callback(self._end_farm)
            self._wait(self._farm.begin())
            self._stack = stack.pop_all()

    async def _new_farm(
        self, settings: FarmSettings, cluster: Cluster, jobs: FarmJobs, heard: Heard
    ) -> _Farm:
        return _Farm(settings, cluster, jobs, heard, self._out)

    @property
    def isolation(self) -> Isolation:
        """The level at which all jobs run."""
        assert self._farm.isolation is not None
        return self._farm.isolation

    @property
    def accounting(self) -> Accounting:
        """How all jobs are counted."""
        return self._farm.accounting

    def quiet(self) -> AbstractContextManager[None]:
        """Nothing is timed here: nodes are other hosts."""
        return contextlib.nullcontext()

    def run(self, jobs: Iterator[QueuedJob]) -> Generator[list[DoneJob], None, None]:
        """Run jobs on the farm, and read prediction files here."""
        n_open = 0
        more = True
        try:
            while True:
                sent: list[QueuedJob] = []
                while more and n_open < max(self._farm.capacity, _LEAST_OPEN):
                    if (job := next(jobs, None)) is None:
                        more = False
                        break
                    n_open += 1
                    if job.here is not None:
                        self._here.submit(self._read, job)
                    else:
                        sent.append(job)
                if sent:
                    self._loop.call_soon_threadsafe(self._farm.add, sent)
                if not n_open:
                    return
                if done := self._ended():
                    n_open -= sum(one.final for one in done)
                    yield done
        finally:
            if n_open:
                # Given up: the nodes are to hear of it, and nothing of it may turn up later.
                self.close()

    def _ended(self) -> list[DoneJob]:
        """Return what has ended by now, after waiting for something to happen; it may be nothing."""
        done: list[DoneJob] = []
        item = self._out.get()
        while True:
            if isinstance(item, str):
                self._say(item)
            elif isinstance(item, BaseException):
                raise item
            else:
                done += item
            try:
                item = self._out.get_nowait()
            except queue.Empty:
                return done

    def _read(self, job: QueuedJob) -> None:
        """Read a prediction file in this process."""
        try:
            result = None
            if job.wanted():
                assert job.here is not None
                self._heard(job, "")
                result = job.here()
            self._out.put([DoneJob(job=job, result=result)])
        except BaseException as error:
            self._out.put(error)

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something in the event loop, and say meanwhile what there is to say."""
        ended = object()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.add_done_callback(lambda _: self._out.put(ended))
        held: deque[Any] = deque()
        try:
            while (item := self._out.get()) is not ended:
                if isinstance(item, str):
                    self._say(item)
                else:
                    held.append(item)
        except BaseException:
            future.cancel()
            raise
        for item in held:
            self._out.put(item)
        return future.result()

    def _end_farm(self) -> None:
        future = asyncio.run_coroutine_threadsafe(self._farm.end(), self._loop)
        with contextlib.suppress(TimeoutError):
            future.result(3 * _STOP_SECONDS)

    def _end_loop(self, thread: threading.Thread) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        thread.join(_STOP_SECONDS)
        if not thread.is_alive():
            self._loop.close()

    def close(self) -> None:
        """End everything that runs, as nobody's fault; a cluster that was started here ends with it."""
        self._stack.close()

"""Which job goes to which worker, and what becomes of it when a worker is lost: decisions only.

Nothing here talks, waits or reads a clock; whoever calls says what happened and when. Jobs are placed on
named workers by us and not by Dask, so that it is known which ones a lost worker was running.

A job that takes long travels alone. Short ones travel together, as a *parcel* of about a second's work that a
worker runs one after the other, with one more parcel waiting there, so that no worker ever waits for this
process.

A worker that is lost is no one's fault at first: its jobs run elsewhere, each in a parcel of its own. Who was
aboard of two lost workers is suspected, and from then on has a worker for itself, so that nobody else is
drawn in. A submission one of whose jobs loses two workers in that way is stopped. What only waited on a lost
worker, or was there when it left in good order, is suspected of nothing.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

__all__ = [
    "ABOARD_BEFORE_ALONE",
    "LOST_ALONE",
    "MOST_IN_PARCEL",
    "MOST_MOVES",
    "MOST_TRIES",
    "Answer",
    "Dispatch",
    "Key",
    "News",
    "Parcel",
]

Key = tuple[str, int]
"""Of a job: the digest of its submission, and its number."""

ABOARD_BEFORE_ALONE = 2
"""From so many lost workers on, a job or a submission that was aboard of them runs alone."""

LOST_ALONE = 2
"""So many workers may a job lose that it had for itself; the last one stops its submission."""

MOST_TRIES = 3
"""How often a job is tried that the host fails without being lost."""

MOST_MOVES = 20
"""How often a job may come back through nobody's fault, before that counts as a try that failed."""

MOST_IN_PARCEL = 64
_PARCEL_SECONDS = 1.0
_PARCEL_BYTES = 32 << 20
_RECENT = 2 * MOST_IN_PARCEL
"""So many of the last jobs say how long the next ones may take."""

_SICK = 8
"""So many jobs in a row failed by a node, and it gets none any more."""


class Answer(Enum):
    """What a worker says of one job of a parcel."""

    ENDED = auto()
    """It has a verdict."""
    FAILED = auto()
    """The host failed it."""
    NOT_RUN = auto()
    """It was not run, through no fault: something was missing there, or the parcel had taken long enough."""


@dataclass(frozen=True)
class Parcel:
    """Jobs that travel together to one worker and are run there one after the other."""

    number: int
    worker: str
    keys: tuple[Key, ...]
    alone: bool
    """Whether it has its worker for itself, since it is suspected to end workers."""


@dataclass(frozen=True)
class News:
    """What has become of a job."""

    key: Key
    final: bool
    """False: it is tried again."""
    failure: str = ""
    """Why the infrastructure failed it, where no worker has given a result that says so."""
    unwanted: bool = False
    """Whether it was not run, since nobody wants it any more."""


@dataclass
class _Job:
    key: Key
    aboard: int = 0
    alone: int = 0
    tries: int = 0
    moves: int = 0
    avoid: set[str] = field(default_factory=set)

    @property
    def is_marked(self) -> bool:
        """Whether it travels in a parcel of its own."""
        return bool(self.aboard or self.alone or self.tries or self.moves or self.avoid)


@dataclass
class _Worker:
    name: str
    node: str
    slots: int
    parcels: list[Parcel] = field(default_factory=list)
    sent: dict[int, float] = field(default_factory=dict)
    """How long each parcel that is there may take, in the order in which they were sent."""
    began: dict[int, float] = field(default_factory=dict)
    """When each that runs has begun."""
    kept: bool = False
    """Whether it is being emptied for a job that must be alone."""

    @property
    def is_alone(self) -> bool:
        return any(parcel.alone for parcel in self.parcels)


class Dispatch:
    """The jobs that are under way, and the workers; see the module.

    Parameters
    ----------
    wanted
        Whether a job is still wanted; asked when its turn has come, in the caller's own thread.
    """

    def __init__(self, wanted: Callable[[Key], bool]) -> None:
        self._wanted = wanted
        self._jobs: dict[Key, _Job] = {}
        self._workers: dict[str, _Worker] = {}
        self._parcels: dict[int, Parcel] = {}
        self._fresh: deque[Key] = deque()
        self._again: deque[Key] = deque()
        self._next_number = 0
        # By submission: on how many lost workers it was since it last did well alone, and why it is stopped.
        self._aboard: Counter[str] = Counter()
        self._stopped: dict[str, str] = {}
        self._failed_in_a_row: Counter[str] = Counter()
        self._recent: deque[tuple[float, int]] = deque(maxlen=_RECENT)
        self._begun: list[Parcel] = []
        self._news: list[News] = []

    def __len__(self) -> int:
        """Return how many jobs have been added and have not ended."""
        return len(self._jobs)

    @property
    def workers(self) -> Collection[str]:
        """Names of the workers that are here."""
        return self._workers.keys()

    @property
    def n_slots(self) -> int:
        """How many parcels can run at once."""
        return sum(worker.slots for worker in self._workers.values())

    @property
    def capacity(self) -> int:
        """How many jobs are worth having here: what runs, what waits at the workers, and as much again."""
        return 3 * self.n_slots * self._parcel_size()

    @property
    def sick_nodes(self) -> set[str]:
        """Nodes that have failed many jobs in a row and get none any more, as long as there are others."""
        return {node for node, failed in self._failed_in_a_row.items() if failed >= _SICK}

    def parcels_on(self, worker: str) -> tuple[Parcel, ...]:
        """Return what is on a worker, or on its way there."""
        return tuple(self._workers[worker].parcels) if worker in self._workers else ()

    def runs_alone(self, key: Key) -> bool:
        """Whether a job is suspected, or its whole submission is, and gets a worker for itself."""
        job = self._jobs[key]
        return (
            bool(job.alone)
            or job.aboard >= ABOARD_BEFORE_ALONE
            or self._aboard[key[0]] >= ABOARD_BEFORE_ALONE
        )

    def news(self) -> list[News]:
        """Return what has become of jobs since this was last asked."""
        news, self._news = self._news, []
        return news

    def begun(self) -> list[Parcel]:
        """Return the parcels that have begun to run since this was last asked."""
        begun, self._begun = self._begun, []
        return begun

    def add(self, key: Key) -> None:
        """Take a job in; its turn comes with `take`."""
        if key in self._jobs:
            raise ValueError(f"job {key} is here already")
        self._jobs[key] = _Job(key)
        self._fresh.append(key)

    def join(self, worker: str, node: str, slots: int) -> None:
        """Take a worker in that runs so many parcels at once; workers of one node share its fate."""
        if worker in self._workers:
            raise ValueError(f"worker {worker} is here already")
        self._workers[worker] = _Worker(worker, node, slots)

    def take(self) -> list[Parcel]:
        """Place what can be placed now, and return it to be sent; jobs that are not wanted end as that."""
        placed = [*self._place_alone(), *self._place_marked(), *self._place_fresh()]
        self._parcels |= {parcel.number: parcel for parcel in placed}
        return placed

    def sent(self, number: int, now: float, seconds: float) -> None:
        """Note that a parcel is on its worker, and how long it may take there from its beginning."""
        if (parcel := self._parcels.get(number)) is not None:
            worker = self._workers[parcel.worker]
            worker.sent[number] = seconds
            self._begin(worker, now)

    def answered(
        self, number: int, answers: Mapping[Key, Answer], now: float, seconds: float = 0.0, n_bytes: int = 0
    ) -> None:
        """Note what a worker says of each job of a parcel.

        Parameters
        ----------
        number, answers
            The parcel, and an answer for each of its jobs; nothing is done if the worker was lost meanwhile.
        now
            When.
        seconds, n_bytes
            Of the whole parcel: how long its jobs ran, how large their results are.
        """
        if (parcel := self._parcels.pop(number, None)) is None:
            return
        worker = self._workers[parcel.worker]
        self._remove(worker, parcel)
        self._begin(worker, now)
        n_run = sum(answer is Answer.ENDED for answer in answers.values())
        if n_run:
            self._recent.extend([(seconds / n_run, n_bytes // n_run)] * n_run)
        for key in parcel.keys:
            job, answer = self._jobs[key], answers[key]
            if answer is Answer.ENDED:
                self._failed_in_a_row[worker.node] = 0
                if parcel.alone:
                    self._aboard.pop(key[0], None)
                self._end(job)
            elif answer is Answer.FAILED:
                self._failed_in_a_row[worker.node] += 1
                self._failed(job, worker.node)
            else:
                self._moved(job)

    def lost(self, worker: str, in_good_order: bool = False) -> None:
        """Note that a worker has gone; what it had runs elsewhere.

        Parameters
        ----------
        worker
            Its name; nothing is done if it is not here.
        in_good_order
            Whether it said so before, as one does whose time is up.
        """
        if (gone := self._workers.pop(worker, None)) is None:
            return
        aboard = [] if in_good_order else [p for p in gone.parcels if p.number in gone.began]
        for parcel in gone.parcels:
            del self._parcels[parcel.number]
            if parcel not in aboard:
                for key in parcel.keys:
                    self._moved(self._jobs[key])
        if not any(parcel.alone for parcel in aboard):
            self._aboard.update({key[0] for parcel in aboard for key in parcel.keys})
        for parcel in aboard:
            for key in parcel.keys:
                self._lost(self._jobs[key], parcel, gone.node)

    def disconnected(self) -> None:
        """Note that all workers are out of reach, through the fault of none: everything runs again."""
        gone, self._workers = self._workers, {}
        self._parcels.clear()
        self._begun.clear()
        for worker in gone.values():
            for parcel in worker.parcels:
                for key in parcel.keys:
                    # However often a scheduler is started again, that is no failed try.
                    self._queue(self._jobs[key])

    def overdue(self, now: float) -> list[str]:
        """Return the workers on which something runs for longer than it may."""
        return [
            worker.name
            for worker in self._workers.values()
            if any(now - began > worker.sent[number] for number, began in worker.began.items())
        ]

    # What follows decides where jobs go.

    def _parcel_size(self) -> int:
        """Return how many jobs make a second's work; those that take longest count, since one may be next."""
        if not self._recent:
            return 1
        seconds = max(max(seconds for seconds, _ in self._recent), 1e-9)
        n_bytes = max(max(n_bytes for _, n_bytes in self._recent), 1)
        # No more together than half as many as are known to be short.
        most = min(
            MOST_IN_PARCEL, len(self._recent) // 2, _PARCEL_BYTES // n_bytes, _PARCEL_SECONDS / seconds
        )
        return max(1, int(most))

    def _usable(self) -> list[_Worker]:
        """Return the workers of nodes that are not sick, or all where there are no others."""
        sick = self.sick_nodes
        return [w for w in self._workers.values() if w.node not in sick] or list(self._workers.values())

    def _roomy(self) -> Iterator[_Worker]:
        """Give the workers with room, each time the one with the least to do; the caller places or stops."""
        # One parcel more than run at once is worth having there only if the next is needed soon.
        depth = 2 if self._parcel_size() > 1 else 1
        heap = [
            (len(worker.parcels) / worker.slots, number, worker)
            for number, worker in enumerate(self._usable())
            if not worker.kept and not worker.is_alone and len(worker.parcels) < depth * worker.slots
        ]
        heapq.heapify(heap)
        while heap:
            _, number, worker = heapq.heappop(heap)
            before = len(worker.parcels)
            yield worker
            if before < len(worker.parcels) < depth * worker.slots:
                heapq.heappush(heap, (len(worker.parcels) / worker.slots, number, worker))

    def _refused(self, key: Key) -> bool:
        """End a job, instead of running it, whose submission is stopped or that nobody wants."""
        if (why := self._stopped.get(key[0])) is not None:
            self._end(self._jobs[key], failure=why)
            return True
        if not self._wanted(key):
            self._end(self._jobs[key], unwanted=True)
            return True
        return False

    def _place(self, worker: _Worker, keys: Iterable[Key], alone: bool) -> Parcel:
        parcel = Parcel(self._next_number, worker.name, tuple(keys), alone)
        self._next_number += 1
        worker.parcels.append(parcel)
        worker.kept = False
        return parcel

    def _shunned(self, job: _Job, usable: Collection[_Worker]) -> set[str]:
        """Return the nodes on which a job is not tried again as long as there are others."""
        return set() if {worker.node for worker in usable} <= job.avoid else job.avoid

    def _place_alone(self) -> Iterator[Parcel]:
        """Give suspects a worker each, one job of a submission at a time; empty some for those who wait."""
        alone_now = {p.keys[0][0] for p in self._parcels.values() if p.alone}
        suspects = self._pick(self._again, self.runs_alone)
        if any(times >= ABOARD_BEFORE_ALONE for times in self._aboard.values()):
            suspects += self._pick(self._fresh, self.runs_alone)
        waiting: deque[Key] = deque()
        kept = 0
        for worker in self._workers.values():
            worker.kept = False
        usable = self._usable()
        for key in suspects:
            if self._refused(key):
                continue
            if key[0] in alone_now:
                waiting.append(key)
                continue
            # Whether it gets a worker or waits for one: the others of its submission come later.
            alone_now.add(key[0])
            shunned = self._shunned(self._jobs[key], usable)
            free = [w for w in usable if not w.kept and not w.is_alone and w.node not in shunned]
            if not free:
                waiting.append(key)
                continue
            worker = min(free, key=lambda worker: len(worker.parcels))
            if not worker.parcels:
                yield self._place(worker, [key], alone=True)
                continue
            waiting.append(key)
            # The innocent go on meanwhile, on at least half of the workers.
            if kept < max(1, len(usable) // 2):
                worker.kept = True
                kept += 1
        self._again.extendleft(reversed(waiting))

    def _pick(self, queue: deque[Key], which: Callable[[Key], bool]) -> list[Key]:
        """Take jobs out of a queue, in its order."""
        picked = [key for key in queue if which(key)]
        if picked:
            left = [key for key in queue if not which(key)]
            queue.clear()
            queue.extend(left)
        return picked

    def _place_marked(self) -> Iterator[Parcel]:
        """Place jobs that have something behind them, each in a parcel of its own."""
        usable = self._usable()
        waiting = {}
        for key in [key for key in self._again if not self.runs_alone(key)]:
            if self._refused(key):
                self._again.remove(key)
            else:
                waiting[key] = self._shunned(self._jobs[key], usable)
        for worker in self._roomy() if waiting else ():
            found = next((key for key, shunned in waiting.items() if worker.node not in shunned), None)
            if found is not None:
                del waiting[found]
                self._again.remove(found)
                yield self._place(worker, [found], alone=False)

    def _place_fresh(self) -> Iterator[Parcel]:
        size, n_slots = self._parcel_size(), self.n_slots
        for worker in self._roomy():
            # The last ones are shared out, so that all workers end at the same time.
            most = min(size, -(-len(self._fresh) // n_slots))
            keys: list[Key] = []
            while self._fresh and len(keys) < most:
                key = self._fresh.popleft()
                if not self._refused(key):
                    keys.append(key)
            if not keys:
                return
            yield self._place(worker, keys, alone=False)

    # What follows decides what becomes of jobs.

    def _begin(self, worker: _Worker, now: float) -> None:
        """Note which parcels run: those that were sent first, as many as there are slots."""
        by_number = {parcel.number: parcel for parcel in worker.parcels}
        for number in list(worker.sent)[: worker.slots]:
            if number not in worker.began:
                worker.began[number] = now
                self._begun.append(by_number[number])

    def _remove(self, worker: _Worker, parcel: Parcel) -> None:
        worker.parcels.remove(parcel)
        worker.sent.pop(parcel.number, None)
        worker.began.pop(parcel.number, None)

    def _end(self, job: _Job, failure: str = "", unwanted: bool = False) -> None:
        del self._jobs[job.key]
        self._news.append(News(job.key, True, failure, unwanted))

    def _queue(self, job: _Job) -> None:
        """Put a job back; what was tried before goes first."""
        if (why := self._stopped.get(job.key[0])) is not None:
            self._end(job, failure=why)
        elif job.alone:
            # The sooner it has its last try, the fewer workers are lost to others of its submission.
            self._again.appendleft(job.key)
        elif job.is_marked:
            self._again.append(job.key)
        else:
            self._fresh.appendleft(job.key)

    def _moved(self, job: _Job) -> None:
        """Run a job elsewhere as if nothing had happened, unless that happens again and again."""
        job.moves += 1
        if job.moves % MOST_MOVES:
            self._queue(job)
            return
        self._failed(job, "", f"came back {MOST_MOVES} times without being run")

    def _failed(self, job: _Job, node: str, failure: str = "") -> None:
        job.tries += 1
        if node:
            job.avoid.add(node)
        if job.tries >= MOST_TRIES:
            self._end(job, failure)
        else:
            self._news.append(News(job.key, False, failure))
            self._queue(job)

    def _lost(self, job: _Job, parcel: Parcel, node: str) -> None:
        """Note that a worker has ended while it ran a job, or was to run it next in the same parcel."""
        job.avoid.add(node)
        if not parcel.alone:
            job.aboard += 1
        else:
            job.alone += 1
            if job.alone >= LOST_ALONE:
                self._stop(job)
                return
        self._news.append(News(job.key, False, f"its worker {parcel.worker} ended or was lost"))
        self._queue(job)

    def _stop(self, job: _Job) -> None:
        """Stop the submission of a job that has ended the workers which it had for itself."""
        submission = job.key[0]
        total = job.aboard + job.alone
        self._stopped[submission] = (
            f"stopped: {total} workers ended or were lost while they ran a job of it, on {job.alone} of them "
            "nothing else was running; look at the submission and at the nodes before it is run again"
        )
        self._end(job, failure=self._stopped[submission])
        for queue in (self._again, self._fresh):
            for key in [key for key in queue if key[0] == submission]:
                queue.remove(key)
                self._end(self._jobs[key], failure=self._stopped[submission])

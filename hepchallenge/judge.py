"""Submissions on their way from jobs to a verdict: what is not recorded is run, scored and recorded."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.job_making import JobMaker, recorded_predictions
from hepchallenge.records import (
    BoardEntry,
    FoldOutcome,
    RunKey,
    Scoring,
    Submission,
    Verdict,
    fold_and_training,
    job_number,
)
from hepchallenge.store import RunRequest, key_digest

if TYPE_CHECKING:
    import numpy as np

    from hepchallenge.contract import Challenge
    from hepchallenge.progress import Progress
    from hepchallenge.run.backend import Backend, DoneJob, QueuedJob
    from hepchallenge.run.jobs import FoldJob, FoldResult
    from hepchallenge.scorer.scorer import JobScores, Scorer
    from hepchallenge.stage.stage import Staged
    from hepchallenge.stage.submission import TakenIn
    from hepchallenge.store import Run, Store

__all__ = ["Conditions", "Judge", "Work", "label_all"]

_OPENED_TOGETHER = 16
"""How many runs are opened in one transaction; a command holds the locks of as many that wait."""


@dataclass(frozen=True)
class Conditions:
    """Under which conditions a command runs submissions, besides the key of a run."""

    isolation: str
    accounting: str
    versions: dict[str, str]
    rerun: bool


@dataclass
class Work:
    """One submission on its way through."""

    id: int
    """Of the submission in the store."""
    record: Submission
    taken: TakenIn | None
    refusal: str
    received_at: str
    label: str = ""
    """What it is called while it runs: its name, with its digest where others are called the same."""


@dataclass
class _Case:
    """All submissions with the same files: they share a run, whatever they are called."""

    key: RunKey
    works: list[Work]
    lock: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    opened: Run | None = None
    outcomes: dict[int, FoldOutcome] = field(default_factory=dict)
    arrays: dict[int, Mapping[str, np.ndarray]] = field(default_factory=dict)
    fold_scores: dict[int, JobScores] = field(default_factory=dict)
    left: int = 0
    """Jobs that have not ended."""
    over: bool = False
    """Whether a job has failed, so that no more are wanted."""

    @property
    def run(self) -> Run:
        assert self.opened is not None, "a run is opened before anything is asked of it"
        return self.opened

    @property
    def first(self) -> Work:
        """The one that stands for all while jobs run."""
        return self.works[0]

    def forget(self) -> None:
        """Let go of what is recorded: a command has many submissions."""
        self.opened = None
        self.outcomes, self.arrays, self.fold_scores = {}, {}, {}

    @property
    def failed(self) -> FoldOutcome | None:
        """The first job that did not succeed, or None."""
        return next((o for _, o in sorted(self.outcomes.items()) if not o.succeeded), None)


def label_all(works: Sequence[Work]) -> None:
    """Give every submission a label of its own."""
    names = Counter(work.record.name for work in works)
    given: set[str] = set()
    for work in works:
        name, digest = work.record.name, work.record.digest
        work.label = name if names[name] == 1 else f"{name} ({digest[:8]})"
        # Names may be made to look like this, and digests to begin alike.
        while work.label in given:
            work.label += f" #{work.id}"
        given.add(work.label)


class Judge:
    """Brings submissions to their verdicts, on one challenge and its staged data.

    Parameters
    ----------
    challenge, staged, store, backend, scorer, progress
        Of the command.
    key
        What the runs have in common: the key of any of them.
    conditions
        Under which they are run.
    """

    def __init__(
        self,
        challenge: Challenge,
        staged: Staged,
        store: Store,
        backend: Backend,
        scorer: Scorer,
        progress: Progress,
        key: RunKey,
        conditions: Conditions,
    ) -> None:
        self._staged = staged
        self._store = store
        self._backend = backend
        self._scorer = scorer
        self._progress = progress
        self._key = key
        self._conditions = conditions
        self._maker = JobMaker(challenge, staged, store, progress.event_done, backend.quiet)
        self._cases: dict[str, _Case] = {}
        # Of this command; all others are read from the store when all is done.
        self._host_failed: dict[int, BoardEntry] = {}

    def key_of(self, work: Work) -> RunKey:
        """Return the key of the run of a submission."""
        return replace(self._key, submission_digest=work.record.digest)

    def unsettled(self, works: Sequence[Work]) -> list[Work]:
        """Return those that have no verdict of their own yet, or all if they are to be run again."""
        if self._conditions.rerun:
            return list(works)
        settled = self._store.settled([self.key_of(work) for work in works])
        return [work for work in works if key_digest(self.key_of(work)) not in settled]

    def judge(self, works: Sequence[Work]) -> list[BoardEntry]:
        """Run, score and record what has no verdict yet; return the entries of all, in their order.

        Raises
        ------
        OrganiserError, InfrastructureError
            If no more can be run. What is recorded stays; the same command goes on with the rest.
        """
        by_digest: dict[str, list[Work]] = {}
        for work in works:
            by_digest.setdefault(work.record.digest, []).append(work)
        cases = [_Case(self.key_of(same[0]), same) for same in by_digest.values()]
        open_ones = {work.record.digest for work in self.unsettled([case.first for case in cases])}
        todo = [case for case in cases if case.first.record.digest in open_ones]
        self._progress.begin({case.first.label: len(self._all_jobs(case)) for case in todo})
        with ThreadPoolExecutor(1) as beside:
            # While jobs run: afterwards somebody would wait for it.
            ready = beside.submit(self._scorer.prepare) if todo else None
            busy = self._run_all(todo, ready, wait=False)
            # Nothing is locked here any more, so that two commands cannot wait for each other.
            for case in busy:
                self._run_all([case], ready, wait=True)
        entries = self._entries(works)
        changed: dict[str, _Case] = {}
        for case in (case for case in cases if case.first.record.digest not in open_ones):
            for work in case.works:
                if entries[work.id].scoring.scorer_version != self._scorer.version:
                    changed[work.record.digest] = case
                else:
                    self._tell(work, entries[work.id])
        for case in changed.values():
            # It has a verdict, which is made otherwise now.
            self._run_all([case], None, wait=True)
            entries |= self._entries(case.works)
        entries |= self._host_failed
        return [entries[work.id] for work in works]

    def _entries(self, works: Sequence[Work]) -> dict[int, BoardEntry]:
        """Return the entries of submissions that have a verdict, by their ids."""
        found = self._store.entries_for([(work.id, self.key_of(work)) for work in works])
        return {work.id: entry for work, entry in zip(works, found, strict=True)}

    def _tell(self, work: Work, entry: BoardEntry) -> None:
        self._progress.submission_done(replace(entry, submission=replace(work.record, name=work.label)))

    # Jobs

    def _all_jobs(self, case: _Case) -> list[int]:
        """Return the numbers of the jobs that a submission's scores are made of."""
        if case.first.refusal:
            return []
        if case.first.record.kind == "predictions":
            return [0]
        n_folds = len(self._staged.truth.folds)
        return [
            job_number(fold, training) for training in range(case.key.trainings) for fold in range(n_folds)
        ]

    def _run_all(self, cases: Sequence[_Case], ready: Future[None] | None, *, wait: bool) -> list[_Case]:
        """Run what is pending and finish it; return what another command has locked."""
        busy: list[_Case] = []
        try:
            with (
                contextlib.closing(self._queue(cases, busy, wait=wait)) as jobs,
                contextlib.closing(self._backend.run(jobs)) as batches,
            ):
                for batch in batches:
                    if ready is not None:
                        ready.result()
                    self._take(batch)
        finally:
            for case in self._cases.values():
                case.lock.close()
            self._cases.clear()
        return busy

    def _queue(self, cases: Sequence[_Case], busy: list[_Case], *, wait: bool) -> Generator[QueuedJob]:
        """Open runs when their turn comes, and give their jobs; put those aside that another command has."""
        from hepchallenge.run.backend import QueuedJob

        for first in range(0, len(cases), _OPENED_TOGETHER):
            some = cases[first : first + _OPENED_TOGETHER]
            locked = [case for case in some if self._lock(case, wait)]
            busy += [case for case in some if case not in locked]
            self._open(locked)
            for case in locked:
                pending = [number for number in self._all_jobs(case) if number not in case.outcomes]
                if case.failed is not None:
                    pending = []
                case.left = len(pending)
                if not pending:
                    self._finish([case])
                for number in pending:
                    yield QueuedJob(
                        digest=case.first.record.digest,
                        number=number,
                        label=case.first.label,
                        make=partial(self._make, case, number),
                        wanted=partial(_is_wanted, case),
                        here=partial(self._read, case) if case.first.record.kind == "predictions" else None,
                    )

    def _make(self, case: _Case, number: int) -> FoldJob:
        assert case.first.taken is not None, "what is run was taken in"
        return self._maker.code_job(case.first.label, case.first.taken, case.run, number)

    def _read(self, case: _Case) -> FoldResult:
        taken = case.first.taken
        assert taken is not None
        assert taken.prediction_file is not None
        return self._maker.read_file(taken.prediction_file, case.run)

    def _lock(self, case: _Case, wait: bool) -> bool:
        """Keep other commands from running the same; whether that was possible."""
        if wait:
            short = case.first.record.digest[:8]

            def say_waiting() -> None:
                self._progress.say(f"another command is running submission {short}; waiting for it")

            case.lock.enter_context(self._store.lock(case.key, say_waiting))
        elif (lock := self._store.try_lock(case.key)) is not None:
            case.lock.enter_context(lock)
        else:
            return False
        self._cases[case.first.record.digest] = case
        return True

    def _open(self, cases: Sequence[_Case]) -> None:
        """Open the runs, and take over what is recorded of them."""
        asked = self._conditions
        runs = self._store.open_runs(
            [
                RunRequest(
                    key=case.key,
                    submission_id=case.first.id,
                    data=self._staged.data,
                    isolation=asked.isolation,
                    accounting=asked.accounting,
                    versions=asked.versions,
                    rerun=asked.rerun,
                )
                for case in cases
            ]
        )
        for case, run in zip(cases, runs, strict=True):
            case.opened = run
            recorded = self._store.fold_outcomes(run)
            for number, outcome in recorded.items():
                # A kill may have come between the record and this.
                self._store.drop_live_log(run, number)
                self._take_outcome(case, outcome)
            if recorded:
                self._progress.taken_over(case.first.label, len(recorded))

    # Results

    def _take(self, batch: Sequence[DoneJob]) -> None:
        """Record how jobs ended, score them at once, and finish submissions with their last."""
        ended: list[tuple[_Case, DoneJob, FoldOutcome, Mapping[str, np.ndarray]]] = []
        for done in batch:
            case = self._cases[done.job.digest]
            if done.result is not None:
                ended.append((case, done, *self._maker.outcome(case.run, done.job.number, done.result)))
        recorded = self._store.record_folds([(case.run, outcome) for case, _, outcome, _ in ended])
        for (case, done, outcome, arrays), kept in zip(ended, recorded, strict=True):
            self._store.drop_live_log(case.run, done.job.number)
            if not done.final:
                self._progress.try_failed(case.first.label, outcome)
                continue
            if kept.predictions == outcome.predictions:
                # Else somebody else was faster, and that record counts.
                case.arrays[done.job.number] = arrays
            self._take_outcome(case, kept)
            self._progress.fold_done(case.first.label, kept)
        finished = []
        for done in batch:
            if not done.final:
                continue
            case = self._cases[done.job.digest]
            if done.result is None:
                self._progress.job_dropped(done.job.label, *fold_and_training(done.job.number))
            case.left -= 1
            if not case.left:
                finished.append(case)
        self._finish(finished)

    def _take_outcome(self, case: _Case, outcome: FoldOutcome) -> None:
        """Note how a job ended, and score it at once."""
        case.outcomes[outcome.job] = outcome
        if outcome.succeeded:
            with self._backend.quiet():
                self._score_fold(case, outcome.job)
        else:
            case.over = True

    def _predictions(self, case: _Case, number: int) -> Mapping[str, np.ndarray]:
        if number not in case.arrays:
            case.arrays[number] = recorded_predictions(self._store, case.outcomes[number])
        return case.arrays[number]

    def _score_fold(self, case: _Case, number: int) -> None:
        # A metric that fails is reported when the submission is finished.
        with contextlib.suppress(InvalidSubmission):
            fold = fold_and_training(number)[0] if case.first.record.kind == "code" else None
            seconds = case.outcomes[number].event_seconds
            case.fold_scores[number] = self._scorer.score_fold(fold, self._predictions(case, number), seconds)

    def _scoring(self, case: _Case) -> Scoring:
        version, work = self._scorer.version, case.first
        if work.refusal:
            return Scoring(verdict=Verdict.INVALID_SUBMISSION, message=work.refusal, scorer_version=version)
        if (failed := case.failed) is not None:
            which = f", training {failed.training}" if case.key.trainings > 1 else ""
            where = f"fold {failed.fold}{which}: " if work.record.kind == "code" else ""
            return Scoring(verdict=failed.verdict, message=f"{where}{failed.message}", scorer_version=version)
        jobs = sorted(case.outcomes)
        known = [case.fold_scores[number] for number in jobs if number in case.fold_scores]
        with self._backend.quiet():
            return self._scorer.score_run(
                [self._predictions(case, number) for number in jobs],
                work.record.kind,
                [case.outcomes[number].event_seconds for number in jobs],
                known if len(known) == len(jobs) else None,
            )

    def _finish(self, cases: Sequence[_Case]) -> None:
        """Score submissions unless that is recorded already, tell of them, and let go of them."""
        scorings: list[Scoring] = []
        fresh: list[tuple[Run, Scoring]] = []
        for case in cases:
            latest = self._store.latest_scoring(case.run)
            if (
                latest is None
                or latest.scorer_version != self._scorer.version
                or latest.verdict is Verdict.INFRASTRUCTURE
            ):
                latest = self._scoring(case)
                fresh.append((case.run, latest))
            scorings.append(latest)
        self._store.record_scorings(fresh)
        for case, scoring in zip(cases, scorings, strict=True):
            for work in case.works:
                entry = self._entry(case, work, scoring)
                if scoring.verdict is Verdict.INFRASTRUCTURE:
                    self._host_failed[work.id] = entry
                self._tell(work, entry)
            case.lock.close()
            case.forget()
            del self._cases[case.first.record.digest]

    @staticmethod
    def _entry(case: _Case, work: Work, scoring: Scoring) -> BoardEntry:
        run = case.run
        return BoardEntry(
            submission=work.record,
            run_key=run.key,
            data=run.data,
            isolation=run.isolation,
            accounting=run.accounting,
            received_at=work.received_at,
            run_at=run.created_at,
            versions=run.versions,
            scoring=scoring,
            folds=tuple(outcome for _, outcome in sorted(case.outcomes.items())),
        )


def _is_wanted(case: _Case) -> bool:
    return not case.over

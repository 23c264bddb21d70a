"""The one way through: stage -> run -> score, recorded in the workspace, ready for the board."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hepchallenge.exceptions import InvalidSubmission, OrganiserError, UsageError
from hepchallenge.records import (
    BoardEntry,
    DataInfo,
    Document,
    FoldOutcome,
    Limits,
    RunKey,
    Scoring,
    StoredArray,
    Submission,
    Verdict,
    fold_and_training,
    job_number,
)
from hepchallenge.text import safe_text

if TYPE_CHECKING:
    import numpy as np

    from hepchallenge.contract import BoardRules, Challenge, ChallengeFolder
    from hepchallenge.run.jobs import EventJob, FoldJob
    from hepchallenge.run.runner import Runner
    from hepchallenge.scorer.scorer import JobScores, Scorer
    from hepchallenge.stage.stage import Staged
    from hepchallenge.stage.submission import TakenIn
    from hepchallenge.store import Run, Store

__all__ = ["Progress", "Rescored", "Silent", "data_for", "recorded_predictions", "rescore", "score"]

_MOST_AT_ONCE = 400
"""How many submissions are locked and run together."""

_TRIES = 2
"""How often a fold is tried when the infrastructure fails."""


class Progress(Protocol):
    """What a command wants to hear while it works; called from one thread at a time."""

    def say(self, text: str) -> None:
        """Show a remark."""

    def begin(self, folds: dict[str, int]) -> None:
        """Folds that will be run, by submission."""

    def event_done(self, name: str, fold: int, done: int, total: int) -> None:
        """So many events of a fold are predicted, out of so many; called from any thread."""

    def fold_done(self, name: str, outcome: FoldOutcome) -> None:
        """A fold has ended."""

    def submission_done(self, entry: BoardEntry) -> None:
        """A submission has its verdict."""


class Silent:
    """Hears everything and shows nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""

    def begin(self, folds: dict[str, int]) -> None:
        """Show nothing."""

    def event_done(self, name: str, fold: int, done: int, total: int) -> None:
        """Show nothing."""

    def fold_done(self, name: str, outcome: FoldOutcome) -> None:
        """Show nothing."""

    def submission_done(self, entry: BoardEntry) -> None:
        """Show nothing."""


class _Turns:
    """Keeps this process quiet while events are timed: any number of folds run, or one thing is scored."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._scoring = False
        self._wanting_to_score = 0

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """Be one of the folds that run."""
        with self._changed:
            # Who waits for a score goes first, so that results are shown as they come.
            self._changed.wait_for(lambda: not self._scoring and not self._wanting_to_score)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def score(self) -> Iterator[None]:
        """Do what costs time while no fold runs."""
        with self._changed:
            self._wanting_to_score += 1
            self._changed.wait_for(lambda: not self._scoring and not self._running)
            self._wanting_to_score -= 1
            self._scoring = True
        try:
            yield
        finally:
            with self._changed:
                self._scoring = False
                self._changed.notify_all()


class _StoredPredictions(Mapping[str, "np.ndarray"]):
    """Predictions of events, each read from the store when it is asked for."""

    def __init__(self, store: Store, stored: Mapping[str, StoredArray]) -> None:
        self._store = store
        self._stored = stored

    def __getitem__(self, key: str) -> np.ndarray:
        return self._store.load_array(self._stored[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


@dataclass
class _Work:
    """One submission on its way through."""

    id: int
    """Of the submission in the store."""
    record: Submission
    taken: TakenIn | None
    refusal: str
    received_at: str
    run: Run | None = None
    outcomes: dict[int, FoldOutcome] = field(default_factory=dict)
    arrays: dict[int, Mapping[str, np.ndarray]] = field(default_factory=dict)
    fold_scores: dict[int, JobScores] = field(default_factory=dict)
    entry: BoardEntry | None = None
    label: str = ""
    """What it is called while it runs: its name, with its digest where others are called the same."""

    @property
    def failed(self) -> FoldOutcome | None:
        """The first fold that did not succeed, or None."""
        return next((o for _, o in sorted(self.outcomes.items()) if not o.succeeded), None)


def recorded_predictions(store: Store, outcome: FoldOutcome) -> Mapping[str, np.ndarray]:
    """Return the predictions of a fold: those of rows at once, those of events one by one."""
    stored = outcome.predictions
    if any("/" in key for key in stored):
        return _StoredPredictions(store, stored)
    return {part: store.load_array(array) for part, array in stored.items()}


def narrowed(array: np.ndarray) -> np.ndarray:
    """Return whole numbers in half the space if none is lost by it; there is one for every hit."""
    import numpy as np

    if array.dtype == np.int64 and array.size and abs(array).max() <= np.iinfo(np.int32).max:
        return array.astype(np.int32)
    return array


def _sources(folder: ChallengeFolder, submissions: Sequence[str | os.PathLike[str]]) -> list[Path]:
    if submissions:
        return [Path(source) for source in submissions]
    kits = list(folder.kits)
    if not kits:
        raise UsageError(
            f"{folder.name} has no starting kits in {folder.kits_folder}; name a submission folder"
        )
    return kits


def _copies(folder: ChallengeFolder, workspace: str | os.PathLike[str] | None) -> list[Path]:
    """Return the workspace's copies of what was received and has no verdict of its own anywhere yet."""
    from hepchallenge.store import open_workspace

    with open_workspace(workspace, must_exist=True) as store:
        known = store.received(folder.name)
        if not known:
            raise UsageError(
                f"{store.workspace}: nothing was received for {folder.name}; "
                f"try: hepchallenge receive {folder.name} SUBMISSION"
            )
        copies = store.workspace / "submissions"
        return [copies / one.submission.digest for one in known if one.state != "own"]


def _receive_all(
    challenge: Challenge, sources: Sequence[Path], store: Store, rules: BoardRules, heard: Progress
) -> tuple[list[_Work], list[str]]:
    """Take submissions in and record their receipt; return those to run, and names of those over quota."""
    from hepchallenge.reception import admissions, take_in_all

    works = []
    for arrival in take_in_all(challenge, sources, store):
        number = store.add_submission(challenge.name, arrival.record)
        # As it was received first, and with the team that the organiser knows.
        record, received_at = store.submission(number)
        works.append(_Work(number, record, arrival.taken, arrival.refusal, received_at))
    if not rules.phases:
        return works, []
    said = admissions(store.received(challenge.name), rules)
    to_run, over_quota = [], []
    for work in works:
        if said[work.id].over_quota:
            over_quota.append(work.record.name)
            heard.say(f"{work.record.name}: not run: {said[work.id].refusal}")
        else:
            to_run.append(work)
    return to_run, over_quota


def _received_before(challenge: Challenge, store: Store, rules: BoardRules, heard: Progress) -> list[_Work]:
    """Return what the workspace has received and the quotas admit."""
    from hepchallenge.reception import admissions

    received = store.received(challenge.name)
    said = admissions(received, rules)
    works, n_over = [], 0
    for one in received:
        if said[one.id].over_quota:
            n_over += 1
        else:
            works.append(_Work(one.id, one.submission, None, "", one.received_at))
    if n_over:
        # Each was named with its reason when it was received.
        heard.say(f"{n_over} received over quota: not run")
    return works


def _without_verdict(works: Sequence[_Work], judge: _Judge, conditions: _Conditions) -> list[_Work]:
    """Return the received submissions that are still to be run, with their copies."""
    from hepchallenge.reception import arrived_before

    waiting = [
        work
        for work in works
        if conditions.rerun or not judge.store.is_settled(_run_key(judge, conditions, work))
    ]
    judge.progress.say(f"{len(waiting)} of {len(works)} received to run on these data with these limits")
    for work in waiting:
        arrival = arrived_before(judge.store, work.record)
        work.taken, work.refusal = arrival.taken, arrival.refusal
    return waiting


def _label(works: Sequence[_Work]) -> None:
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


class _Judge:
    """Runs what is not recorded yet, scores it, and makes the entries."""

    def __init__(
        self,
        challenge: Challenge,
        staged: Staged,
        store: Store,
        runner: Runner,
        scorer: Scorer,
        progress: Progress,
        trainings: int,
    ) -> None:
        self.trainings = trainings
        self.challenge = challenge
        self.staged = staged
        self.store = store
        self.runner = runner
        self.scorer = scorer
        self.progress = progress
        self._turns = _Turns() if staged.events is not None else None

    def _quietly(self) -> contextlib.AbstractContextManager[None]:
        """Wait until no event is timed, and let none be meanwhile."""
        return self._turns.score() if self._turns else contextlib.nullcontext()

    def pending(self, work: _Work) -> list[int]:
        """Return the jobs of a submission that have to be run: folds, each as often as it is trained."""
        if work.refusal or work.failed is not None:
            return []
        jobs = [0]
        if work.record.kind == "code":
            n_folds = len(self.staged.truth.folds)
            jobs = [
                job_number(fold, training) for training in range(self.trainings) for fold in range(n_folds)
            ]
        return [job for job in jobs if job not in work.outcomes]

    def run_fold(self, work: _Work, number: int, given_up: threading.Event) -> FoldOutcome | None:
        """Run and record one job; None if another one of the submission has failed meanwhile."""
        if given_up.is_set():
            return None
        for attempt in range(_TRIES):
            outcome, arrays = (
                self._run_code(work, number) if work.record.kind == "code" else self._read_predictions(work)
            )
            assert work.run is not None, "a run is opened before its folds"
            found = outcome.predictions
            outcome = self.store.record_fold(work.run, outcome)
            self.store.drop_live_log(work.run, number)
            if outcome.verdict is not Verdict.INFRASTRUCTURE or attempt == _TRIES - 1:
                break
        if not outcome.succeeded:
            given_up.set()
        if outcome.predictions == found:
            # Else a copy of this submission under another name was faster, and its record counts.
            work.arrays[number] = arrays
        return outcome

    def _run_code(self, work: _Work, number: int) -> tuple[FoldOutcome, Mapping[str, np.ndarray]]:
        from hepchallenge.run.logs import read_live_log

        assert work.run is not None
        fold, training = fold_and_training(number)
        live_log = self.store.live_log(work.run, number)
        self.store.drop_live_log(work.run, number)
        stored: dict[str, StoredArray] = {}
        job = self._job(work, number, stored)
        with self._turns.run() if self._turns else contextlib.nullcontext():
            result = self.runner.run_fold(job)
        log = result.log or read_live_log(live_log)
        predictions = result.predictions
        if self.staged.stream is not None and predictions:
            predictions = self.staged.stream.split(predictions["stream"])
        stored |= {part: self.store.save_array(array) for part, array in predictions.items()}
        outcome = FoldOutcome(
            fold=fold,
            training=training,
            verdict=result.verdict,
            message=result.message,
            predictions=stored if result.verdict is Verdict.SCORED else {},
            phases=tuple(result.phases),
            wall_seconds=result.wall_seconds,
            cpu_seconds=result.cpu_seconds,
            peak_memory_bytes=result.peak_memory_bytes,
            gpus=result.gpus,
            gpu_seconds=result.gpu_seconds,
            gpu_peak_memory_bytes=result.gpu_peak_memory_bytes,
            event_seconds=result.event_seconds,
            host=result.host,
            log=self.store.save_log(log) if log else "",
        )
        arrays = predictions if job.events is None else _StoredPredictions(self.store, stored)
        return outcome, arrays

    def _job(self, work: _Work, number: int, stored: dict[str, StoredArray]) -> FoldJob:
        """Return what the runner needs for a fold; predictions of events are put into `stored`."""
        from hepchallenge.data import cache_root
        from hepchallenge.run.runner import FoldJob
        from hepchallenge.stage.labels import mask_labels

        assert work.taken is not None
        assert work.run is not None
        truth = self.staged.truth
        fold, training = fold_and_training(number)
        train_is, valid_is = truth.folds[fold]
        events = self._event_job(work, number, stored)
        stream = self.staged.stream
        return FoldJob(
            fold=fold,
            submission=work.taken.folder,
            train_inputs=self.staged.train_inputs,
            test_inputs=stream.inputs if stream else self.staged.test_inputs,
            labels=mask_labels(truth.y_train, train_is) if events is None else None,
            train_is=train_is,
            valid_is=valid_is,
            n_train=truth.n_train,
            n_test=truth.n_test,
            n_stream=stream.n_rows if stream else None,
            seed=work.run.key.seed + training,
            predictions_class=self.challenge.problem.Predictions,
            hidden=(self.staged.path, self.store.workspace, cache_root()),
            live_log=self.store.live_log(work.run, number),
            events=events,
        )

    def _event_job(self, work: _Work, number: int, stored: dict[str, StoredArray]) -> EventJob | None:
        from hepchallenge.run.jobs import EventJob

        if (events := self.staged.events) is None:
            return None
        truth, name = self.staged.truth, work.label

        def keep(key: str, array: np.ndarray) -> None:
            stored[key] = self.store.save_array(narrowed(array))

        return EventJob(
            train=events.train,
            truths=truth.y_train,
            test=events.test,
            n_rows=lambda part, number: len((truth.y_test if part == "test" else truth.y_train)[number]),
            keep=keep,
            heard=lambda done, total: self.progress.event_done(name, number, done, total),
        )

    def _read_predictions(self, work: _Work) -> tuple[FoldOutcome, Mapping[str, np.ndarray]]:
        ids, n_test = self.staged.test_ids, self.staged.truth.n_test
        if ids is None or n_test is None:
            raise OrganiserError(
                "prediction files cannot be scored on these data: ids or labels of the test rows are unknown"
            )
        started, cpu = time.monotonic(), time.thread_time()
        arrays: Mapping[str, np.ndarray] = {}
        stored: dict[str, StoredArray] = {}
        verdict, message = Verdict.SCORED, ""
        try:
            if self.staged.events is not None:
                with self._quietly():
                    stored = self._read_events(work, ids)
                arrays = _StoredPredictions(self.store, stored)
            else:
                arrays = self._read_rows(work, ids)
                stored = {part: self.store.save_array(array) for part, array in arrays.items()}
        except InvalidSubmission as error:
            verdict, message = Verdict.INVALID_SUBMISSION, safe_text(str(error))
        outcome = FoldOutcome(
            fold=0,
            verdict=verdict,
            message=message,
            predictions=stored,
            wall_seconds=time.monotonic() - started,
            cpu_seconds=time.thread_time() - cpu,
        )
        return outcome, arrays

    def _read_rows(self, work: _Work, test_ids: np.ndarray) -> dict[str, np.ndarray]:
        """Return the predictions of a file for the test rows, and for those of gates."""
        import numpy as np

        from hepchallenge.run.intake import check_prediction
        from hepchallenge.run.prediction_file import read_prediction_file

        assert work.taken is not None
        assert work.taken.prediction_file is not None
        problem, expected = self.challenge.problem, self.challenge.config.prediction_file
        assert expected is not None
        assert problem.predictions_from_columns is not None
        samples = {"test": test_ids, **self.staged.gate_ids}
        ids = np.concatenate(list(samples.values()))
        columns = read_prediction_file(work.taken.prediction_file, expected.columns, expected.id, ids)
        prediction = np.asarray(problem.predictions_from_columns(columns))
        checked = check_prediction(prediction, "test", len(ids), problem.Predictions)
        ends = np.cumsum([len(sample) for sample in samples.values()])
        return dict(zip(samples, np.split(checked, ends[:-1]), strict=True))

    def _read_events(self, work: _Work, event_ids: np.ndarray) -> dict[str, StoredArray]:
        """Store the predictions of a file for the test events, one event at a time."""
        from hepchallenge.run.event_predictions import read_event_predictions
        from hepchallenge.run.intake import check_prediction

        assert work.taken is not None
        assert work.taken.prediction_file is not None
        problem, expected, events = (
            self.challenge.problem,
            self.challenge.config.prediction_file,
            self.staged.events,
        )
        assert expected is not None
        assert expected.event is not None
        assert events is not None
        get_hit_ids = problem.get_hit_ids
        assert get_hit_ids is not None
        stored = {}
        with tempfile.TemporaryDirectory(dir=self.store.workspace, prefix=".events-") as folder:
            arrays = read_event_predictions(
                work.taken.prediction_file,
                expected.columns,
                expected.event,
                expected.id,
                event_ids,
                lambda number: get_hit_ids(events.test, number),
                Path(folder),
            )
            for number, array in enumerate(arrays):
                key = f"test/{number}"
                checked = check_prediction(array, key, len(array), problem.Predictions)
                stored[key] = self.store.save_array(narrowed(checked))
        return stored

    def take_outcome(self, work: _Work, outcome: FoldOutcome) -> None:
        """Note how a fold ended, score it at once, and finish the submission with its last fold."""
        work.outcomes[outcome.job] = outcome
        if outcome.succeeded:
            with self._quietly():
                self._score_fold(work, outcome.job)

    def _predictions(self, work: _Work, number: int) -> Mapping[str, np.ndarray]:
        if number not in work.arrays:
            work.arrays[number] = recorded_predictions(self.store, work.outcomes[number])
        return work.arrays[number]

    def _score_fold(self, work: _Work, number: int) -> None:
        # A metric that fails is reported when the submission is finished.
        with contextlib.suppress(InvalidSubmission):
            fold = fold_and_training(number)[0] if work.record.kind == "code" else None
            seconds = work.outcomes[number].event_seconds
            work.fold_scores[number] = self.scorer.score_fold(fold, self._predictions(work, number), seconds)

    def _scoring(self, work: _Work) -> Scoring:
        version = self.scorer.version
        if work.refusal:
            return Scoring(verdict=Verdict.INVALID_SUBMISSION, message=work.refusal, scorer_version=version)
        if (failed := work.failed) is not None:
            which = f", training {failed.training}" if self.trainings > 1 else ""
            where = f"fold {failed.fold}{which}: " if work.record.kind == "code" else ""
            return Scoring(verdict=failed.verdict, message=f"{where}{failed.message}", scorer_version=version)
        jobs = sorted(work.outcomes)
        known = [work.fold_scores[number] for number in jobs if number in work.fold_scores]
        with self._quietly():
            return self.scorer.score_run(
                [self._predictions(work, number) for number in jobs],
                work.record.kind,
                [work.outcomes[number].event_seconds for number in jobs],
                known if len(known) == len(jobs) else None,
            )

    def finish(self, work: _Work) -> BoardEntry:
        """Score a submission unless that is recorded already, and make its entry."""
        assert work.run is not None
        latest = self.store.latest_scoring(work.run)
        if (
            latest is None
            or latest.scorer_version != self.scorer.version
            or latest.verdict is Verdict.INFRASTRUCTURE
        ):
            latest = self._scoring(work)
            self.store.record_scoring(work.run, latest)
        work.arrays.clear()
        run = work.run
        work.entry = BoardEntry(
            submission=work.record,
            run_key=run.key,
            data=run.data,
            isolation=run.isolation,
            accounting=run.accounting,
            received_at=work.received_at,
            run_at=run.created_at,
            versions=run.versions,
            scoring=latest,
            folds=tuple(outcome for _, outcome in sorted(work.outcomes.items())),
        )
        called = replace(work.entry, submission=replace(work.record, name=work.label))
        self.progress.submission_done(called)
        return work.entry

    def judge(self, works: Sequence[_Work]) -> None:
        """Run, record and score; every submission has its entry afterwards."""
        todo = {work.label: self.pending(work) for work in works}
        self.progress.begin({name: len(folds) for name, folds in todo.items()})
        waiting: dict[Future[FoldOutcome | None], _Work] = {}
        left = {name: len(folds) for name, folds in todo.items()}
        # More threads than the runner has slots, so that one fold is recorded while the next one runs.
        workers = self.runner.jobs if self._turns else 2 * self.runner.jobs
        pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="fold")
        stop = threading.Event()
        try:
            for work in works:
                given_up = threading.Event()
                for fold in todo[work.label]:
                    waiting[pool.submit(self._unless(stop, work, fold, given_up))] = work
            if waiting:
                self.scorer.prepare()
            for work in works:
                if not left[work.label]:
                    self.finish(work)
            for future in as_completed(waiting):
                work = waiting.pop(future)
                outcome = future.result()
                if outcome is not None:
                    self.take_outcome(work, outcome)
                    self.progress.fold_done(work.label, outcome)
                left[work.label] -= 1
                if not left[work.label]:
                    self.finish(work)
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _unless(self, stop: threading.Event, work: _Work, fold: int, given_up: threading.Event) -> Any:
        def run() -> FoldOutcome | None:
            return None if stop.is_set() else self.run_fold(work, fold, given_up)

        return run


def data_for(challenge: Challenge, data: str | os.PathLike[str] | None) -> tuple[Path, DataInfo | None]:
    """Return what the data functions are called with, and kind and digest if they are known."""
    from hepchallenge.data import current, has_own_data, read_manifest, resolve

    if data is not None and not Path(data).exists():
        raise UsageError(f"{data}: no such data folder")
    path = current(challenge) if data is None else resolve(challenge, data)
    if has_own_data(challenge):
        return path.resolve(), None
    manifest = read_manifest(path)
    return path, DataInfo(kind=manifest.kind, digest=manifest.digest)


def _check_gpus(gpus: int, limits: Mapping[str, float | int | None]) -> None:
    """Refuse numbers of GPUs and limits on GPUs that could not mean anything."""
    if gpus < 0:
        raise UsageError(f"gpus: expected a number from 0, found {gpus}")
    for name in ("gpu_seconds", "gpu_memory_bytes"):
        if not gpus and limits.get(name) is not None:
            raise UsageError(f"a limit {name} needs GPUs: say how many a fold gets with --gpus")


@dataclass(frozen=True)
class _Conditions:
    """Under which conditions a command runs submissions."""

    isolation: str
    accounting: str
    limits: Limits
    gpus: int
    seed: int
    trainings: int
    quick: bool
    rerun: bool
    versions: dict[str, str]


def score(
    challenge: str | os.PathLike[str],
    submissions: Sequence[str | os.PathLike[str]] = (),
    *,
    data: str | os.PathLike[str] | None = None,
    workspace: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    isolation: str | None = None,
    limits: Mapping[str, float | int | None] | None = None,
    gpus: int = 0,
    seed: int = 0,
    trainings: int | None = None,
    quick: bool = False,
    rerun: bool = False,
    received: bool = False,
    data_label: str | None = None,
    rules: BoardRules | None = None,
    progress: Progress | None = None,
) -> Document:
    """Run and score submissions to a challenge.

    Parameters
    ----------
    challenge
        Name of a built-in challenge, or a folder with `problem.py` (any RAMP kit).
    submissions
        Submission folders, archives of them, or prediction files; none means the shipped starting kits.
    data
        Folder with the published files, or with prepared data; by default the data chosen with
        `hepchallenge data`, else toy data. For a RAMP kit, the folder that holds its `data/`.
    workspace
        Where everything is recorded; by default `hepchallenge-workspace` in the current folder.
    jobs
        Folds run at the same time; by default the number of usable cores.
    isolation
        Lowest isolation level to accept; by default the strongest that this host offers.
    limits
        Changes to the challenge's limits, by the names of `Limits`.
    gpus
        Whole GPUs that each fold has for itself; with 0 it finds none.
    seed
        Seeds the global generators of every fold.
    trainings
        How often every fold is trained, the seed being one larger each time; by default as often as the
        challenge says.
    quick
        First fold only, trained once, with `RAMP_TEST_MODE=1`.
    rerun
        Run again what is recorded already.
    received
        Score, instead of `submissions`, all that the workspace has received and that has no verdict yet on
        these data with these limits, from the workspace's copies. Several may have one name.
    data_label
        For RAMP kits whose data functions take it.
    rules
        Rules of the board instead of the challenge's own. What is over quota is received but not run.
    progress
        Hears how far things are.

    Returns
    -------
    Document
        The same record that `hepchallenge score --json` prints.

    Raises
    ------
    UsageError, OrganiserError, InfrastructureError
        If nothing could be run at all. What goes wrong with one submission is its verdict.
    """
    from hepchallenge.contract import find_challenge, load_challenge
    from hepchallenge.contract.config import MOST_TRAININGS
    from hepchallenge.run.accounting import choose_accounting
    from hepchallenge.run.host import library_versions
    from hepchallenge.run.isolation import Isolation, choose_isolation
    from hepchallenge.stage.imports import warm_modules

    heard = progress or Silent()
    if received and submissions:
        raise UsageError(
            "what was received is scored from the workspace: name no submissions with --received"
        )
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs: expected a number from 1, found {jobs}")
    _check_gpus(gpus, limits or {})
    folder = find_challenge(challenge)
    board_rules = folder.config.rules if rules is None else rules
    sources = _copies(folder, workspace) if received else _sources(folder, submissions)
    level = choose_isolation(isolation)
    accounting = choose_accounting()
    if level is Isolation.NONE:
        heard.say("isolation none: submissions can read your files; run only code that you trust")
    try:
        chosen = folder.config.limits.with_changes(**(limits or {}))
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from None

    if trainings is not None and not 1 <= trainings <= MOST_TRAININGS:
        raise UsageError(f"trainings: expected a number from 1 to {MOST_TRAININGS}, found {trainings}")
    times = 1 if quick else trainings or folder.config.trainings
    conditions = _Conditions(
        str(level), str(accounting), chosen, gpus, seed, times, quick, rerun, library_versions()
    )

    from hepchallenge.run.runner import Runner

    with contextlib.ExitStack() as stack:
        pool = None
        parallel = jobs or len(os.sched_getaffinity(0))
        if gpus:
            from hepchallenge.run.gpu import GpuPool, open_devices

            pool = GpuPool(gpus, open_devices())
            stack.callback(pool.close)
            parallel = min(parallel, pool.most_leases)
        if chosen.cores is not None and chosen.cores > len(os.sched_getaffinity(0)):
            found = len(os.sched_getaffinity(0))
            heard.say(f"{folder.name} gives each fold {chosen.cores} cores, of which this host has {found}")
        # First of all the warm interpreter: it imports while this process imports and reads data.
        runner = stack.enter_context(
            Runner(
                challenge_folder=folder.folder,
                isolation=level,
                accounting=accounting,
                limits=chosen,
                jobs=parallel,
                seed=seed,
                warm_modules=warm_modules(s for s in sources if s.is_dir()),
                test_mode=quick,
                gpus=pool,
            )
        )
        from hepchallenge.scorer.scorer import new_scorer
        from hepchallenge.stage.stage import ramp_test_mode, stage
        from hepchallenge.store import open_workspace

        store = stack.enter_context(open_workspace(workspace))
        with ramp_test_mode(quick):
            loaded = load_challenge(folder.folder)
        over_quota: list[str] = []
        if received:
            works = _received_before(loaded, store, board_rules, heard)
        else:
            works, over_quota = _receive_all(loaded, sources, store, board_rules, heard)
        path, info = data_for(loaded, data)
        staged = stage(
            loaded,
            path,
            info,
            store.workspace / "inputs",
            secret=store.secret(),
            quick=quick,
            data_label=data_label,
        )
        if staged.data.kind == "toy":
            heard.say(f"{loaded.name}: toy data (simulated); for real ones see: hepchallenge data --help")
        scorer = new_scorer(loaded, staged.truth, staged.data.digest, board_rules.replicas, store.save_array)
        judge = _Judge(loaded, staged, store, runner, scorer, heard, times)
        if received:
            works = _without_verdict(works, judge, conditions)
        _label(works)
        # Each run holds a lock, and a process can have so many files open only.
        for first in range(0, len(works), _MOST_AT_ONCE):
            some = works[first : first + _MOST_AT_ONCE]
            with contextlib.ExitStack() as locks:
                _open_runs(judge, some, conditions, locks)
                judge.judge(some)
    return Document(
        challenge=loaded.name,
        data=staged.data,
        isolation=conditions.isolation,
        accounting=conditions.accounting,
        submissions=tuple(work.entry for work in works if work.entry is not None),
        over_quota=tuple(over_quota),
    )


def _run_key(judge: _Judge, conditions: _Conditions, work: _Work) -> RunKey:
    return RunKey(
        challenge=judge.challenge.name,
        challenge_version=judge.challenge.version,
        submission_digest=work.record.digest,
        data_digest=judge.staged.data.digest,
        limits=conditions.limits,
        gpus=conditions.gpus,
        seed=conditions.seed,
        quick=conditions.quick,
        trainings=conditions.trainings,
    )


def _open_runs(
    judge: _Judge, works: Sequence[_Work], conditions: _Conditions, stack: contextlib.ExitStack
) -> None:
    """Lock and open the run of every submission, and take over what is recorded of it."""
    data, store = judge.staged.data, judge.store
    keys = {work.record.digest: _run_key(judge, conditions, work) for work in works}
    # Always in the same order, so that two commands cannot wait for each other.
    for digest, key in sorted(keys.items()):

        def say_waiting(short: str = digest[:8]) -> None:
            judge.progress.say(f"another command is running submission {short}; waiting for it")

        stack.enter_context(store.lock(key, say_waiting))
    opened: dict[str, Run] = {}
    for work in works:
        digest = work.record.digest
        # A copy of another submission under a second name shares its run.
        if digest not in opened:
            opened[digest] = store.open_run(
                keys[digest],
                work.id,
                data,
                conditions.isolation,
                conditions.accounting,
                conditions.versions,
                conditions.rerun,
            )
        work.run = opened[digest]
        for outcome in store.fold_outcomes(work.run).values():
            # A kill may have come between the record and this.
            store.drop_live_log(work.run, outcome.job)
            judge.take_outcome(work, outcome)


@dataclass(frozen=True, kw_only=True)
class Rescored(Document):
    """What `rescore` returns: the entries as they are now, and as they were."""

    before: tuple[BoardEntry, ...]


def rescore(
    challenge: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    workspace: str | os.PathLike[str] | None = None,
    data_label: str | None = None,
    corrected_labels: bool = False,
    progress: Progress | None = None,
) -> Rescored:
    """Score the stored predictions of all submissions again, without running any.

    For a changed metric or corrected truth. New scorings are appended; the old ones stay on record. Runs on
    the same data are rescored, whatever version of the challenge they were run with.

    Data with other labels are other data, and have a board of their own. With `corrected_labels` the runs
    that were scored last are recorded for these data too, with the predictions that they made, and are scored
    there. What a submission has learned from is what it was: a run with `rerun` learns from the new labels.

    Parameters
    ----------
    challenge, data, workspace, data_label, progress
        As for `score`.
    corrected_labels
        The data hold the rows of those that were scored last, and other labels.

    Returns
    -------
    Rescored
        The record that `hepchallenge rescore --json` prints, without its key `changes`: see
        `hepchallenge.board.changes`.

    Raises
    ------
    UsageError
        If nothing was scored on these data before, or the data hold other rows or features than those that
        were scored last.
    """
    from hepchallenge.contract import load_challenge
    from hepchallenge.scorer.scorer import new_scorer
    from hepchallenge.stage.stage import stage
    from hepchallenge.store import open_workspace

    heard = progress or Silent()
    loaded = load_challenge(challenge)
    with open_workspace(workspace, must_exist=True) as store:
        path, info = data_for(loaded, data)
        inputs = store.workspace / "inputs"
        staged = stage(loaded, path, info, inputs, data_label=data_label, write_inputs=False)
        scorers: dict[bool, Scorer] = {}
        wanted = None if corrected_labels else staged.data.digest
        before = tuple(store.entries(loaded.name, data_digest=wanted))
        if before and before[0].data != staged.data:
            _check_inputs(staged)
        entries = []
        for recorded in before:
            quick = recorded.run_key.quick
            if quick not in scorers:
                # A quick run may have read fewer rows.
                shown = staged
                if quick:
                    shown = stage(
                        loaded, path, info, inputs, quick=True, data_label=data_label, write_inputs=False
                    )
                n_replicas = loaded.config.rules.replicas
                scorers[quick] = new_scorer(
                    loaded, shown.truth, shown.data.digest, n_replicas, store.save_array
                )
            if recorded.data != staged.data:
                if not recorded.scoring.verdict.is_participants_own:
                    continue
                recorded = _carry_over(store, recorded, staged.data)
            entries.append(_rescore_one(store, scorers[quick], recorded))
            heard.submission_done(entries[-1])
    if not entries:
        raise UsageError(
            f"{loaded.name} has nothing to rescore on data {staged.data.digest[:12]}; if these are the rows "
            "of the data scored last, with corrected labels, say so: --corrected-labels"
        )
    return Rescored(
        challenge=loaded.name,
        data=staged.data,
        isolation=entries[-1].isolation,
        accounting=entries[-1].accounting,
        submissions=tuple(entries),
        before=before,
    )


def _check_inputs(staged: Staged) -> None:
    """Refuse data whose features no submission of this workspace was ever given."""
    for file in (staged.train_inputs, staged.test_inputs):
        if file is not None and not file.exists():
            raise UsageError(
                f"data {staged.data.digest[:12]} hold other rows or features than were scored here; "
                "only labels can be corrected: score the submissions again"
            )


def _carry_over(store: Store, recorded: BoardEntry, data: DataInfo) -> BoardEntry:
    """Record a run for other data as well, with the outcomes that it had; none is run again."""
    old = store.run_of(recorded)
    key = replace(recorded.run_key, data_digest=data.digest)
    versions = {**recorded.versions, "predicted_on": recorded.data.digest}
    with store.lock(key):
        run = store.open_run(key, old.submission_id, data, old.isolation, old.accounting, versions)
        folds = tuple(store.record_fold(run, outcome) for outcome in recorded.folds)
        complete = folds and all(outcome.succeeded for outcome in folds)
        if not complete and store.latest_scoring(run) is None:
            # What has no predictions keeps its verdict.
            store.record_scoring(run, recorded.scoring)
    return replace(
        recorded, run_key=key, data=data, run_at=run.created_at, versions=dict(run.versions), folds=folds
    )


def _rescore_one(store: Store, scorer: Scorer, recorded: BoardEntry) -> BoardEntry:
    """Score one recorded run again; a run without predictions keeps its verdict."""
    if not recorded.folds or not all(outcome.succeeded for outcome in recorded.folds):
        return recorded
    predictions = [recorded_predictions(store, outcome) for outcome in recorded.folds]
    seconds = [outcome.event_seconds for outcome in recorded.folds]
    scoring = scorer.score_run(predictions, recorded.submission.kind, seconds)
    store.record_scoring(store.run_of(recorded), scoring)
    return replace(recorded, scoring=scoring)

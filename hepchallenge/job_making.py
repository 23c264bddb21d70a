"""What a backend is given for every job of a submission, and what is recorded of its result."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepchallenge.exceptions import InvalidSubmission, OrganiserError
from hepchallenge.records import FoldOutcome, StoredArray, Verdict, fold_and_training
from hepchallenge.text import safe_text

if TYPE_CHECKING:
    import numpy as np

    from hepchallenge.contract import Challenge
    from hepchallenge.run.jobs import EventJob, FoldJob, FoldResult
    from hepchallenge.stage.stage import Staged
    from hepchallenge.stage.submission import TakenIn
    from hepchallenge.store import Run, Store

__all__ = ["JobMaker", "StoredPredictions", "recorded_predictions"]


class StoredPredictions(Mapping[str, "np.ndarray"]):
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


def recorded_predictions(store: Store, outcome: FoldOutcome) -> Mapping[str, np.ndarray]:
    """Return the predictions of a fold: those of rows at once, those of events one by one."""
    stored = outcome.predictions
    if any("/" in key for key in stored):
        return StoredPredictions(store, stored)
    return {part: store.load_array(array) for part, array in stored.items()}


class JobMaker:
    """Makes the jobs of one challenge on its staged data; methods may be called from any thread.

    Parameters
    ----------
    challenge, staged, store
        Of the command.
    event_done
        Told by label and fold how many events are done, and of how many.
    quiet
        Within it events of a prediction file are read: see `Backend.quiet`.
    """

    def __init__(
        self,
        challenge: Challenge,
        staged: Staged,
        store: Store,
        event_done: Callable[[str, int, int, int], None],
        quiet: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._challenge = challenge
        self._staged = staged
        self._store = store
        self._event_done = event_done
        self._quiet = quiet
        # Predictions of events are stored as they come; by run and job, of the last try.
        self._kept: dict[tuple[int, int], dict[str, StoredArray]] = {}
        # Every submission is given the same ones, which nobody changes.
        self._masked: dict[int, Any] = {}

    def code_job(self, label: str, taken: TakenIn, run: Run, number: int) -> FoldJob:
        """Return what a runner needs for a job of code."""
        from hepchallenge.data import cache_root
        from hepchallenge.run.runner import FoldJob

        truth, stream = self._staged.truth, self._staged.stream
        fold, training = fold_and_training(number)
        train_is, valid_is = truth.folds[fold]
        events = self._event_job(label, run, number)
        self._store.drop_live_log(run, number)
        return FoldJob(
            fold=fold,
            submission=taken.folder,
            train_inputs=self._staged.train_inputs,
            test_inputs=stream.inputs if stream else self._staged.test_inputs,
            labels=self._labels(fold) if events is None else None,
            train_is=train_is,
            valid_is=valid_is,
            n_train=truth.n_train,
            n_test=truth.n_test,
            n_stream=stream.n_rows if stream else None,
            seed=run.key.seed + training,
            predictions_class=self._challenge.problem.Predictions,
            hidden=(self._staged.path, self._store.workspace, cache_root()),
            live_log=self._store.live_log(run, number),
            events=events,
        )

    def _labels(self, fold: int) -> Any:
        """Return the labels of all training rows, with those that the fold does not train on masked."""
        from hepchallenge.stage.labels import mask_labels

        truth = self._staged.truth
        if fold not in self._masked:
            self._masked[fold] = mask_labels(truth.y_train, truth.folds[fold][0])
        return self._masked[fold]

    def _event_job(self, label: str, run: Run, number: int) -> EventJob | None:
        from hepchallenge.run.intake import narrowed
        from hepchallenge.run.jobs import EventJob

        if (events := self._staged.events) is None:
            return None
        truth = self._staged.truth
        kept = self._kept[run.id, number] = {}

        def keep(key: str, array: np.ndarray) -> None:
            kept[key] = self._store.save_array(narrowed(array))

        return EventJob(
            train=events.train,
            truths=truth.y_train,
            test=events.test,
            n_rows=lambda part, number: len((truth.y_test if part == "test" else truth.y_train)[number]),
            keep=keep,
            heard=lambda done, total: self._event_done(label, number, done, total),
        )

    def outcome(
        self, run: Run, number: int, result: FoldResult
    ) -> tuple[FoldOutcome, Mapping[str, np.ndarray]]:
        """Store what a job gave; return what is to be recorded, and the predictions."""
        from hepchallenge.run.logs import read_live_log

        fold, training = fold_and_training(number)
        log = result.log or read_live_log(self._store.live_log(run, number))
        predictions: Mapping[str, np.ndarray] = result.predictions
        if self._staged.stream is not None and "stream" in predictions:
            predictions = self._staged.stream.split(predictions["stream"])
        stored = self._kept.pop((run.id, number), {})
        if result.verdict is Verdict.SCORED:
            stored |= {part: self._store.save_array(array) for part, array in predictions.items()}
        else:
            stored = {}
        if self._staged.events is not None:
            predictions = StoredPredictions(self._store, stored)
        outcome = FoldOutcome(
            fold=fold,
            training=training,
            verdict=result.verdict,
            message=result.message,
            predictions=stored,
            phases=tuple(result.phases),
            wall_seconds=result.wall_seconds,
            cpu_seconds=result.cpu_seconds,
            peak_memory_bytes=result.peak_memory_bytes,
            gpus=result.gpus,
            gpu_seconds=result.gpu_seconds,
            gpu_peak_memory_bytes=result.gpu_peak_memory_bytes,
            event_seconds=result.event_seconds,
            host=result.host,
            log=self._store.save_log(log) if log else "",
        )
        return outcome, predictions

    def read_file(self, file: Path, run: Run) -> FoldResult:
        """Read a prediction file, the one job of its submission; its faults are its verdict.

        Raises
        ------
        OrganiserError
            If the data have no ids or labels of test rows.
        """
        from hepchallenge.run.jobs import FoldResult

        ids, n_test = self._staged.test_ids, self._staged.truth.n_test
        if ids is None or n_test is None:
            raise OrganiserError(
                "prediction files cannot be scored on these data: ids or labels of the test rows are unknown"
            )
        started, cpu = time.monotonic(), time.thread_time()
        result = FoldResult(verdict=Verdict.SCORED)
        try:
            if self._staged.events is not None:
                with self._quiet():
                    self._kept[run.id, 0] = self._read_events(file, ids)
            else:
                result.predictions = self._read_rows(file, ids)
        except InvalidSubmission as error:
            result.verdict, result.message = Verdict.INVALID_SUBMISSION, safe_text(str(error))
        result.wall_seconds = time.monotonic() - started
        result.cpu_seconds = time.thread_time() - cpu
        return result

    def _read_rows(self, file: Path, test_ids: np.ndarray) -> dict[str, np.ndarray]:
        """Return the predictions of a file for the test rows, and for those of gates."""
        import numpy as np

        from hepchallenge.run.intake import check_prediction
        from hepchallenge.run.prediction_file import read_prediction_file

        problem, expected = self._challenge.problem, self._challenge.config.prediction_file
        assert expected is not None
        assert problem.predictions_from_columns is not None
        samples = {"test": test_ids, **self._staged.gate_ids}
        ids = np.concatenate(list(samples.values()))
        columns = read_prediction_file(file, expected.columns, expected.id, ids)
        prediction = np.asarray(problem.predictions_from_columns(columns))
        checked = check_prediction(prediction, "test", len(ids), problem.Predictions)
        ends = np.cumsum([len(sample) for sample in samples.values()])
        return dict(zip(samples, np.split(checked, ends[:-1]), strict=True))

    def _read_events(self, file: Path, event_ids: np.ndarray) -> dict[str, StoredArray]:
        """Store the predictions of a file for the test events, one event at a time."""
        from hepchallenge.run.event_predictions import read_event_predictions
        from hepchallenge.run.intake import check_prediction, narrowed

        problem, expected = self._challenge.problem, self._challenge.config.prediction_file
        events = self._staged.events
        assert expected is not None
        assert expected.event is not None
        assert events is not None
        get_hit_ids = problem.get_hit_ids
        assert get_hit_ids is not None
        stored = {}
        with tempfile.TemporaryDirectory(dir=self._store.workspace, prefix=".events-") as folder:
            arrays = read_event_predictions(
                file,
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
                stored[key] = self._store.save_array(narrowed(checked))
        return stored

"""Scores of stored predictions, as ramp-workflow computes them: per fold, their mean, and bagged.

No submission code is alive when this runs. Scores are made with the challenge's own `Predictions` and
`score_types`, in the order and with the operations of `ramp-test`, so that they agree with it to the
last digit.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib.metadata
import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from rampwf.prediction_types.multiclass import _multiclass_init

from hepchallenge._version import __version__
from hepchallenge.contract import Challenge, Gate
from hepchallenge.exceptions import InvalidSubmission, OrganiserError
from hepchallenge.records import Scores, Scoring, StoredArray, Verdict
from hepchallenge.scorer.replicas import VERSION, Cell, ScoredReplicas, agrees, enough, errors_of, run_kernels
from hepchallenge.scoring.bootstrap import Kernel, seed_of
from hepchallenge.scoring.ramp import ramp_kernel
from hepchallenge.stage.stage import Truth

__all__ = ["JobScores", "Scorer", "new_scorer"]

Keep = Callable[[np.ndarray], StoredArray]


@dataclass(frozen=True)
class JobScores:
    """Scores of one fold of one training; and what they were made from, where a challenge has events."""

    scores: Scores
    by_event: dict[str, np.ndarray] = field(default_factory=dict)
    """By part, a row an event and a column a metric."""
    seconds: dict[str, np.ndarray] = field(default_factory=dict)
    """By part, wall-clock seconds by event, where they were measured."""


def _say_failure(name: str, found: Mapping[str, Any]) -> str:
    return f"gate {name}: {found['statistic']:.6g}, must be below {found['threshold']:g}"


def new_scorer(
    challenge: Challenge,
    truth: Truth,
    seed: str = "",
    n_replicas: int = 0,
    keep: Keep | None = None,
) -> Scorer:
    """Return what scores the folds of a challenge, on rows or on events; parameters are those of `Scorer`."""
    if challenge.problem.has_events:
        from hepchallenge.scorer.events import EventScorer

        return EventScorer(challenge, truth, seed, n_replicas, keep)
    return Scorer(challenge, truth, seed, n_replicas, keep)


class Scorer:
    """Scores the folds of one challenge; holds the ground truth, computed once.

    Parameters
    ----------
    challenge
        A loaded challenge.
    truth
        Ground truth, folds and parts from staging.
    seed
        Of the bootstrap replicas: the digest of the data, so that all who score them have the same.
    n_replicas
        How many are computed of the official metric; none, and no errors either, if 0.
    keep
        Stores the replicas of the official metric; without it only errors are told.
    """

    def __init__(
        self,
        challenge: Challenge,
        truth: Truth,
        seed: str = "",
        n_replicas: int = 0,
        keep: Keep | None = None,
    ) -> None:
        self._predictions = challenge.problem.Predictions
        self._score_types = challenge.problem.score_types
        self._gates = challenge.problem.gates
        self._official = challenge.official_metric if n_replicas else ""
        self._truth = truth
        self._seed = seed
        self._n_replicas = n_replicas
        self._keep = keep
        self._whole: dict[str, Any] = {}
        self.version = self._version_of(challenge, n_replicas)

    @staticmethod
    def _version_of(challenge: Challenge, n_replicas: int) -> str:
        """Return a digest of what decides a score: the challenge, the metrics' code and the libraries."""
        words = [__version__, challenge.version, f"{n_replicas} replicas, {VERSION}"]
        packages = ("ramp-workflow", "scikit-learn", "numpy")
        words += [f"{package} {importlib.metadata.version(package)}" for package in packages]
        words += [
            f"{type(s).__module__}.{type(s).__qualname__} {s.name}" for s in challenge.problem.score_types
        ]
        return hashlib.sha256("\0".join(words).encode()).hexdigest()

    def prepare(self) -> None:
        """Compute the ground truth of all rows now, while the caller waits for something else anyway."""
        self._whole_truth("train")
        if self._truth.y_test is not None:
            self._whole_truth("test")

    def _whole_truth(self, which: str) -> Any:
        """Return the ground truth of all training or test rows as a `Predictions`, made once."""
        if which not in self._whole:
            labels = self._truth.y_train if which == "train" else self._truth.y_test
            self._whole[which] = self._true(labels)
        return self._whole[which]

    def _truth_rows(self, which: str, rows: np.ndarray) -> Any:
        """Return the ground truth of some training or test rows.

        ramp-workflow's multiclass predictions walk over the labels in Python, once a row and fold; for them
        the rows are cut out of the whole, which gives the same arrays.
        """
        if getattr(self._predictions, "__init__", None) is _multiclass_init:
            part = copy.copy(self._whole_truth(which))
            part.y_pred = part.y_pred[rows]
            return part
        labels = self._truth.y_train if which == "train" else self._truth.y_test
        return self._true(labels, rows)

    def _true(self, labels: Any, rows: np.ndarray | None = None) -> Any:
        try:
            return self._predictions(y_true=labels, fold_is=rows)
        except Exception as error:
            # Told to the organiser, who may see labels; no submission is at fault.
            raise OrganiserError(
                f"Predictions of problem.py do not take its labels: {type(error).__name__}: {error}"
            ) from error

    def _make(self, array: np.ndarray, rows: np.ndarray | None = None) -> Any:
        try:
            return self._predictions(y_pred=array, fold_is=rows)
        except Exception as error:
            # The challenge's own check of a prediction; it has seen no label.
            raise InvalidSubmission(f"prediction of shape {array.shape}: {error}") from None

    def _score(self, part: str, truth: Any, predictions: Any, scores: Scores) -> None:
        for score_type in self._score_types:
            value = self._value(score_type, part, truth, predictions)
            scores.setdefault(str(score_type.name), {})[part] = value

    @staticmethod
    def _value(score_type: Any, part: str, truth: Any, predictions: Any) -> float:
        try:
            value = float(score_type.score_function(truth, predictions))
        except InvalidSubmission:
            raise
        except Exception as error:
            # The text of this error may hold labels; only its kind is shown.
            raise InvalidSubmission(
                f"metric {score_type.name} cannot be computed on {part}: {type(error).__name__}"
            ) from error
        if not math.isfinite(value):
            raise InvalidSubmission(f"metric {score_type.name} is {value} on {part}, not a finite number")
        return value

    def score_fold(
        self,
        fold: int | None,
        predictions: Mapping[str, np.ndarray],
        seconds: Mapping[str, float] | None = None,
    ) -> JobScores:
        """Return the scores of one fold on every part.

        Parameters
        ----------
        fold
            Number of the fold; None for a prediction file, which is scored on test rows only.
        predictions
            Arrays for `train` (all training rows) and `test`.
        seconds
            Wall-clock seconds by event, for challenges that have events.

        Raises
        ------
        InvalidSubmission
            If a metric cannot be computed or is not finite.
        """
        scores: Scores = {}
        truth = self._truth
        if fold is not None:
            train_is, valid_is = truth.folds[fold]
            for part, rows in (("train", train_is), ("valid", valid_is)):
                true = self._truth_rows("train", rows)
                self._score(part, true, self._make(predictions["train"], rows), scores)
        if truth.y_test is not None and "test" in predictions:
            # A copy, since a kit's own metric may change what it is given.
            true = copy.deepcopy(self._whole_truth("test"))
            self._score("test", true, self._make(predictions["test"]), scores)
            for part, rows in truth.parts.items():
                true = self._truth_rows("test", rows)
                self._score(part, true, self._make(predictions["test"], rows), scores)
        return JobScores(scores)

    def _bag(self, part: str, truth: Any, arrays: Sequence[tuple[Any, Any]], scores: Scores) -> None:
        """Score the combination of predictions, each known on its rows only."""
        n_rows = len(truth.y_pred)
        bag = []
        try:
            for predictions, rows in arrays:
                member = self._predictions(n_samples=n_rows)
                member.set_valid_in_train(predictions, rows)
                bag.append(member)
            with warnings.catch_warnings():
                # Rows that no fold predicted are all-NaN here and dropped below.
                warnings.simplefilter("ignore", RuntimeWarning)
                combined = self._predictions.combine(bag)
            known = combined.valid_indexes
        except Exception as error:
            # It has seen predictions only.
            raise InvalidSubmission(
                f"the folds' predictions on {part} cannot be combined: {type(error).__name__}: {error}"
            ) from None
        self._score_rows(f"bagged_{part}", truth, combined, known, scores)
        if part == "test":
            for name, rows in self._truth.parts.items():
                chosen = np.zeros(n_rows, dtype=bool)
                chosen[rows] = True
                self._score_rows(f"bagged_{name}", truth, combined, chosen & known, scores)

    def _score_rows(self, part: str, truth: Any, combined: Any, rows: np.ndarray, scores: Scores) -> None:
        """Score some rows; as in ramp-test each metric gets a bag of its own, which it may change."""
        for score_type in self._score_types:
            true, predictions = copy.deepcopy(truth), copy.deepcopy(combined)
            true.set_slice(rows)
            predictions.set_slice(rows)
            value = self._value(score_type, part, true, predictions)
            scores.setdefault(str(score_type.name), {})[part] = value

    def score_bags(self, predictions: Sequence[Mapping[str, np.ndarray]], with_valid: bool) -> Scores:
        """Return the scores of the combined folds, of all trainings, on validation and test rows."""
        scores: Scores = {}
        truth = self._truth
        if with_valid:
            valid = [
                (self._make(arrays["train"], valid_is), valid_is)
                for arrays, (_, valid_is) in zip(predictions, itertools.cycle(truth.folds), strict=False)
            ]
            self._bag("valid", self._whole_truth("train"), valid, scores)
        if truth.y_test is not None and all("test" in arrays for arrays in predictions):
            made = [self._make(arrays["test"]) for arrays in predictions]
            test = [(member, np.arange(len(member.y_pred))) for member in made]
            self._bag("test", self._whole_truth("test"), test, scores)
        return scores

    def check_gates(self, predictions: Sequence[Mapping[str, np.ndarray]]) -> dict[str, dict[str, Any]]:
        """Return what each gate found, fold by fold; one fold that fails is enough to fail.

        The value told as `statistic` is that of the fold that came nearest to failing, or failed most.

        Raises
        ------
        InvalidSubmission
            If a statistic cannot be computed or is not finite.
        """
        gates: dict[str, dict[str, Any]] = {}
        for gate in self._gates:
            truth = self._truth.gates[gate.name]
            found = [self._check(gate, arrays[gate.name], truth) for arrays in predictions]
            worst = max(found, key=lambda one: (not one.passed, one.statistic))
            gates[gate.name] = {
                "statistic": float(worst.statistic),
                "threshold": float(worst.threshold),
                "passed": all(bool(one.passed) for one in found),
                "folds": [float(one.statistic) for one in found],
            }
        return gates

    @staticmethod
    def _check(gate: Gate, prediction: np.ndarray, truth: Any) -> Any:
        try:
            found = gate.check(prediction, copy.deepcopy(truth))
        except InvalidSubmission:
            raise
        except Exception as error:
            # The text of this error may hold labels; only its kind is shown.
            what = f"gate {gate.name} cannot be checked: {type(error).__name__}"
            raise InvalidSubmission(what) from error
        if not math.isfinite(found.statistic):
            raise InvalidSubmission(f"gate {gate.name} finds {found.statistic}, not a finite number")
        return found

    def finish(self, fold_scores: Sequence[Scores], bagged: Scores) -> Scoring:
        """Return the scoring of a run from the scores of its jobs and of their combination.

        Parameters
        ----------
        fold_scores
            One a job: all folds of the first training, then all of the second, and so on.
        bagged
            What `score_bags` gave.
        """
        scores: Scores = {}
        spread: Scores = {}
        training_spread: Scores = {}
        # A prediction file is one job, whatever the number of folds.
        n_trainings = max(1, len(fold_scores) // len(self._truth.folds))
        for metric in fold_scores[0]:
            scores[metric], spread[metric] = {}, {}
            for part in fold_scores[0][metric]:
                values = np.array([fold[metric][part] for fold in fold_scores])
                scores[metric][part] = float(values.mean())
                table = values.reshape(n_trainings, -1)
                spread[metric][part] = float(table.mean(axis=0).std())
                if n_trainings > 1:
                    training_spread.setdefault(metric, {})[part] = float(table.mean(axis=1).std())
            scores[metric] |= bagged.get(metric, {})
        return Scoring(
            verdict=Verdict.SCORED,
            scores=scores,
            spread=spread,
            training_spread=training_spread,
            fold_scores=tuple(fold_scores),
            scorer_version=self.version,
        )

    def _cells(
        self, which: str, job: int, predictions: Mapping[str, np.ndarray], known: JobScores
    ) -> list[Cell]:
        """Return what has to be computed for a job on training or test rows."""
        truth = self._truth
        rows_of: dict[str, np.ndarray | None] = {}
        if which == "train":
            rows_of["valid"] = truth.folds[job % len(truth.folds)][1]
        else:
            rows_of = {"test": None, **truth.parts}
        cells = []
        for part, rows in rows_of.items():
            array = predictions[which]
            n_rows = len(array) if rows is None else len(rows)
            for metric in self._score_types:
                value = known.scores[str(metric.name)][part]
                kernel = self._kernel(metric, which, rows, array, value, n_rows)
                cells.append(Cell(str(metric.name), part, rows, n_rows, kernel))
        return cells

    def _kernel(
        self, metric: Any, which: str, rows: np.ndarray | None, array: np.ndarray, value: float, n_rows: int
    ) -> Kernel:
        """Return what computes replicas of a metric: its own kernel if that gives its score, else itself."""

        def sample(places: np.ndarray | None) -> tuple[Any, Any]:
            chosen = rows if places is None else places if rows is None else rows[places]
            if chosen is None:
                return copy.deepcopy(self._whole_truth(which)), self._make(array)
            return self._truth_rows(which, chosen), self._make(array, chosen)

        # Whatever goes wrong in a kernel that was made for other data: the metric itself went well.
        with contextlib.suppress(Exception), np.errstate(all="ignore"):
            true, predicted = sample(None)
            own = getattr(metric, "replica_kernel", None)
            kernel = own(true, predicted) if callable(own) else ramp_kernel(metric, true, predicted)
            if kernel is not None and agrees(kernel, n_rows, value):
                return kernel
        return ScoredReplicas(n_rows, lambda places: float(metric.score_function(*sample(places))))

    def replicas(
        self, predictions: Sequence[Mapping[str, np.ndarray]], known: Sequence[JobScores]
    ) -> dict[str, dict[str, np.ndarray]]:
        """Return replicas of the scores of a run on `valid` and the test parts, by metric and part.

        Parameters
        ----------
        predictions, known
            As for `score_run`.
        """
        tables = {"train": ("valid", self._truth.n_train), "test": ("test", self._truth.n_test or 0)}
        here = {
            which: n_rows
            for which, (part, n_rows) in tables.items()
            if n_rows and all(part in of_metric for of_metric in known[0].scores.values())
        }
        first = [cell for which in here for cell in self._cells(which, 0, predictions[0], known[0])]
        numbers = enough(first, len(predictions), self._official, self._n_replicas)
        found: dict[str, dict[str, np.ndarray]] = {}
        for which, n_rows in here.items():

            def cells_of(job: int, which: str = which) -> list[Cell]:
                return self._cells(which, job, predictions[job], known[job])

            seed = seed_of(self._seed, which)
            of_table = run_kernels(cells_of, len(predictions), n_rows, seed, numbers)
            for metric, by_part in of_table.items():
                found.setdefault(metric, {}).update(by_part)
        return found

    def _with_errors(
        self, scoring: Scoring, predictions: Sequence[Mapping[str, np.ndarray]], known: Sequence[JobScores]
    ) -> Scoring:
        """Return the scoring with errors of the finite samples, and the replicas of the official metric."""
        if not self._n_replicas:
            return scoring
        replicas = self.replicas(predictions, known)
        kept: dict[str, StoredArray] = {}
        if self._keep is not None:
            kept = {part: self._keep(values) for part, values in replicas.get(self._official, {}).items()}
        return replace(scoring, errors=errors_of(replicas), replicas=kept)

    def score_run(
        self,
        predictions: Sequence[Mapping[str, np.ndarray]],
        kind: str,
        seconds: Sequence[Mapping[str, float]] | None = None,
        known: Sequence[JobScores] | None = None,
    ) -> Scoring:
        """Score a whole run; a submission's fault becomes the verdict `invalid_submission`.

        Parameters
        ----------
        predictions
            One mapping a job: all folds of the first training, then all of the second, and so on.
        kind
            `code` or `predictions`, as the submission's record says.
        seconds
            Wall-clock seconds by event, one mapping a job, for challenges that have events.
        known
            What `score_fold` gave for the jobs, if it was asked already.
        """
        is_code = kind == "code"
        times = seconds or [{}] * len(predictions)
        n_folds = len(self._truth.folds)
        try:
            gates = self.check_gates(predictions)
            if failed := [name for name, found in gates.items() if not found["passed"]]:
                return Scoring(
                    verdict=Verdict.GATE_FAILED,
                    message="; ".join(_say_failure(name, gates[name]) for name in failed),
                    gates=gates,
                    scorer_version=self.version,
                )
            folds = known or [
                self.score_fold(number % n_folds if is_code else None, arrays, times[number])
                for number, arrays in enumerate(predictions)
            ]
            if not any(job.scores for job in folds):
                raise InvalidSubmission("there is nothing to score: the test labels are not known here")
            bagged = self.score_bags(predictions, with_valid=is_code)
            scoring = self.finish([job.scores for job in folds], bagged)
            return replace(self._with_errors(scoring, predictions, folds), gates=gates)
        except InvalidSubmission as error:
            return Scoring(
                verdict=Verdict.INVALID_SUBMISSION, message=str(error), scorer_version=self.version
            )

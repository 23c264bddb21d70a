"""Scores of stored predictions, as ramp-workflow computes them: per fold, their mean, and bagged.

No submission code is alive when this runs. Scores are made with the challenge's own `Predictions` and
`score_types`, in the order and with the operations of `ramp-test`, so that they agree with it to the
last digit.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.metadata
import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from rampwf.prediction_types.multiclass import _multiclass_init

from hepchallenge._version import __version__
from hepchallenge.contract import Challenge, Gate
from hepchallenge.exceptions import InvalidSubmission, OrganiserError
from hepchallenge.records import Scores, Scoring, Verdict
from hepchallenge.stage.stage import Truth

__all__ = ["Scorer", "new_scorer"]


def _say_failure(name: str, found: Mapping[str, Any]) -> str:
    return f"gate {name}: {found['statistic']:.6g}, must be below {found['threshold']:g}"


def new_scorer(challenge: Challenge, truth: Truth) -> Scorer:
    """Return what scores the folds of a challenge, on rows or on events."""
    if challenge.problem.has_events:
        from hepchallenge.scorer.events import EventScorer

        return EventScorer(challenge, truth)
    return Scorer(challenge, truth)


class Scorer:
    """Scores the folds of one challenge; holds the ground truth, computed once.

    Parameters
    ----------
    challenge
        A loaded challenge.
    truth
        Ground truth, folds and parts from staging.
    """

    def __init__(self, challenge: Challenge, truth: Truth) -> None:
        self._predictions = challenge.problem.Predictions
        self._score_types = challenge.problem.score_types
        self._gates = challenge.problem.gates
        self._truth = truth
        self._whole: dict[str, Any] = {}
        self.version = self._version_of(challenge)

    @staticmethod
    def _version_of(challenge: Challenge) -> str:
        """Return a digest of what decides a score: the challenge, the metrics' code and the libraries."""
        words = [__version__, challenge.version]
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
    ) -> Scores:
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
        return scores

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

    def errors(self, predictions: Sequence[Mapping[str, np.ndarray]]) -> Scores:
        """Return the statistical errors of test scores, for metrics that have a method `uncertainty`.

        It is called as `score_function` is and returns the standard deviation that the finite number of rows
        gives. The mean over jobs is told: all of them are tested on the same rows, so it does not shrink.
        """
        errors: Scores = {}
        knowing = [metric for metric in self._score_types if callable(getattr(metric, "uncertainty", None))]
        if not knowing or self._truth.y_test is None:
            return errors
        rows_of: dict[str, np.ndarray | None] = {"test": None, **self._truth.parts}
        for part, rows in rows_of.items():
            for metric in knowing:
                values = []
                for arrays in predictions:
                    if rows is None:
                        true = copy.deepcopy(self._whole_truth("test"))
                    else:
                        true = self._truth_rows("test", rows)
                    values.append(metric.uncertainty(true, self._make(arrays["test"], rows)))
                errors.setdefault(str(metric.name), {})[part] = float(np.mean(values))
        return errors

    def score_run(
        self,
        predictions: Sequence[Mapping[str, np.ndarray]],
        kind: str,
        seconds: Sequence[Mapping[str, float]] | None = None,
        known: Sequence[Scores] | None = None,
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
            if not any(folds):
                raise InvalidSubmission("there is nothing to score: the test labels are not known here")
            scoring = self.finish(folds, self.score_bags(predictions, with_valid=is_code))
            return replace(scoring, gates=gates, errors=self.errors(predictions))
        except InvalidSubmission as error:
            return Scoring(
                verdict=Verdict.INVALID_SUBMISSION, message=str(error), scorer_version=self.version
            )

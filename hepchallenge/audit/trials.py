"""Predictions made out of the truth, right and wrong ones, to try metrics on: of rows, and of events."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rampwf.prediction_types.clustering import _clustering_init

from hepchallenge.audit.table import columns_of, count_rows, take
from hepchallenge.contract import Challenge
from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.run.intake import check_prediction
from hepchallenge.scorer.scorer import new_scorer
from hepchallenge.stage.stage import Truth

__all__ = ["EventTrial", "RowTrial", "hit_columns", "is_clustering", "reordered"]

Array = NDArray[Any]

_SEED = 20260


def is_clustering(challenge: Challenge) -> bool:
    """Whether predictions are ramp-workflow's clusters: rows with an event's id and a cluster's number."""
    return getattr(challenge.problem.Predictions, "__init__", None) is _clustering_init


def _spoiled(perfect: Array) -> dict[str, Array]:
    """Return predictions that must be refused, made from one that is right."""
    numbers: dict[str, Array] = {}
    if perfect.dtype.kind in "biuf":
        wide = perfect.astype(np.float64)
        nan, infinite = wide.copy(), wide.copy()
        nan[:1], infinite[:1] = math.nan, math.inf
        numbers = {"a NaN": nan, "NaN only": np.full_like(wide, math.nan), "infinity": infinite}
    return {
        **numbers,
        "a row less": perfect[:-1],
        "a row more": np.concatenate([perfect, perfect[-1:]]),
        "another column": np.column_stack([perfect, perfect[:, -1] if perfect.ndim > 1 else perfect]),
    }


def _refused_by(score: Callable[[], object], door: Callable[[], object]) -> str:
    for who, action in (("scorer", score), ("door", door)):
        try:
            action()
        except InvalidSubmission:
            return who
    return ""


class RowTrial:
    """A sample of rows with known labels.

    Parameters
    ----------
    challenge
        Whose metrics and `Predictions` are tried.
    y
        Labels of the rows of the sample, as the data functions give them.

    Raises
    ------
    InvalidSubmission
        If no prediction can be made out of the truth that `Predictions` takes.
    """

    def __init__(self, challenge: Challenge, y: Any) -> None:
        self._predictions = challenge.problem.Predictions
        self.metrics: Sequence[Any] = challenge.problem.score_types
        self.official = challenge.official_metric
        self._clusters = is_clustering(challenge)
        self._y = y
        self._n = count_rows(y)
        self._scorer = new_scorer(challenge, Truth(y, y, ((np.arange(self._n), np.arange(self._n)),), {}, {}))
        rng = np.random.default_rng(_SEED)
        self._order = rng.permutation(self._n)
        self._elsewhere = rng.permutation(self._n)
        self._noise = rng.random(self._n)

    @cached_property
    def good(self) -> Sequence[Array]:
        """The truth as a prediction, as it is, with a little noise, and with so much that it errs."""
        truth = np.asarray(self._predictions(y_true=self._y).y_pred)
        forms = [truth]
        if truth.ndim == 2:
            first = truth[:, 0]
            columns = getattr(self._predictions, "n_columns", 1) or 1
            forms += [first, np.repeat(first[:, None], columns, axis=1)]
        perfect = next((form for form in forms if self._taken(form)), None)
        if perfect is None:
            raise InvalidSubmission("Predictions of problem.py takes nothing that is made of the truth")
        found = [perfect]
        for width in (0.3, 0.6):
            # A metric that needs decisions refuses the noise in all columns, but perhaps not in the first.
            noisy = (form for form in self._noisy(perfect, width) if self._taken(form))
            found += list(noisy)[:1]
        return found

    def _taken(self, prediction: Array) -> bool:
        """Whether some metric gives a finite score."""
        for metric in self.metrics:
            with contextlib.suppress(Exception):
                if math.isfinite(self.value(metric, prediction)):
                    return True
        return False

    def _noisy(self, perfect: Array, width: float) -> list[Array]:
        """Return probabilities that overlap between classes if the noise is wider than 0.4."""
        if self._clusters or perfect.dtype.kind not in "biuf" or perfect.min() < 0 or perfect.max() > 1:
            return []
        noise = width * (self._noise - 0.5)
        every = 0.3 + 0.4 * perfect + (noise if perfect.ndim == 1 else noise[:, None])
        if perfect.ndim == 1:
            return [every]
        # Where columns mean different things, the first is the score.
        only = perfect.astype(np.float64)
        only[:, 0] = every[:, 0]
        if perfect.shape[1] == 2 and np.array_equal(perfect[:, 0], 1 - perfect[:, 1]):
            every[:, 1] = 1 - every[:, 0]
        return [every, only]

    @cached_property
    def constants(self) -> Mapping[str, Array]:
        """Predictions that are the same for all rows."""
        perfect = self.good[0]
        same = {
            "the first row for all": np.repeat(perfect[:1], self._n, axis=0),
            "the last row for all": np.repeat(perfect[-1:], self._n, axis=0),
        }
        if perfect.dtype.kind in "biuf":
            same |= {
                "zeros": np.zeros_like(perfect),
                "ones": np.ones_like(perfect),
                "the mean": np.repeat(perfect.mean(axis=0, keepdims=True), self._n, axis=0),
            }
        if self._clusters:
            same = {
                name: np.column_stack([perfect[:, 0], number])
                for name, number in (
                    ("one cluster", np.zeros(self._n, dtype=perfect.dtype)),
                    ("a cluster for each", np.arange(self._n, dtype=perfect.dtype)),
                )
            }
        return same

    @cached_property
    def bad(self) -> Mapping[str, Array]:
        """What must be refused."""
        return _spoiled(self.good[0])

    def random(self, prediction: Array) -> Array:
        """Return the prediction with its rows shuffled; of clusters, the numbers within an event."""
        if not self._clusters:
            return prediction[self._elsewhere]
        shuffled = prediction.copy()
        for event in np.unique(prediction[:, 0]):
            rows = np.flatnonzero(prediction[:, 0] == event)
            shuffled[rows, 1] = np.random.default_rng(_SEED).permutation(prediction[rows, 1])
        return shuffled

    def inverted(self, prediction: Array) -> Array | None:
        """Return the prediction turned over between its smallest and its largest value."""
        if self._clusters or prediction.dtype.kind not in "biuf":
            return None
        low, high = prediction.min(axis=0), prediction.max(axis=0)
        turned: Array = low + high - prediction.astype(np.float64)
        if prediction.ndim == 2 and prediction.shape[1] > 2 and np.allclose(prediction.sum(axis=1), 1):
            turned /= turned.sum(axis=1, keepdims=True)
        return turned

    def relabelled(self, prediction: Array) -> Array | None:
        """Return clusters with other numbers."""
        if not self._clusters:
            return None
        other = prediction.copy()
        numbers, codes = np.unique(prediction[:, 1], return_inverse=True)
        other[:, 1] = np.random.default_rng(_SEED).permutation(len(numbers))[codes.ravel()]
        return other

    def _pair(self, prediction: Array, shuffled: bool = False) -> tuple[Any, Any]:
        y, prediction = copy.deepcopy(self._y), np.array(prediction)
        if shuffled:
            y, prediction = take(y, self._order), prediction[self._order]
        return self._predictions(y_true=y), self._predictions(y_pred=prediction)

    def value(self, metric: Any, prediction: Array, shuffled: bool = False) -> float:
        """Return the score of the prediction."""
        return float(metric.score_function(*self._pair(prediction, shuffled)))

    def changes(self, metric: Any) -> list[str]:
        """Return what the metric changes."""
        pair = self._pair(self.good[-1])
        before = [np.array(one.y_pred) for one in pair]
        with contextlib.suppress(Exception):
            metric.score_function(*pair)
        return [
            word
            for word, was, now in zip(("truth", "prediction"), before, pair, strict=True)
            if not _same(was, now.y_pred)
        ]

    def refused_by(self, prediction: Array) -> str:
        """Return who refuses the prediction."""
        return _refused_by(
            lambda: self._scorer.score_fold(None, {"test": prediction}),
            lambda: check_prediction(prediction, "test", self._n, self._predictions),
        )

    def depends(self, metric: Any) -> bool:
        """Return true: metrics of rows look at predictions."""
        return True


def _same(first: Array, second: Any) -> bool:
    second = np.asarray(second)
    if first.shape != second.shape:
        return False
    if first.dtype.kind in "fc":
        return bool(np.array_equal(first, second, equal_nan=True))
    return bool(np.array_equal(first, second))


def _fields(item: Any) -> dict[str, Any]:
    """Return the parts of what a challenge gives for an event: fields of a class, or the whole."""
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    if isinstance(item, tuple) and hasattr(item, "_asdict"):
        return dict(item._asdict())
    if isinstance(item, Mapping):
        return {str(key): value for key, value in item.items()}
    return {"": item}


def hit_columns(item: Any, n_rows: int, whole: str = "value") -> dict[str, NDArray[np.float64] | Array]:
    """Return the columns of an event's inputs or truth that have one value a hit, of their own type.

    What is a plain array is called `whole`.
    """
    found: dict[str, Any] = {}
    for field, value in _fields(item).items():
        if count_rows(value) != n_rows:
            continue
        prefix = f"{field}." if field else ""
        if hasattr(value, "columns"):
            found |= {f"{prefix}{name}": value[name].to_numpy() for name in value.columns}
        elif isinstance(value, np.ndarray) and value.ndim == 1 and not value.dtype.names:
            found[field or whole] = value
        else:
            found |= {f"{prefix}{name}": column for name, column in columns_of(value)[0].items()}
    return found


def reordered(truth: Any, order: Array) -> Any:
    """Return the truth of an event with its hits in another order, or None if it is of an unknown kind."""
    if isinstance(truth, np.ndarray) or hasattr(truth, "iloc"):
        return take(truth, order)
    fields = _fields(truth)
    own = {name: value for name, value in fields.items() if count_rows(value) == len(order)}
    if "" in fields or not own:
        return None
    moved = {name: take(value, order) for name, value in own.items()}
    if dataclasses.is_dataclass(truth) and not isinstance(truth, type):
        return dataclasses.replace(truth, **moved)
    return truth._replace(**moved) if hasattr(truth, "_replace") else {**fields, **moved}


class EventTrial:
    """A few events with known truth.

    Parameters
    ----------
    challenge
        Whose metrics and `Predictions` are tried.
    truths
        Truths of some events.

    Raises
    ------
    InvalidSubmission
        If no column of the truth is a prediction that `Predictions` takes.
    """

    def __init__(self, challenge: Challenge, truths: Sequence[Any]) -> None:
        self._predictions = challenge.problem.Predictions
        self.metrics: Sequence[Any] = challenge.problem.score_types
        self.official = challenge.official_metric
        self._truths = truths
        self._sizes = [len(truth) for truth in truths]
        events = np.arange(len(truths))
        self._scorer = new_scorer(challenge, Truth(truths, truths, ((events, events),), {}, {}))
        self._orders = [np.random.default_rng([_SEED, size]).permutation(size) for size in self._sizes]

    @cached_property
    def column(self) -> str:
        """Name of the column of the truth that scores best as a prediction."""
        best: tuple[float, str] | None = None
        # Whoever looks at the time may look at nothing else.
        metric = min(self.metrics, key=lambda one: bool(one.needs_seconds))
        for name in hit_columns(self._truths[0], self._sizes[0]):
            with contextlib.suppress(Exception):
                value = self.value(metric, self._labels(name))
                value = -value if metric.is_lower_the_better else value
                if math.isfinite(value) and (best is None or value > best[0]):
                    best = value, name
        if best is None:
            raise InvalidSubmission("Predictions of problem.py takes no column of the truth")
        return best[1]

    def _labels(self, name: str) -> list[Array]:
        found = []
        for truth, size in zip(self._truths, self._sizes, strict=True):
            values = hit_columns(truth, size)[name]
            found.append(np.asarray(self._predictions(y_pred=np.asarray(values)).y_pred))
        return found

    @cached_property
    def good(self) -> Sequence[list[Array]]:
        """The truth as a prediction."""
        return [self._labels(self.column)]

    @cached_property
    def constants(self) -> Mapping[str, list[Array]]:
        """All hits in one group, and every hit in its own."""
        return {
            "one group": [np.zeros_like(event) for event in self.good[0]],
            "a group for each hit": [np.arange(len(event), dtype=event.dtype) for event in self.good[0]],
        }

    @cached_property
    def bad(self) -> Mapping[str, list[Array]]:
        """What must be refused, in the first event."""
        first, *others = self.good[0]
        return {name: [spoiled, *others] for name, spoiled in _spoiled(first).items()}

    def random(self, prediction: list[Array]) -> list[Array]:
        """Return the labels of each event shuffled."""
        return [np.random.default_rng(_SEED).permutation(event) for event in prediction]

    def inverted(self, prediction: list[Array]) -> None:
        """Return None: there is no opposite of a way to group hits."""
        return

    def relabelled(self, prediction: list[Array]) -> list[Array] | None:
        """Return other numbers for the same groups."""
        found = []
        for event in prediction:
            numbers, codes = np.unique(event, return_inverse=True)
            names = np.random.default_rng(_SEED).permutation(len(numbers)).astype(event.dtype)
            found.append(names[codes.ravel()])
        return found

    def value(self, metric: Any, prediction: list[Array], shuffled: bool = False) -> float:
        """Return the score of the prediction, each event having taken a second."""
        truths: Sequence[Any] = self._truths
        if shuffled:
            truths = [reordered(truth, order) for truth, order in zip(truths, self._orders, strict=True)]
            if any(truth is None for truth in truths):
                return self.value(metric, prediction)
            prediction = [event[order] for event, order in zip(prediction, self._orders, strict=True)]
        scores = [
            metric.score_event(truth, np.array(event))
            for truth, event in zip(truths, prediction, strict=True)
        ]
        return float(metric.combine(np.array(scores, dtype=np.float64), np.ones(len(scores))))

    def changes(self, metric: Any) -> list[str]:
        """Return what the metric changes, seen on the first event."""
        truth, prediction = self._truths[0], np.array(self.good[0][0])
        before = {name: np.array(column) for name, column in hit_columns(truth, self._sizes[0]).items()}
        with contextlib.suppress(Exception):
            metric.score_event(truth, prediction)
        after = hit_columns(truth, self._sizes[0])
        changed = [
            "truth" for name, was in before.items() if name not in after or not _same(was, after[name])
        ]
        return [*changed[:1], *(["prediction"] if not _same(self.good[0][0], prediction) else [])]

    def refused_by(self, prediction: list[Array]) -> str:
        """Return who refuses the prediction."""
        arrays = {f"test/{number}": event for number, event in enumerate(prediction)}
        seconds = dict.fromkeys(arrays, 1.0)

        def door() -> None:
            for (key, event), size in zip(arrays.items(), self._sizes, strict=True):
                check_prediction(event, key, size, self._predictions)

        return _refused_by(lambda: self._scorer.score_fold(None, arrays, seconds), door)

    def depends(self, metric: Any) -> bool:
        """Whether the metric looks at predictions, and not at the time alone."""
        if not metric.needs_seconds:
            return True
        good = self.good[0]
        values = {self.value(metric, tried) for tried in (good, self.random(good), *self.constants.values())}
        return len(values) > 1

"""Ensembles of predictions: their combination, and which to take for it.

The selection is the one of Caruana et al., Ensemble Selection from Libraries of Models (ICML 2004), as
ramp-workflow's `ramp-blend` does it: from the best member on, the one whose addition improves the score most
is taken, with replacement, until none improves it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from rampwf.prediction_types.base import BasePrediction
from rampwf.prediction_types.multiclass import _combine as _combine_classes

from hepchallenge.exceptions import InvalidSubmission, OrganiserError, UsageError
from hepchallenge.scoring.row_predictions import RowPredictions

__all__ = ["Selection", "combined", "select"]

_MOST_TAKEN = 80
"""As in ramp-workflow: an ensemble is not larger."""

_ROWS_COMPARED = 1000


class _Grown:
    """Combinations of those taken and one more, each made of all predictions anew, as any kit allows."""

    def __init__(self, predictions: Any, members: Sequence[Any]) -> None:
        self._predictions = predictions
        self._members = members
        self._picks: list[int] = []

    def take(self, index: int) -> None:
        """Add a member for good."""
        self._picks.append(index)

    def combined(self, *more: int) -> Any:
        """Return the combination of those taken, and of more."""
        picks = [*self._picks, *more]
        return _checked_combination(self._predictions, [self._members[index] for index in picks])


class _Summed(_Grown):
    """The same for combinations that are a mean: from the sum of those taken, which is kept.

    Sums over the first axis are made one array after the other, here as in numpy, so that nothing differs in
    the last digit.
    """

    def __init__(
        self, predictions: Any, members: Sequence[Any], arrays: Sequence[Any], finish: Callable[[Any], Any]
    ) -> None:
        super().__init__(predictions, members)
        self._arrays = arrays
        self._finish = finish
        self._sum: Any = None

    def take(self, index: int) -> None:
        super().take(index)
        self._sum = self._with(index)

    def _with(self, index: int) -> Any:
        return self._arrays[index].copy() if self._sum is None else self._sum + self._arrays[index]

    def combined(self, *more: int) -> Any:
        total = self._with(more[0]) if more else self._sum.copy()
        # Divided as nanmean does it: by whole numbers, into the array of the sum.
        count = np.full((1,) * total.ndim, len(self._picks) + len(more))
        return self._finish(np.divide(total, count, out=total, casting="unsafe"))

    def agrees(self) -> bool:
        """Whether all that was taken combines to the same from scratch, on the first rows."""
        rows = slice(_ROWS_COMPARED)
        members = [self._predictions(y_pred=self._members[index].y_pred[rows]) for index in self._picks]
        expected = _checked_combination(self._predictions, members)
        return np.array_equal(self.combined().y_pred[rows], expected.y_pred)


def _checked_combination(predictions: Any, members: Sequence[Any]) -> Any:
    try:
        return predictions.combine(list(members))
    except Exception as error:
        # It has seen predictions only.
        raise UsageError(f"these predictions cannot be combined: {type(error).__name__}: {error}") from error


def _summed(predictions: Any, members: Sequence[Any]) -> _Summed | None:
    """Return the quick way to combine members; None where it is not known to give the same."""
    combine = getattr(predictions.combine, "__func__", None)
    arrays = [np.asarray(member.y_pred) for member in members]
    same = {(array.dtype, array.shape) for array in arrays}
    if len(same) != 1 or arrays[0].dtype not in (np.float64, np.float32) or arrays[0].size < 2:
        return None
    if any(np.isnan(array).any() for array in arrays):
        return None
    if combine is RowPredictions.combine.__func__:  # type: ignore[attr-defined]
        return _Summed(predictions, members, arrays, predictions.from_mean)
    if combine is _combine_classes.__func__:
        arrays = [_as_probabilities(array) for array in arrays]
    elif combine is not BasePrediction.combine.__func__:
        return None
    return _Summed(predictions, members, arrays, lambda mean: predictions(y_pred=mean))


def _as_probabilities(array: Any) -> Any:
    """Return what ramp-workflow's multiclass predictions take the mean of."""
    clipped = np.clip(array[None], 10**-15, 1 - 10**-15)
    return (clipped / np.sum(clipped, axis=2, keepdims=True))[0]


def combined(predictions: Any, members: Sequence[Any], picks: Sequence[int]) -> np.ndarray:
    """Return the combination that a challenge's predictions make of members.

    Parameters
    ----------
    predictions
        The challenge's class `Predictions`.
    members
        Predictions of the same rows, instances of it.
    picks
        Which to take, at least one; one that is named twice counts twice.

    Returns
    -------
    array
        The `y_pred` of the combination: a row for each row of the members.

    Raises
    ------
    UsageError
        If the predictions cannot be combined.
    """
    ensemble = _summed(predictions, members) or _Grown(predictions, members)
    for index in picks:
        ensemble.take(index)
    return np.array(ensemble.combined().y_pred)


class Selection(NamedTuple):
    """Numbers of members in the order in which they were taken, and the score of every member by itself."""

    picks: tuple[int, ...]
    singles: tuple[float, ...]


def select(
    members: Sequence[Any],
    truth: Any,
    score_type: Any,
    *,
    predictions: Any | None = None,
    min_improvement: float = 0.0,
    heard: Callable[[int, float], None] = lambda taken, score: None,
) -> Selection:
    """Choose members greedily, with replacement, so that their combination scores best.

    Parameters
    ----------
    members
        Predictions of the same rows, instances of a challenge's `Predictions`.
    truth
        Ground truth of these rows, of the same class.
    score_type
        RAMP score type; its own direction counts.
    predictions
        The class; by default that of `truth`.
    min_improvement
        What a member must improve the score by to be taken; exactly as much is not enough.
    heard
        Called after every step with the number of members taken and their score.

    Returns
    -------
    Selection
        At least one and at most 80 picks, the first being the best by itself. Of equal ones the earlier is
        taken. Members and combinations that the metric refuses, or whose score is not finite, never are.

    Raises
    ------
    UsageError
        If the predictions cannot be combined, or no member has a score.
    OrganiserError
        If the metric fails otherwise than by refusing a prediction.
    """
    made = type(truth) if predictions is None else predictions
    lower = bool(score_type.is_lower_the_better)

    def score(prediction: Any) -> float:
        # Turned so that less is better; what has no number comes last.
        value = _score(score_type, truth, prediction)
        return math.inf if not math.isfinite(value) else value if lower else -value

    def grow(ensemble: _Grown) -> tuple[int, ...]:
        picks = [first]
        ensemble.take(first)
        best = score(ensemble.combined())
        while len(picks) < _MOST_TAKEN:
            heard(len(picks), best if lower else -best)
            chosen = None
            for index in range(len(members)):
                found = score(ensemble.combined(index))
                # As in ramp-workflow: the least improvement counts anew against each better candidate.
                if found < best - min_improvement:
                    best, chosen = found, index
            if chosen is None:
                break
            picks.append(chosen)
            ensemble.take(chosen)
        else:
            heard(len(picks), best if lower else -best)
        return tuple(picks)

    singles = [score(member) for member in members]
    if not singles or not math.isfinite(min(singles)):
        raise UsageError(f"no submission has a finite {score_type.name} on its validation rows")
    first = singles.index(min(singles))
    values = tuple(value if lower else -value for value in singles)
    quick = _summed(made, members)
    if quick is not None:
        picks = grow(quick)
        if quick.agrees():
            return Selection(picks, values)
    return Selection(grow(_Grown(made, members)), values)


def _score(score_type: Any, truth: Any, prediction: Any) -> float:
    try:
        return float(score_type.score_function(truth, prediction))
    except InvalidSubmission:
        return math.nan
    except Exception as error:
        # The text of this error may hold labels; only its kind is shown.
        what = f"metric {score_type.name} cannot be computed on a blend: {type(error).__name__}"
        raise OrganiserError(what) from error

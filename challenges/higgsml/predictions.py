"""HiggsML predictions: one score and one decision per event, and how folds are combined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.scoring.row_predictions import RowPredictions

__all__ = ["Predictions", "predictions_from_columns"]


class Predictions(RowPredictions):
    """Holds ground truth (is_signal, weight) or predictions (score, selected), shape (n, 2).

    Made as ramp-workflow makes its predictions: from exactly one of `y_pred`, `y_true` and `n_samples`,
    the last giving rows of NaN that wait for their fold. A row of a prediction is either all NaN
    (no fold predicted it) or a score between 0 and 1 with a decision of 0 or 1.

    Raises
    ------
    InvalidSubmission
        If a prediction has another shape, a score outside 0 to 1, or a decision that is not 0 or 1.
    """

    n_columns: ClassVar[int] = 2
    n_columns_true: ClassVar[int] = 2

    def __init__(
        self,
        y_pred: ArrayLike | None = None,
        y_true: ArrayLike | None = None,
        n_samples: int | None = None,
        fold_is: Any = None,
    ) -> None:
        if y_pred is not None:
            self.y_pred = _rows(y_pred, fold_is)
            _check_prediction(self.y_pred)
        elif y_true is not None:
            self.y_pred = _rows(y_true, fold_is)
        elif n_samples is not None:
            self.y_pred = np.full((n_samples, 2), np.nan)
        else:
            raise ValueError("Predictions needs one of y_pred, y_true and n_samples")

    def check_y_pred_dimensions(self) -> None:
        """Raise ValueError unless there are two columns."""
        if self.y_pred.ndim != 2 or self.y_pred.shape[1] != 2:
            raise ValueError(f"expected an array of shape (n, 2), found {self.y_pred.shape}")

    @classmethod
    def from_mean(cls, mean: NDArray[np.float64]) -> Self:
        """Return the mean score and the majority decision of several predictions, given their mean.

        Folds that did not predict a row do not count for it. An event is selected if more than half of the
        predictions select it; a tie does not.
        """
        votes = mean[:, 1]
        mean[:, 1] = np.where(np.isnan(votes), np.nan, votes > 0.5)
        return cls(y_pred=mean)


def predictions_from_columns(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Turn the columns of a `submission.csv` into predictions.

    Parameters
    ----------
    columns : mapping
        `EventId` (int64), `RankOrder` (int64) and `Class` (text) in the order of the N test rows.

    Returns
    -------
    array of float, shape (N, 2)
        Columns score = RankOrder / N and selected = (Class is "s").

    Raises
    ------
    InvalidSubmission
        If `Class` is not "s" or "b", `RankOrder` is not a permutation of 1 to N, or an event of class "b" is
        ranked above one of class "s". The first offending event is named.
    """
    event, rank, label = columns["EventId"], columns["RankOrder"], columns["Class"]
    selected = _equal(label, "s")
    if np.count_nonzero(selected) + np.count_nonzero(_equal(label, "b")) != len(label):
        row = np.flatnonzero((label != "s") & (label != "b"))[0]
        found = str(label[row])
        raise InvalidSubmission(f"EventId {event[row]}: Class: expected 's' or 'b', found {found!r}")
    _check_permutation(event, rank)
    _check_order(event, rank, selected)
    y_pred = np.empty((len(rank), 2), order="F")
    np.divide(rank, len(rank), out=y_pred[:, 0])
    y_pred[:, 1] = selected
    return y_pred


def _equal(text: NDArray[Any], character: str) -> NDArray[np.bool_]:
    """Compare text with one character; one-character arrays as numbers, which is much faster."""
    equal: NDArray[np.bool_]
    if text.dtype == np.dtype("U1") and text.flags.c_contiguous:
        equal = text.view(np.uint32) == ord(character)
    else:
        equal = text == character
    return equal


def _check_permutation(event: NDArray[np.int64], rank: NDArray[np.int64]) -> None:
    n = len(rank)
    if rank.min() < 1 or rank.max() > n:
        row = np.flatnonzero((rank < 1) | (rank > n))[0]
        raise InvalidSubmission(
            f"EventId {event[row]}: RankOrder: expected a permutation of 1 to {n}, found {rank[row]}"
        )
    seen = np.zeros(n + 1, dtype=bool)
    seen[rank] = True
    if np.count_nonzero(seen) != n:
        first_row = np.full(n + 1, -1)
        first_row[rank[::-1]] = np.arange(n)[::-1]
        row = int(np.flatnonzero(first_row[rank] != np.arange(n))[0])
        missing = int(np.flatnonzero(~seen[1:])[0]) + 1
        raise InvalidSubmission(
            f"EventId {event[row]}: RankOrder: expected a permutation of 1 to {n}, found {rank[row]} "
            f"again (first for EventId {event[first_row[rank[row]]]}); {missing} is missing"
        )


def _check_order(event: NDArray[np.int64], rank: NDArray[np.int64], selected: NDArray[np.bool_]) -> None:
    """Of a permutation: the k selected events must hold exactly the k highest ranks."""
    highest = len(rank) - int(np.count_nonzero(selected))
    expected = rank > highest
    if not np.array_equal(selected, expected):
        row = np.flatnonzero(selected != expected)[0]
        label, other = ("s", "b") if selected[row] else ("b", "s")
        # The event that proves it: the best "b" for an "s" ranked too low, the worst "s" otherwise.
        rivals = np.flatnonzero(selected != selected[row])
        rival = rivals[np.argmax(rank[rivals]) if selected[row] else np.argmin(rank[rivals])]
        raise InvalidSubmission(
            f"EventId {event[row]}: Class '{label}' with RankOrder {rank[row]}: expected every 's' to be "
            f"ranked above every 'b', found '{other}' with RankOrder {rank[rival]} for EventId {event[rival]}"
        )


def _rows(values: ArrayLike, fold_is: Any) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 2:
        raise InvalidSubmission(f"expected an array of shape (n, 2), found {array.shape}")
    # A copy in either case: predictions of folds must not share memory with what they were made from. Scores
    # are computed from single columns, so each of them is kept in one piece.
    return np.array(array if fold_is is None else array[fold_is], order="F")


def _check_prediction(y_pred: NDArray[np.float64]) -> None:
    score, selected = y_pred[:, 0], y_pred[:, 1]
    # The usual case costs a few fast passes; NaN fails every comparison.
    if not len(y_pred) or (
        score.min() >= 0
        and score.max() <= 1
        and np.count_nonzero(selected == 1) + np.count_nonzero(selected == 0) == len(y_pred)
    ):
        return
    waiting = np.isnan(score) & np.isnan(selected)
    wrong = np.flatnonzero(~(waiting | ((score >= 0) & (score <= 1))))
    if wrong.size:
        row = wrong[0]
        raise InvalidSubmission(f"row {row}: score: expected a number from 0 to 1, found {score[row]}")
    wrong = np.flatnonzero(~(waiting | (selected == 0) | (selected == 1)))
    if wrong.size:
        row = wrong[0]
        raise InvalidSubmission(f"row {row}: selected: expected 0 or 1, found {selected[row]}")

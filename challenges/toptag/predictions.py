"""Top tagging predictions: the probability of every jet to come from a top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.scoring.row_predictions import RowPredictions

__all__ = ["Predictions", "predictions_from_columns"]


class Predictions(RowPredictions):
    """Holds labels (0 or 1) or predictions (probabilities from 0 to 1), shape (n,).

    Made as ramp-workflow makes its predictions: from exactly one of `y_pred`, `y_true` and `n_samples`,
    the last giving NaN for rows that wait for their fold.

    Raises
    ------
    InvalidSubmission
        If a prediction has another shape, or a value is outside 0 to 1. A column, shape (n, 1), is taken.
    """

    n_columns: ClassVar[int] = 0
    n_columns_true: ClassVar[int] = 0

    def __init__(
        self,
        y_pred: ArrayLike | None = None,
        y_true: ArrayLike | None = None,
        n_samples: int | None = None,
        fold_is: Any = None,
    ) -> None:
        if y_pred is not None:
            self.y_pred = _rows(y_pred, fold_is)
            wrong = np.flatnonzero(~(np.isnan(self.y_pred) | ((self.y_pred >= 0) & (self.y_pred <= 1))))
            if wrong.size:
                row, found = wrong[0], self.y_pred[wrong[0]]
                raise InvalidSubmission(f"row {row}: expected a probability from 0 to 1, found {found}")
        elif y_true is not None:
            self.y_pred = _rows(y_true, fold_is)
        elif n_samples is not None:
            self.y_pred = np.full(n_samples, np.nan)
        else:
            raise ValueError("Predictions needs one of y_pred, y_true and n_samples")


def predictions_from_columns(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Return the probabilities of a prediction file, in the order of the test jets.

    Parameters
    ----------
    columns : mapping
        `id` (int64) and `prediction` (float64).

    Raises
    ------
    InvalidSubmission
        If a prediction is not between 0 and 1. The first such id is named.
    """
    prediction: NDArray[np.float64] = columns["prediction"]
    wrong = np.flatnonzero(~((prediction >= 0) & (prediction <= 1)))
    if wrong.size:
        row, found = columns["id"][wrong[0]], prediction[wrong[0]]
        raise InvalidSubmission(f"id {row}: prediction: expected a probability from 0 to 1, found {found}")
    return prediction


def _rows(values: ArrayLike, fold_is: Any) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InvalidSubmission(f"expected one probability a jet, found an array of shape {array.shape}")
    # A copy in either case: predictions of folds must not share memory with what they were made from.
    return np.array(array if fold_is is None else array[fold_is])

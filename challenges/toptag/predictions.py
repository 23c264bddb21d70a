"""Top tagging predictions: the probability of every jet to come from a top."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepchallenge.exceptions import InvalidSubmission

__all__ = ["Predictions", "predictions_from_columns"]


class Predictions:
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

    def __str__(self) -> str:
        return f"y_pred = {self.y_pred}"

    @property
    def valid_indexes(self) -> NDArray[np.bool_]:
        """Mask of the rows that some fold has predicted."""
        valid: NDArray[np.bool_] = ~np.isnan(self.y_pred)
        return valid

    def set_valid_in_train(self, predictions: Predictions, test_is: Any) -> None:
        """Fill the rows `test_is` with the predictions of a fold."""
        self.y_pred[test_is] = predictions.y_pred

    def set_slice(self, valid_indexes: Any) -> None:
        """Keep only the rows `valid_indexes`."""
        self.y_pred = self.y_pred[valid_indexes]

    def check_y_pred_dimensions(self) -> None:
        """Raise ValueError unless there is one number a row."""
        if self.y_pred.ndim != 1:
            raise ValueError(f"expected an array of shape (n,), found {self.y_pred.shape}")

    @classmethod
    def combine(
        cls, predictions_list: Sequence[Predictions], index_list: Sequence[int] | None = None
    ) -> Predictions:
        """Return the mean probability of several predictions of the same rows; NaN where there is none."""
        chosen = range(len(predictions_list)) if index_list is None else index_list
        stack = np.array([predictions_list[index].y_pred for index in chosen])
        with warnings.catch_warnings():
            # A row that no fold predicted is NaN in the result too, as it should be.
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            return cls(y_pred=np.nanmean(stack, axis=0))


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

"""tau -> mu mu mu predictions: one number per candidate, from 0 to 1."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepchallenge.exceptions import InvalidSubmission

__all__ = ["Predictions", "predictions_from_columns"]


class Predictions:
    """Holds ground truth (signal, min_ANNmuon), shape (n, 2), or predictions, shape (n,).

    Made as ramp-workflow makes its predictions: from exactly one of `y_pred`, `y_true` and `n_samples`,
    the last giving NaN that waits for its fold. Of `y_true` the first two columns are kept.

    Raises
    ------
    InvalidSubmission
        If predictions have another shape, or one is neither a number from 0 to 1 nor NaN (not predicted).
    """

    n_columns: ClassVar[int] = 1
    n_columns_true: ClassVar[int] = 2

    def __init__(
        self,
        y_pred: ArrayLike | None = None,
        y_true: ArrayLike | None = None,
        n_samples: int | None = None,
        fold_is: Any = None,
    ) -> None:
        self.y_pred: NDArray[np.float64]
        if y_pred is not None:
            given = np.asarray(y_pred, dtype=np.float64)
            if given.ndim != 1:
                raise InvalidSubmission(f"expected an array of shape (n,), found {given.shape}")
            # Copies: predictions of folds must not share memory with what they were made from.
            self.y_pred = np.array(given if fold_is is None else given[fold_is])
            _check_range(self.y_pred, "row", None, may_wait=True)
        elif y_true is not None:
            truth = np.asarray(y_true, dtype=np.float64)[:, : self.n_columns_true]
            self.y_pred = np.array(truth if fold_is is None else truth[fold_is])
        elif n_samples is not None:
            self.y_pred = np.full(n_samples, np.nan)
        else:
            raise ValueError("Predictions needs one of y_pred, y_true and n_samples")

    def __str__(self) -> str:
        return f"y_pred = {self.y_pred}"

    @property
    def valid_indexes(self) -> NDArray[np.bool_]:
        """Mask of the rows that some fold has predicted."""
        valid: NDArray[np.bool_] = ~np.isnan(self.y_pred if self.y_pred.ndim == 1 else self.y_pred[:, 0])
        return valid

    def set_valid_in_train(self, predictions: Predictions, test_is: Any) -> None:
        """Fill the rows `test_is` with the predictions of a fold."""
        self.y_pred[test_is] = predictions.y_pred

    def set_slice(self, valid_indexes: Any) -> None:
        """Keep only the rows `valid_indexes`."""
        self.y_pred = self.y_pred[valid_indexes]

    def check_y_pred_dimensions(self) -> None:
        """Raise ValueError unless there is one number per row."""
        if self.y_pred.ndim != 1:
            raise ValueError(f"expected an array of shape (n,), found {self.y_pred.shape}")

    @classmethod
    def combine(
        cls, predictions_list: Sequence[Predictions], index_list: Sequence[int] | None = None
    ) -> Predictions:
        """Return the mean of several predictions of the same rows; folds that left out a row do not count."""
        chosen = range(len(predictions_list)) if index_list is None else index_list
        stack = np.array([predictions_list[index].y_pred for index in chosen])
        with warnings.catch_warnings():
            # A row that no fold predicted is NaN in the result too, as it should be.
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            return cls(y_pred=np.nanmean(stack, axis=0))


def predictions_from_columns(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Return the predictions of a `submission.csv`.

    Parameters
    ----------
    columns : mapping
        `id` (int64) and `prediction` (float64) in the order of the test rows.

    Raises
    ------
    InvalidSubmission
        If a prediction is not a number from 0 to 1; the first such id is named.
    """
    prediction = np.array(columns["prediction"], dtype=np.float64)
    _check_range(prediction, "id", columns["id"], may_wait=False)
    return prediction


def _check_range(
    prediction: NDArray[np.float64], what: str, names: NDArray[Any] | None, *, may_wait: bool
) -> None:
    right = (prediction >= 0) & (prediction <= 1)
    if may_wait:
        right |= np.isnan(prediction)
    if not right.all():
        row = int(np.argmin(right))
        name = row if names is None else names[row]
        found = prediction[row]
        raise InvalidSubmission(f"{what} {name}: prediction: expected a number from 0 to 1, found {found}")

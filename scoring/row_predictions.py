"""What predictions of rows have in common, whatever a row holds: how folds are put together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["RowPredictions", "mean_of_folds"]


class RowPredictions:
    """Holds one row per sample in `y_pred`, NaN where no fold has predicted it yet.

    Subclasses make and check `y_pred`, as ramp-workflow makes its predictions.
    """

    y_pred: NDArray[np.float64]

    def __str__(self) -> str:
        return f"y_pred = {self.y_pred}"

    @property
    def valid_indexes(self) -> NDArray[np.bool_]:
        """Mask of the rows that some fold has predicted."""
        valid: NDArray[np.bool_] = ~np.isnan(self.y_pred if self.y_pred.ndim == 1 else self.y_pred[:, 0])
        return valid

    def set_valid_in_train(self, predictions: Self, test_is: Any) -> None:
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
    def combine(cls, predictions_list: Sequence[Self], index_list: Sequence[int] | None = None) -> Self:
        """Return the mean of several predictions of the same rows; folds that left out a row do not count."""
        return cls.from_mean(mean_of_folds(predictions_list, index_list))

    @classmethod
    def from_mean(cls, mean: NDArray[np.float64]) -> Self:
        """Return the combination of predictions, given the mean of their `y_pred`, which it may change."""
        return cls(y_pred=mean)  # type: ignore[call-arg]


def mean_of_folds(
    predictions_list: Sequence[RowPredictions], index_list: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """Return the mean of several predictions, element by element; NaN where none of them has a number."""
    chosen = range(len(predictions_list)) if index_list is None else index_list
    stack = np.array([predictions_list[index].y_pred for index in chosen])
    with warnings.catch_warnings():
        # A row that no fold predicted is NaN in the result too, as it should be.
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        mean: NDArray[np.float64] = np.nanmean(stack, axis=0)
    return mean

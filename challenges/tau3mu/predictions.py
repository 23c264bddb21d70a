"""tau -> mu mu mu predictions: one number per candidate, from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.scoring.row_predictions import RowPredictions

__all__ = ["Predictions", "predictions_from_columns"]


class Predictions(RowPredictions):
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

"""The one door through which predictions come back: plain arrays, checked before anything uses them."""

from __future__ import annotations

from typing import Any

import numpy as np

from hepchallenge.exceptions import InvalidSubmission

__all__ = ["check_prediction", "narrowed"]


def check_prediction(array: np.ndarray, part: str, n_rows: int, predictions_class: Any = None) -> np.ndarray:
    """Return a prediction whose rows, columns and values are fit for scoring.

    Parameters
    ----------
    array
        A plain array of booleans, integers, floats or text.
    part
        Name of the part that was predicted, for the message.
    n_rows
        Number of rows of that part's ground truth.
    predictions_class
        The challenge's `Predictions`, whose own check of the array (columns, range) is applied.

    Raises
    ------
    InvalidSubmission
        If the shape is wrong, a value is NaN or infinite, or `predictions_class` refuses the array.
        NaN is never taken as an abstention.
    """
    if array.ndim == 0 or len(array) != n_rows:
        hint = " (transposed?)" if array.ndim == 2 and array.shape[1] == n_rows else ""
        raise InvalidSubmission(
            f"prediction on {part}: expected {n_rows} rows, found an array of shape {array.shape}{hint}"
        )
    _check_finite(array, part)
    if predictions_class is not None:
        try:
            made = predictions_class(y_pred=array)
        except Exception as error:
            # The challenge's own check. It has seen the prediction only, so its words give nothing away.
            raise InvalidSubmission(f"prediction on {part}: {error}") from None
        if array.dtype.kind == "U" and isinstance(values := getattr(made, "y_pred", None), np.ndarray):
            # The word nan is text, until a class of predictions makes numbers of it.
            _check_finite(values, part)
    return array


def _check_finite(array: np.ndarray, part: str) -> None:
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array)
    if not finite.all():
        bad = np.argwhere(~finite)[0]
        count = int(array.size - np.count_nonzero(finite))
        raise InvalidSubmission(
            f"prediction on {part}: expected finite numbers, found {array[tuple(bad)]} in row {bad[0]} "
            f"({count} of {array.size} values; NaN is no abstention)"
        )


def narrowed(array: np.ndarray) -> np.ndarray:
    """Return whole numbers in half the space if none is lost by it; there is one for every hit."""
    if array.dtype == np.int64 and array.size and abs(array).max() <= np.iinfo(np.int32).max:
        return array.astype(np.int32)
    return array

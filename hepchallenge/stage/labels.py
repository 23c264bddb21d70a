"""Withholding of validation labels from a fold's training labels."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from hepchallenge.exceptions import OrganiserError

__all__ = ["mask_labels"]


def mask_labels(y: Any, train_is: np.ndarray) -> Any:
    """Return a copy of `y` in which every row outside `train_is` repeats the fold's first training row.

    RAMP workflows take the full `y` and the training indices. Handing them the real validation labels
    would put these into the submission's process, so the other rows get a value that is legal (right
    type, an existing class) and carries no information.

    Parameters
    ----------
    y
        Labels of all training rows: numpy array, pandas Series or DataFrame, or list.
    train_is
        Row numbers of the fold's training part, at least one.

    Raises
    ------
    OrganiserError
        If `y` is of a type whose rows cannot be replaced.
    """
    n_rows = len(y)
    hidden = np.ones(n_rows, dtype=bool)
    hidden[train_is] = False
    first = int(train_is[0])
    if isinstance(y, np.ndarray):
        masked = y.copy()
        value = y[first]
        if y.dtype == object and y.ndim == 1 and not np.isscalar(value):
            # The rows are sequences (multi-label, detection), which numpy would spread over the rows.
            for row in np.flatnonzero(hidden):
                masked[row] = copy.deepcopy(value)
        else:
            masked[hidden] = value
        return masked
    if isinstance(y, list):
        return [copy.deepcopy(y[first]) if hide else value for hide, value in zip(hidden, y, strict=True)]
    if hasattr(y, "iloc"):
        source = np.where(hidden, first, np.arange(n_rows))
        masked = y.iloc[source].copy()
        masked.index = y.index.copy()
        return masked
    raise OrganiserError(
        f"get_train_data returned labels of type {type(y).__name__}; "
        "expected a numpy array, a list or a pandas object, whose validation rows can be withheld"
    )

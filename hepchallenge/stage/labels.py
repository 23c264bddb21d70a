"""Withholding of validation labels from a fold's training labels."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from hepchallenge.exceptions import OrganiserError

__all__ = ["MASKABLE", "is_maskable", "mask_labels"]

MASKABLE = "a numpy array, a list, a pandas object or an xarray DataArray, one row a label"
"""What labels may be, in words for messages."""


def _is_from(y: Any, package: str) -> bool:
    """Whether a class of `y` is defined by a package, which is not imported for the question."""
    return any(cls.__module__.partition(".")[0] == package for cls in type(y).__mro__)


def _is_data_array(y: Any) -> bool:
    return _is_from(y, "xarray") and hasattr(y, "dims") and not hasattr(y, "data_vars")


def is_maskable(y: Any) -> bool:
    """Whether `mask_labels` takes labels of this type."""
    if isinstance(y, np.ndarray):
        return y.ndim > 0
    if isinstance(y, list | tuple):
        return True
    if _is_from(y, "pandas"):
        return hasattr(y, "iloc") or hasattr(y, "take")
    return _is_data_array(y) and bool(y.dims)


def _own_copies(rows: Any, hidden: np.ndarray) -> None:
    """Give hidden rows that are objects copies of their own, since a workflow may change one of them."""
    for row in np.flatnonzero(hidden):
        rows[row] = copy.deepcopy(rows[row])


def mask_labels(y: Any, train_is: np.ndarray) -> Any:
    """Return a copy of `y` in which every row outside `train_is` repeats the fold's first training row.

    RAMP workflows take the full `y` and the training indices. Handing them the real validation labels
    would put these into the submission's process, so the other rows get a value that is legal (right
    type, an existing class) and carries no information.

    Parameters
    ----------
    y
        Labels of all training rows: numpy array (also object, structured or masked), pandas Series,
        DataFrame, Index or extension array, xarray DataArray (rows along its first dimension), or list.
        An index or coordinates stay as they are.
    train_is
        Row numbers of the fold's training part, at least one; a row may come more than once.

    Returns
    -------
    object
        Of the type, length and dtype of `y`, made of training rows only.

    Raises
    ------
    OrganiserError
        If `y` is of a type whose rows cannot be replaced.
    """
    if not is_maskable(y):
        raise OrganiserError(f"labels of type {type(y).__name__} cannot be withheld; expected {MASKABLE}")
    hidden = np.ones(len(y), dtype=bool)
    hidden[train_is] = False
    source = np.arange(len(y))
    source[hidden] = train_is[0]
    # Rows are gathered, never overwritten: nothing of a hidden row is left under a mask or in a buffer.
    if isinstance(y, np.ndarray):
        masked = y[source]
        if y.dtype == object and y.ndim == 1:
            _own_copies(masked, hidden)
        return masked
    if isinstance(y, list | tuple):
        rows = [y[row] for row in source]
        _own_copies(rows, hidden)
        return rows if isinstance(y, list) else tuple(rows)
    if hasattr(y, "iloc"):
        masked = y.iloc[source].copy()
        masked.index = y.index.copy()
        return masked
    if _is_data_array(y):
        first = y.dims[0]
        masked = y.isel({first: source})
        return masked.assign_coords({n: c for n, c in y.coords.items() if first in c.dims})
    return y.take(source)

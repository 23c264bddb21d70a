"""Checks on what a challenge's functions return, used when its data are staged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.contract.challenge import Challenge
from hepchallenge.exceptions import ContractError

__all__ = ["check_folds", "check_parts", "check_test_features", "each_fold", "feature_names"]

Indices = NDArray[np.int64]


def _check_indices(
    challenge: Challenge, where: str, indices: object, n_rows: int, may_repeat: bool = False
) -> Indices:
    """Return row indices as int64, or raise the error that says what is wrong with them."""
    file = challenge.problem.file
    try:
        array = np.asarray(indices)
    except ValueError as error:
        raise ContractError(file, where, "a one-dimensional array of row indices", str(error)) from None
    if array.ndim != 1:
        raise ContractError(file, where, "a one-dimensional array of row indices", f"shape {array.shape}")
    if array.size == 0:
        raise ContractError(file, where, "at least one row", "none")
    if array.dtype.kind == "b":
        # numpy, and hence ramp-workflow, also takes a mask over all rows.
        if array.size != n_rows:
            raise ContractError(file, where, f"a mask over {n_rows} rows", f"{array.size} values")
        array = np.flatnonzero(array)
        if array.size == 0:
            raise ContractError(file, where, "at least one row", "a mask without a true value")
    if array.dtype.kind not in "iu":
        raise ContractError(file, where, "whole numbers", f"dtype {array.dtype}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= n_rows:
        expected = f"indices from 0 to {n_rows - 1}"
        raise ContractError(file, where, expected, f"{low if low < 0 else high}")
    counts = np.bincount(array.astype(np.int64), minlength=n_rows)
    if counts.max() > 1 and not may_repeat:
        twice = int(counts.argmax())
        raise ContractError(file, where, "every row at most once", f"row {twice} {counts[twice]} times")
    return array.astype(np.int64)


def each_fold(challenge: Challenge, folds: Iterable[Any]) -> Iterator[Any]:
    """Return an iterator over what `get_cv(X, y)` gave, or raise the error that says that there is none."""
    try:
        return iter(folds)
    except TypeError:
        expected, found = "an iterable of folds", type(folds).__name__
        raise ContractError(challenge.problem.file, "get_cv", expected, found) from None


def check_folds(challenge: Challenge, folds: Iterable[Any], n_train: int) -> list[tuple[Indices, Indices]]:
    """Check the folds that `get_cv(X, y)` gave and return them as pairs of int64 arrays.

    Parameters
    ----------
    challenge : Challenge
        Whose `problem.py` is named in the error.
    folds : iterable of pairs
        `(train_is, valid_is)`: one-dimensional row indices (or boolean masks over all rows). A training row
        may come more than once (bootstrap).
    n_train : int
        Number of training rows.

    Raises
    ------
    ContractError
        If there is no fold, a fold is not a pair, or a part of it is empty, not whole numbers or out of
        range, or a row is in both parts or validated twice. Negative indices are out of range.
    """
    file = challenge.problem.file
    checked: list[tuple[Indices, Indices]] = []
    for number, fold in enumerate(each_fold(challenge, folds)):
        where = f"get_cv: fold {number}"
        try:
            train, valid = fold
        except (TypeError, ValueError):
            found = f"{type(fold).__name__} that is not a pair"
            raise ContractError(file, where, "a pair (train indices, valid indices)", found) from None
        # Drawn with replacement (bootstrap) is a way to train, but not to validate.
        train = _check_indices(challenge, f"{where}: train", train, n_train, may_repeat=True)
        valid = _check_indices(challenge, f"{where}: valid", valid, n_train)
        in_train = np.zeros(n_train, dtype=bool)
        in_train[train] = True
        shared = valid[in_train[valid]]
        if shared.size:
            found = f"{shared.size} shared rows, the first is row {shared[0]}"
            raise ContractError(file, where, "train and valid rows to be disjoint", found)
        checked.append((train, valid))
    if not checked:
        raise ContractError(file, "get_cv", "at least one fold", "none")
    return checked


def check_parts(challenge: Challenge, parts: Any, n_test: int) -> NDArray[np.str_]:
    """Check what `get_test_parts(path)` gave and return one word a row, `public` or `private`.

    Parameters
    ----------
    parts : array of str, or mapping of part to row indices
        One word per test row, or the rows of each part. A part may be empty.
    n_test : int
        Number of test rows.

    Raises
    ------
    ContractError
        If a row is in no part or in two, a part has another name, or the number of rows differs.
    """
    file = challenge.problem.file
    where = "get_test_parts"
    words = ("public", "private")
    if isinstance(parts, Mapping):
        result = np.full(n_test, "", dtype="<U7")
        for part, indices in parts.items():
            if part not in words:
                raise ContractError(file, where, "the parts public and private", repr(part))
            if np.size(indices) == 0:
                continue
            rows = _check_indices(challenge, f"{where}: {part}", indices, n_test)
            taken = rows[result[rows] != ""]
            if taken.size:
                found = f"{taken.size} rows in two, the first is row {taken[0]}"
                raise ContractError(file, f"{where}: {part}", "every row in exactly one part", found)
            result[rows] = part
        missing = np.flatnonzero(result == "")
        if missing.size:
            found = f"{missing.size} rows in none, the first is row {missing[0]}"
            raise ContractError(file, where, "every row in exactly one part", found)
        return result
    array = np.asarray(parts)
    if array.ndim != 1:
        raise ContractError(file, where, "one word per test row", f"an array of shape {array.shape}")
    if array.size != n_test:
        raise ContractError(file, where, f"one word for each of {n_test} test rows", f"{array.size}")
    known = np.isin(array.astype(str), words) if array.dtype.kind in "UOST" else np.zeros(n_test, dtype=bool)
    if not known.all():
        row = int(np.argmin(known))
        raise ContractError(
            file,
            f"{where}: row {row}",
            "public or private",
            repr(array[row].item() if hasattr(array[row], "item") else array[row]),
        )
    return array.astype("<U7")


def feature_names(X: Any) -> Iterator[str]:
    """Yield every name under which a value can be reached in test inputs.

    Columns and index levels of DataFrames, their `attrs`, fields of structured arrays (nested ones too),
    variables of xarray objects, columns of Arrow tables, keys of mappings, and all of these inside lists.
    """
    if isinstance(X, np.ndarray):
        if X.dtype.names:
            yield from _field_names(X.dtype)
        elif X.dtype == object:
            for item in X.flat:
                yield from feature_names(item)
        return
    if isinstance(X, list | tuple):
        for item in X:
            if not isinstance(item, int | float | complex | str | bytes | np.generic):
                yield from feature_names(item)
        return
    if isinstance(X, Mapping):
        for key, value in X.items():
            yield str(key)
            yield from feature_names(value)
        return
    if hasattr(X, "schema") and hasattr(X, "column_names"):
        yield from (str(name) for name in X.column_names)
        return
    for labels in (getattr(X, "columns", ()), getattr(getattr(X, "index", None), "names", ())):
        for label in labels:
            # A label of several levels is a tuple; each level is a name.
            yield from (str(level) for level in (label if isinstance(label, tuple) else (label,)))
    for attribute in ("data_vars", "coords", "attrs"):
        names = getattr(X, attribute, None)
        if isinstance(names, Mapping):
            yield from (str(name) for name in names)
    name = getattr(X, "name", None)
    if isinstance(name, str):
        yield name


def _field_names(dtype: np.dtype[Any]) -> Iterator[str]:
    for name in dtype.names or ():
        yield name
        yield from _field_names(dtype[name].base)


def check_test_features(challenge: Challenge, X_test: Any, withheld: Iterable[str] | None = None) -> None:
    """Check that no withheld name (label, weight, truth) is left among the test inputs.

    Names are compared without regard to case and surrounding blanks. Inputs without names, such as plain
    arrays, cannot be checked and pass.

    Parameters
    ----------
    X_test : object
        What `get_test_data` gave as inputs.
    withheld : iterable of str, optional
        Names to refuse; by default `withheld` under `[features]` in `challenge.toml`.

    Raises
    ------
    ContractError
        If one is found.
    """
    refused = {
        name.strip().casefold() for name in (challenge.config.withheld if withheld is None else withheld)
    }
    if not refused:
        return
    for name in feature_names(X_test):
        if name.strip().casefold() in refused:
            expected = f"test inputs without {', '.join(sorted(refused))}"
            raise ContractError(challenge.problem.file, "get_test_data", expected, f"the column {name!r}")

"""Predictions pass one door: as many rows as the truth, finite, and as the challenge's class wants them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import rampwf as rw
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.run.fold import _plain_array
from hepchallenge.run.intake import check_prediction


@given(
    array=hnp.arrays(
        st.sampled_from(["f2", "f4", "f8"]), hnp.array_shapes(max_dims=2), elements={"allow_nan": True}
    )
)
def test_finite_arrays_pass_as_they_are_and_others_are_located(array: np.ndarray) -> None:
    if np.isfinite(array).all():
        assert check_prediction(array, "test", len(array)) is array
        return
    row = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))[0]
    with pytest.raises(
        InvalidSubmission, match=rf"on test: expected finite numbers, found \S+ in row {row} "
    ):
        check_prediction(array, "test", len(array))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((), r"shape \(\)$"),
        ((4,), r"shape \(4,\)$"),
        ((2, 5), r"shape \(2, 5\) \(transposed\?\)"),
        ((0,), r"shape \(0,\)$"),
    ],
)
def test_a_wrong_number_of_rows_is_refused(shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(InvalidSubmission, match=f"on valid: expected 5 rows, found an array of {words}"):
        check_prediction(np.zeros(shape), "valid", 5)


def test_the_challenges_own_class_has_the_last_word() -> None:
    three = rw.prediction_types.make_multiclass(label_names=["a", "b", "c"])
    proba = np.full((5, 3), 1 / 3)
    assert check_prediction(proba, "test", 5, three) is proba
    with pytest.raises(InvalidSubmission, match=r"on test: .*2D with 3 columns"):
        check_prediction(proba[:, :2], "test", 5, three)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([1, 2], "i8"),
        (np.float32([1, 2]), "f4"),
        (np.longdouble([1, 2]), "f8"),
        (np.ma.masked_array([1.0, 2.0]), "f8"),
        (pd.Series([1.0, 2.0], index=[7, 3]), "f8"),
        (np.array([1, 2.5, np.float32(3), True], dtype=object), "f8"),
        (np.array(["a", "longer"], dtype=object), "U6"),
        (pd.Series(["a", "bc"], dtype="str"), "U2"),
        (np.matrix([[1.0], [2.0]]), "f8"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_means_plain_numbers_or_text_becomes_it(value: Any, dtype: str) -> None:
    array = _plain_array(value)
    assert type(array) is np.ndarray
    assert array.dtype == np.dtype(dtype)
    assert array.tolist() == np.asarray(value).tolist()


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": 1},
        [1j],
        [None, 1.0],
        [[1], [2, 3]],
        np.array([b"x"]),
        np.array(["2020"], dtype="M8[s]"),
        np.zeros(2, dtype=[("a", float)]),
        np.array([2**70, 1], dtype=object),
    ],
    ids=str,
)
def test_anything_else_is_named(value: Any) -> None:
    with pytest.raises(InvalidSubmission, match="plain numbers or text"):
        _plain_array(value)


def test_text_that_the_challenge_reads_as_nan_or_infinity_is_no_number() -> None:
    class Numbers:
        def __init__(self, y_pred: Any) -> None:
            self.y_pred = np.array(y_pred, dtype=float)

    fine = np.array(["1.5", "-2"])
    assert check_prediction(fine, "test", 2, Numbers) is fine
    for word in ("nan", "-inf"):
        with pytest.raises(
            InvalidSubmission, match=rf"on test: expected finite numbers, found {word} in row 1 "
        ):
            check_prediction(np.array(["0.0", word]), "test", 2, Numbers)

"""Folds, parts and test features are checked row by row and name by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.contract import Challenge, check_folds, check_parts, check_test_features, load_challenge
from hepchallenge.exceptions import ContractError


def test_good_folds_come_back_as_int64(challenge: Challenge) -> None:
    mask = np.array([True, False, False, True])
    folds = check_folds(challenge, iter([([0, 1], [3]), (np.int32([2, 1]), mask)]), 4)
    assert [fold[1].tolist() for fold in folds] == [[3], [0, 3]]
    assert folds[1][0].dtype == np.int64
    assert folds[1][0].tolist() == [2, 1]


def test_training_rows_may_be_drawn_with_replacement(challenge: Challenge) -> None:
    [(train, valid)] = check_folds(challenge, [([2, 0, 2], [1])], 4)
    assert train.tolist() == [2, 0, 2]
    assert valid.tolist() == [1]


@pytest.mark.parametrize(
    ("folds", "where", "found"),
    [
        ([], "get_cv", "none"),
        (3, "get_cv", "int"),
        ([([0], [1]), 5], "get_cv: fold 1", "int that is not a pair"),
        ([([0], [1], [2])], "get_cv: fold 0", "list"),
        ([([], [1])], "get_cv: fold 0: train", "none"),
        ([([0], [])], "get_cv: fold 0: valid", "none"),
        ([([0.0], [1])], "get_cv: fold 0: train", "dtype float64"),
        ([([[0]], [1])], "get_cv: fold 0: train", "shape (1, 1)"),
        ([([0, -1], [1])], "get_cv: fold 0: train", "-1"),
        ([([0], [4])], "get_cv: fold 0: valid", "4"),
        ([([1], [0, 2, 2])], "get_cv: fold 0: valid", "row 2 2 times"),
        ([([0, 1], [3]), ([0, 3], [1, 3])], "get_cv: fold 1", "1 shared rows, the first is row 3"),
        ([([True, False], [2])], "get_cv: fold 0: train", "2 values"),
        ([([[0], [1, 2]], [2])], "get_cv: fold 0: train", "inhomogeneous"),
    ],
)
def test_a_bad_fold_is_named(challenge: Challenge, folds: Any, where: str, found: str) -> None:
    if isinstance(folds, list) and folds and folds[-1] == ([0.0], [1]):
        folds = [(np.array([0.0]), [1])]
    if isinstance(folds, list) and len(folds) == 1 and len(folds[0]) == 3:
        folds = [list(folds[0])]
    with pytest.raises(ContractError) as caught:
        check_folds(challenge, folds, 4)
    assert caught.value.where == where
    assert found in caught.value.found


def test_good_parts_come_back_as_one_word_a_row(challenge: Challenge) -> None:
    expected = ["public", "private", "public"]
    for parts in (
        expected,
        np.array(expected, dtype=object),
        pd.Series(expected),
        pd.Categorical(expected),
        {"public": [0, 2], "private": [1]},
    ):
        assert check_parts(challenge, parts, 3).tolist() == expected


@pytest.mark.parametrize(
    ("parts", "where", "found"),
    [
        (["public"], "get_test_parts", "1"),
        (["public", "privat", "private"], "get_test_parts: row 1", "'privat'"),
        ([1, 0, 1], "get_test_parts: row 0", "1"),
        (["public", None, "private"], "get_test_parts: row 1", "None"),
        ([["public"] * 3], "get_test_parts", "shape (1, 3)"),
        ({"public": [0, 1], "private": [1, 2]}, "get_test_parts: private", "the first is row 1"),
        ({"public": [0], "private": [2]}, "get_test_parts", "1 rows in none, the first is row 1"),
        ({"public": [0, 1, 2], "test": [2]}, "get_test_parts", "'test'"),
        ({"public": [0, 1, 3]}, "get_test_parts: public", "3"),
        ({"public": [0, 1, 1]}, "get_test_parts: public", "row 1 2 times"),
    ],
)
def test_a_bad_part_is_named(challenge: Challenge, parts: Any, where: str, found: str) -> None:
    with pytest.raises(ContractError) as caught:
        check_parts(challenge, parts, 3)
    assert caught.value.where == where
    assert found in caught.value.found


@settings(deadline=None)
@given(words=st.lists(st.sampled_from(["public", "private"]), min_size=1, max_size=30))
def test_a_mapping_and_a_list_of_words_mean_the_same(words: list[str]) -> None:
    challenge: Any = type("C", (), {"problem": type("P", (), {"file": "problem.py"})})
    array = np.array(words)
    mapping = {part: np.flatnonzero(array == part) for part in ("public", "private")}
    assert check_parts(challenge, mapping, len(words)).tolist() == words


frame = pd.DataFrame({"a": [1.0], "Weight": [2.0]})


@pytest.mark.parametrize(
    "inputs",
    [
        frame,
        frame.rename(columns={"Weight": " WEIGHT "}),
        frame.set_index("Weight"),
        frame.set_index(["a", "Weight"]),
        pd.concat({"Weight": frame[["a"]]}, axis=1),
        frame["Weight"],
        np.zeros(2, dtype=[("a", float), ("Weight", float)]),
        np.zeros(2, dtype=[("a", [("Weight", float)], (3,))]),
        xr.Dataset({"a": ("x", [1.0]), "Weight": ("x", [1.0])}),
        xr.DataArray([1.0], dims="x", coords={"Weight": ("x", [1.0])}),
        {"a": 1, "Weight": 2},
        [frame[["a"]], frame],
        [{"hits": frame}],
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_weight_left_in_test_inputs_is_found(challenge: Challenge, inputs: object) -> None:
    with pytest.raises(ContractError, match=r"get_test_data: expected test inputs without label, weight"):
        check_test_features(challenge, inputs, ["Weight", "Label"])


def test_a_weight_in_the_attributes_of_a_frame_is_found(challenge: Challenge) -> None:
    clean = frame[["a"]].copy()
    clean.attrs["weight"] = [2.0]
    with pytest.raises(ContractError):
        check_test_features(challenge, clean, ["Weight"])


@pytest.mark.parametrize("inputs", [frame[["a"]], np.zeros((2, 2)), [1.0, "Weight"], [np.zeros(2)], None])
def test_inputs_without_withheld_names_pass(challenge: Challenge, inputs: object) -> None:
    check_test_features(challenge, inputs, ["Weight", "Label"])


def test_by_default_the_names_of_challenge_toml_are_withheld(write: Any) -> None:
    challenge = load_challenge(write(toml='[features]\nwithheld = ["Weight"]\n'))
    with pytest.raises(ContractError):
        check_test_features(challenge, frame)

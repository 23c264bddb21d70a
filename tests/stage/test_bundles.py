"""Staged inputs come back equal, writable, and private to the process that maps them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hepchallenge.bundle import load_bundle, write_bundle
from hepchallenge.exceptions import InfrastructureError, OrganiserError

plain = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(),
    hnp.unicode_string_dtypes(),
    hnp.datetime64_dtypes(endianness="="),
)
arrays = hnp.arrays(dtype=plain, shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))


def round_trip(value: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return load_bundle(write_bundle(value, Path(folder)))


@settings(deadline=None)
@given(array=arrays, transposed=st.booleans())
def test_any_array_comes_back_equal_and_laid_out_alike(array: np.ndarray, transposed: bool) -> None:
    value = array.T if transposed else array
    back = round_trip(value)
    assert back.dtype == value.dtype
    assert back.flags.f_contiguous == value.flags.f_contiguous
    np.testing.assert_array_equal(back, value)


@settings(deadline=None)
@given(
    values=st.lists(
        st.one_of(st.none(), st.integers(), st.text(), st.binary(), hnp.arrays(float, 3)), max_size=6
    )
)
def test_lists_of_anything_come_back(values: list[Any]) -> None:
    back = round_trip({"rows": values})["rows"]
    assert len(back) == len(values)
    for one, other in zip(back, values, strict=True):
        np.testing.assert_equal(one, other)


@settings(deadline=None, max_examples=30)
@given(
    numbers=hnp.arrays(float, st.integers(0, 20)),
    words=st.lists(st.text(alphabet=st.characters(codec="utf-8")), min_size=20, max_size=20),
)
def test_frames_come_back_with_their_types_and_index(numbers: np.ndarray, words: list[str]) -> None:
    frame = pd.DataFrame({"x": numbers, "kind": words[: len(numbers)]}, index=np.arange(len(numbers)) * 3)
    frame["category"] = frame["kind"].astype("category")
    pd.testing.assert_frame_equal(round_trip(frame), frame)


def test_a_dataset_keeps_its_attributes() -> None:
    data = xr.Dataset({"a": (("time", "x"), np.arange(6.0).reshape(3, 2))}, attrs={"n_burn_in": 2})
    back = round_trip(data)
    xr.testing.assert_identical(back, data)
    assert back.n_burn_in == 2


def test_what_a_submission_writes_stays_its_own(tmp_path: Path) -> None:
    path = write_bundle(np.arange(5.0), tmp_path)
    mine = load_bundle(path)
    mine[:] = -1
    assert load_bundle(path).tolist() == [0, 1, 2, 3, 4]


def test_equal_inputs_are_stored_once(tmp_path: Path) -> None:
    paths = [write_bundle(pd.DataFrame({"a": [1.0, 2.0]}), tmp_path) for _ in range(2)]
    other = write_bundle(pd.DataFrame({"a": [1.0, 3.0]}), tmp_path)
    assert paths[0] == paths[1] != other
    assert sorted(tmp_path.iterdir()) == sorted({*paths, other})


def test_rows_beside_a_view_do_not_travel(tmp_path: Path) -> None:
    """Features are often cut out of a table that holds the label too."""
    table = np.arange(40.0).reshape(10, 4)
    secret = np.float64(123456.789)
    table[:, 3] = secret
    frame = pd.DataFrame(table)
    for inputs in (table[:, :3], frame.iloc[:, :3], {"x": table[:, 0]}):
        assert secret.tobytes() not in write_bundle(inputs, tmp_path).read_bytes()


def test_classes_of_problem_py_travel_by_value() -> None:
    module = ModuleType("problem")
    exec("class Event:\n    def __init__(self, x):\n        self.x = x", module.__dict__)
    module.Event.__module__ = "problem"
    [event] = round_trip([module.Event(np.arange(3))])
    assert event.x.tolist() == [0, 1, 2]


def test_inputs_that_cannot_travel_are_named(tmp_path: Path) -> None:
    with pytest.raises(OrganiserError, match="inputs of type list cannot be handed to a submission"):
        write_bundle([(letter for letter in "abc")], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_bundle_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = write_bundle([np.arange(20.0), np.arange(3)], tmp_path).read_bytes()
    cut = tmp_path / "cut"
    for size in range(len(whole)):
        cut.write_bytes(whole[:size])
        with pytest.raises(InfrastructureError, match="truncated"):
            load_bundle(cut)


def test_another_file_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"x" * 100)
    with pytest.raises(InfrastructureError, match="HEPBNDL1"):
        load_bundle(tmp_path / "other")

"""Labels handed to a fold hold training rows only, whatever they are made of."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.exceptions import OrganiserError
from hepchallenge.stage.labels import is_maskable, mask_labels

Make = Callable[[list[int]], Any]


def objects(rows: list[Any]) -> np.ndarray:
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


# Each makes labels in which row number n holds the text or number "secret n".
KINDS: dict[str, Make] = {
    "numpy": lambda n: np.array(n) * 1_000_003,
    "two columns": lambda n: np.array([n, n]).T * 1_000_003.5,
    "strings": lambda n: np.array([f"secret {i}." for i in n]),
    "objects": lambda n: objects([f"secret {i}." for i in n]),
    "object rows": lambda n: objects([[f"secret {i}."] for i in n]),
    "object table": lambda n: np.array([[f"secret {i}.", i * 1.5] for i in n], dtype=object),
    "structured": lambda n: np.array([(i, f"secret {i}.") for i in n], dtype=[("a", int), ("b", "U12")]),
    "masked": lambda n: np.ma.MaskedArray(np.array(n) * 1_000_003, mask=[i % 2 for i in n]),
    "list": lambda n: [{"secret": f"secret {i}."} for i in n],
    "tuple": lambda n: tuple(f"secret {i}." for i in n),
    "series": lambda n: pd.Series([f"secret {i}." for i in n], index=[i * 3 for i in n]),
    "frame": lambda n: pd.DataFrame({"a": [i * 1_000_003 for i in n], "b": [f"secret {i}." for i in n]}),
    "index": lambda n: pd.Index([f"secret {i}." for i in n]),
    "extension": lambda n: pd.array([f"secret {i}." for i in n], dtype="str"),
    "nullable": lambda n: pd.array([i * 1_000_003 if i % 2 else None for i in n], dtype="Int64"),
    "xarray": lambda n: xr.DataArray([i * 1_000_003 for i in n], dims="t", coords={"t": [i * 3 for i in n]}),
}


def rows_of(labels: Any) -> list[str]:
    """Return the rows as text, which can be compared whatever they are."""
    if isinstance(labels, pd.DataFrame):
        return [str(row) for row in labels.to_numpy().tolist()]
    if isinstance(labels, np.ma.MaskedArray):
        return [
            str((value, flag)) for value, flag in zip(labels.data, np.ma.getmaskarray(labels), strict=True)
        ]
    return [str(row) for row in (labels.values if isinstance(labels, xr.DataArray) else labels)]


folds = st.integers(1, 12).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), min_size=1, max_size=2 * n))
)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=30)
@given(fold=folds)
def test_every_other_row_repeats_the_first_training_row(kind: str, fold: tuple[int, list[int]]) -> None:
    n_rows, train = fold
    y = KINDS[kind](list(range(n_rows)))
    before = rows_of(y)
    masked = mask_labels(y, np.array(train))
    assert type(masked) is type(y)
    assert getattr(masked, "dtype", None) == getattr(y, "dtype", None)
    assert rows_of(masked) == [before[row if row in train else train[0]] for row in range(n_rows)]
    assert rows_of(y) == before


@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_of_a_hidden_row_travels(kind: str) -> None:
    numbers = list(range(7, 407))
    train = np.arange(100)
    travelling = pickle.dumps(mask_labels(KINDS[kind](numbers), train), protocol=5)
    assert len(travelling) > 100
    for number in numbers[100:]:
        assert f"secret {number}.".encode() not in travelling
        assert f"secret {number}.".encode("utf-32-le") not in travelling
        for value in (np.int64(number * 1_000_003), np.float64(number * 1_000_003.5)):
            assert value.tobytes() not in travelling


def test_index_and_coordinates_stay_where_they_are() -> None:
    numbers, train = [0, 1, 2, 3], np.array([2, 1])
    assert mask_labels(KINDS["series"](numbers), train).index.tolist() == [0, 3, 6, 9]
    assert mask_labels(KINDS["xarray"](numbers), train)["t"].values.tolist() == [0, 3, 6, 9]


@pytest.mark.parametrize("kind", ["object rows", "list"])
def test_a_workflow_that_changes_a_row_changes_no_other(kind: str) -> None:
    masked = mask_labels(KINDS[kind]([0, 1, 2]), np.array([1]))
    first, second, third = masked
    first.clear()
    assert len(second) == len(third) == 1


@pytest.mark.parametrize(
    "labels", [{"a": [1]}, np.array(3.0), 5, "text", None, xr.Dataset({"a": ("t", [1])})]
)
def test_labels_of_another_kind_are_refused(labels: Any) -> None:
    assert not is_maskable(labels)
    with pytest.raises(OrganiserError, match="cannot be withheld"):
        mask_labels(labels, np.array([0]))

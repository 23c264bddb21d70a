"""One shuffled stream of all rows to predict, for challenges with gates.

Training rows, test rows and the gates' samples stand in it in an order that only this side knows, with the
columns of the test inputs. So a submission cannot be good in one way where it is scored and in another
where it is checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.bundle import write_bundle
from hepchallenge.contract import Challenge
from hepchallenge.exceptions import ContractError

__all__ = ["Stream", "make_stream"]


@dataclass(frozen=True)
class Stream:
    """The shuffled rows on disk, and where the rows of every sample stand in it."""

    inputs: Path
    n_rows: int
    places: dict[str, NDArray[np.int64]]
    """By sample (`train`, `test`, names of gates): for each of its rows, the place in the stream."""

    def split(self, prediction: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the predictions of every sample, its rows in their own order."""
        return {name: prediction[places] for name, places in self.places.items()}


def make_stream(
    challenge: Challenge, samples: Mapping[str, Any], secret: bytes, data_digest: str, inputs_folder: Path
) -> Stream:
    """Write the stream of all samples.

    Parameters
    ----------
    samples
        Inputs by name, `test` among them: all DataFrames, or all arrays. Columns that `test` lacks are left
        out.
    secret
        What submissions cannot know; with the data it decides the order, so that equal runs are equal.

    Raises
    ------
    ContractError
        If a sample lacks a column of the test inputs, or inputs are of different kinds.
    """
    together = _joined(challenge, samples)
    sizes = {name: len(sample) for name, sample in samples.items()}
    n_rows = sum(sizes.values())
    seed = hashlib.sha256(secret + b"\0" + data_digest.encode()).digest()
    order = np.random.default_rng(list(seed)).permutation(n_rows)
    place = np.empty(n_rows, dtype=np.int64)
    place[order] = np.arange(n_rows)
    places, start = {}, 0
    for name, size in sizes.items():
        places[name] = place[start : start + size]
        start += size
    is_frame = hasattr(together, "iloc")
    shuffled = together.iloc[order].reset_index(drop=True) if is_frame else together[order]
    return Stream(write_bundle(shuffled, inputs_folder), n_rows, places)


def _joined(challenge: Challenge, samples: Mapping[str, Any]) -> Any:
    """Return all samples one after the other, with the columns of the test inputs."""
    import pandas as pd

    test = samples["test"]
    file = challenge.problem.file
    if isinstance(test, np.ndarray):
        for name, sample in samples.items():
            if not isinstance(sample, np.ndarray) or sample.shape[1:] != test.shape[1:]:
                expected = f"an array with rows of shape {test.shape[1:]}, as the test inputs"
                found = f"{type(sample).__name__} of shape {getattr(sample, 'shape', '?')}"
                raise ContractError(file, f"gates: {name}", expected, found)
        return np.concatenate(list(samples.values()))
    if not isinstance(test, pd.DataFrame):
        expected = "test inputs as an array or a DataFrame, since there are gates"
        raise ContractError(file, "get_test_data", expected, type(test).__name__)
    columns = list(test.columns)
    for name, sample in samples.items():
        missing = [column for column in columns if column not in getattr(sample, "columns", ())]
        if missing:
            expected = f"the columns of the test inputs, {columns[0]!r} to {columns[-1]!r}"
            raise ContractError(file, f"gates: {name}", expected, f"none called {missing[0]!r}")
    joined = pd.concat([sample[columns] for sample in samples.values()], ignore_index=True)
    # What pandas keeps beside the values could tell where a row is from.
    joined.attrs.clear()
    return joined

"""The two gates of tau -> mu mu mu: samples that are predicted with the others, and checks of the result."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hepchallenge.challenges.tau3mu.data import FEATURES, NAME, make_toy_data, prepare_data
from hepchallenge.data import open_prepared, read_table
from hepchallenge.scoring.gates import GateResult
from hepchallenge.scoring.tau3mu import check_agreement, check_flatness

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GATES", "SampleGate", "features_of", "prepared_folder", "truth_of"]


def prepared_folder(path: str | os.PathLike[str]) -> Path:
    """Return the prepared folder that belongs to a path, made on first use."""
    return open_prepared(path, challenge=NAME, prepare=prepare_data, make_toy=make_toy_data)


def features_of(prepared: Path, table: str) -> pd.DataFrame:
    """Return the 46 features of a table of a prepared folder."""
    frame: pd.DataFrame = read_table(prepared, table, FEATURES).to_pandas()
    return frame


def truth_of(prepared: Path, table: str, columns: tuple[str, ...]) -> NDArray[np.float64]:
    """Return columns of a table of a prepared folder, shape (n, number of columns)."""
    read = read_table(prepared, table, list(columns))
    return np.column_stack([read.column(name).to_numpy() for name in columns]).astype(np.float64)


@dataclass(frozen=True)
class SampleGate:
    """A gate on the predictions of one extra sample.

    Attributes
    ----------
    name : str
        Of the gate.
    table : str
        Of the prepared folder, with the features and the truth.
    columns : tuple of str
        Of the truth, which stays where no submission runs. The truth of one column has the shape (n,).
    judge : function
        `judge(prediction, truth) -> GateResult`.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    judge: Callable[[NDArray[np.float64], NDArray[np.float64]], GateResult]

    def get_data(self, path: str | os.PathLike[str] = ".") -> tuple[pd.DataFrame, NDArray[np.float64]]:
        """Return the sample: its features, the same columns as those of test events, and its truth."""
        prepared = prepared_folder(path)
        truth = truth_of(prepared, self.table, self.columns)
        return features_of(prepared, self.table), truth[:, 0] if len(self.columns) == 1 else truth

    def get_ids(self, path: str | os.PathLike[str] = ".") -> NDArray[np.int64]:
        """Return the id of every row of the sample."""
        ids: NDArray[np.int64] = read_table(prepared_folder(path), self.table, ["id"]).column("id").to_numpy()
        return ids

    def check(self, prediction: NDArray[np.float64], truth: NDArray[np.float64]) -> GateResult:
        """Return whether predictions of the sample, shape (n,), pass.

        Raises
        ------
        InvalidSubmission
            If a prediction is not a number from 0 to 1, or their number is wrong.
        """
        return self.judge(prediction, truth)


GATES = (
    SampleGate("agreement", "agreement", ("signal", "weight"), check_agreement),
    SampleGate("flatness", "correlation", ("mass",), check_flatness),
)
"""Agreement of simulation and data on the control channel, then flatness in mass on background."""

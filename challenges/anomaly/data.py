"""Anomaly data: the published files, and toy events distorted in the same ways.

Both become the tables `train` and `test` with the 16 features and `isSkewed`. Toy tables have one more
column, `distortion`, the hidden truth of what was done to each event; it is read by
`hepchallenge.challenges.anomaly.breakdown` alone and is never part of X or y.

The published files do not say how an event was distorted, nor was the program that did it published. What
stands here was measured on the published events:

* the pt of every tau of a distorted event is 5 % too large, and the missing momentum does not follow;
* taus are lost in two regions of the detector, a narrow one and a wide one;
* about a twentieth each of the distorted events has, exclusively, a tau outside of the acceptance, a lepton
  of ten times its pt, 50 GeV more missing momentum, or the azimuths of tau and lepton exchanged.

Derived columns are computed from the rounded primitive ones in both classes, so that rounding tells nothing.
(In the published files it does: their derived columns are cut to three decimals, and those of distorted
events were computed from the scaled pt of the tau before it was rounded; comparing them with recomputed ones
gives much of the separation away.) The exchange of azimuths comes last,
after the derived columns, as in the published files: there the transverse mass and the vector sums still are
those of the azimuths before the exchange, which is what makes the exchange visible at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hepchallenge.challenges.higgsml import toy
from hepchallenge.challenges.higgsml.kinematics import PRIMITIVE_COLUMNS, delta_r, derived
from hepchallenge.challenges.tables import prepare_train_and_test
from hepchallenge.data import TableSchema, write_prepared
from hepchallenge.exceptions import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLLECTIVE",
    "DEFAULT_EVENTS",
    "DISTORTION",
    "FEATURES",
    "MINIMUM_EVENTS",
    "NAME",
    "ORIGINAL",
    "OUTLIERS",
    "SCHEMA",
    "TARGET",
    "generate",
    "make_toy_data",
    "prepare_data",
]

NAME = "anomaly"
TARGET = "isSkewed"
DISTORTION = "distortion"

FEATURES = (
    "DER_mass_transverse_met_lep",
    "DER_mass_vis",
    "DER_pt_h",
    "DER_deltar_tau_lep",
    "DER_pt_tot",
    "DER_sum_pt",
    "DER_pt_ratio_lep_tau",
    "DER_met_phi_centrality",
    "PRI_tau_pt",
    "PRI_tau_eta",
    "PRI_tau_phi",
    "PRI_lep_pt",
    "PRI_lep_eta",
    "PRI_lep_phi",
    "PRI_met",
    "PRI_met_phi",
)
"""The columns of X, in the published order."""

SCHEMA = TableSchema(columns={**dict.fromkeys(FEATURES, pa.float64()), TARGET: pa.int64()})
"""Columns of the published files."""

ORIGINAL = "original"
COLLECTIVE = "tau_energy_scale"
"""Distorted like all others of its class, but by nothing else: no single such event looks odd."""

OUTLIERS = {"tau_eta": 0.0510, "lepton_pt": 0.0490, "met_shift": 0.0527, "phi_swap": 0.0500}
"""Kinds of outliers and their fractions of the distorted events."""

TAU_SCALE = 1.05
TAU_ETA = 2.8
LEPTON_PT_FACTOR = 10.0
MET_SHIFT = 50.0  # GeV
HOLES = ((0.53, -0.16, 0.10, 0.12), (1.6, 0.2, 0.4, 0.7))
"""Regions of the detector that lose taus: eta, phi, radius, and the fraction that is still found."""

DEFAULT_EVENTS = 100_000
MINIMUM_EVENTS = 500
TRAIN_SHARE = 0.8
ORIGINAL_SHARE = 50_803 / 100_000  # as published


def _check_target(table: pa.Table, file: object) -> None:
    target = table.column(TARGET).to_numpy()
    wrong = np.flatnonzero((target != 0) & (target != 1))
    if len(wrong):
        raise DataError(file, f"{TARGET}, row {wrong[0] + 1}", "0 or 1", str(target[wrong[0]]))
    if len(np.unique(target)) < 2:
        raise DataError(file, TARGET, "both original (0) and distorted (1) events", f"only {target[0]}")


def prepare_data(source: Path, target: Path) -> None:
    """Read the published files in `source` and write the prepared folder `target`.

    Parameters
    ----------
    source : Path
        A folder with `train.csv` and `test.csv`, as they are, gzipped (as published) or zipped.

    Raises
    ------
    DataError
        If one of the files is not there, or does not hold what it should.
    """
    prepare_train_and_test(source, target, SCHEMA, _check_target)


def _distort(
    events: dict[str, npt.NDArray[np.float64]], rng: np.random.Generator
) -> tuple[dict[str, npt.NDArray[np.float64]], npt.NDArray[np.str_]]:
    """Distort rounded primitive columns; return all columns of the remaining events, and the kind of each."""
    kept = np.ones(len(events["PRI_tau_pt"]), dtype=bool)
    for eta, phi, radius, efficiency in HOLES:
        inside = delta_r(events["PRI_tau_eta"], events["PRI_tau_phi"], eta, phi) < radius
        kept &= ~inside | (rng.random(len(kept)) < efficiency)
    columns = {name: events[name][kept].copy() for name in PRIMITIVE_COLUMNS}
    n = int(kept.sum())

    edges = np.cumsum([*OUTLIERS.values()])
    kinds = np.array([*OUTLIERS, COLLECTIVE])[np.searchsorted(edges, rng.random(n), side="right")]
    columns["PRI_tau_pt"] = np.round(TAU_SCALE * columns["PRI_tau_pt"], 3)
    columns["PRI_tau_eta"][kinds == "tau_eta"] = TAU_ETA
    columns["PRI_lep_pt"][kinds == "lepton_pt"] *= LEPTON_PT_FACTOR
    columns["PRI_met"][kinds == "met_shift"] += MET_SHIFT
    for name in ("PRI_lep_pt", "PRI_met"):
        columns[name] = np.round(columns[name], 3)
    columns.update({name: np.round(values, 3) + 0.0 for name, values in derived(columns).items()})
    swapped = kinds == "phi_swap"
    tau_phi, lep_phi = columns["PRI_tau_phi"], columns["PRI_lep_phi"]
    tau_phi[swapped], lep_phi[swapped] = lep_phi[swapped], tau_phi[swapped]
    return columns, kinds


def generate(n_events: int = DEFAULT_EVENTS, seed: int = 0) -> pd.DataFrame:
    """Simulate toy events in the format of the published files, with the truth about each.

    Parameters
    ----------
    n_events : int
        Rows, at least `MINIMUM_EVENTS`; 50.8 % are original, as published.
    seed : int
        The same seed and number of events give the same table.

    Returns
    -------
    DataFrame
        `FEATURES`, `isSkewed` (0 original, 1 distorted) and `distortion`: `ORIGINAL`, one of
        `OUTLIERS` or `COLLECTIVE`. The rows are in random order.

    Raises
    ------
    ValueError
        When `n_events` is smaller than `MINIMUM_EVENTS`.
    """
    import pandas as pd

    if n_events < MINIMUM_EVENTS:
        raise ValueError(f"n_events must be at least {MINIMUM_EVENTS}, found {n_events}")
    n_original = round(ORIGINAL_SHARE * n_events)
    # The holes take less than a fiftieth of the events.
    source = toy.generate(n_events + n_events // 50 + 20, seed)
    events = {name: source[name].to_numpy(dtype=np.float64) for name in (*FEATURES, *PRIMITIVE_COLUMNS)}
    rng = np.random.Generator(np.random.PCG64([seed, n_events]))
    left, kinds = _distort({name: events[name][n_original:] for name in PRIMITIVE_COLUMNS}, rng)
    n_distorted = n_events - n_original
    order = rng.permutation(n_events)
    table = {
        name: np.concatenate([events[name][:n_original], left[name][:n_distorted]])[order]
        for name in FEATURES
    }
    distortion = np.concatenate([np.full(n_original, ORIGINAL), kinds[:n_distorted]])[order]
    is_skewed = (distortion != ORIGINAL).astype(np.int64)
    return pd.DataFrame({**table, TARGET: is_skewed, DISTORTION: distortion.astype(object)})


def make_toy_data(target: Path, seed: int = 0, n_events: int | None = None) -> None:
    """Write a prepared folder of toy events, four fifths of them for training.

    Parameters
    ----------
    target : Path
    seed : int
        Equal seeds and numbers give equal events.
    n_events : int, optional
        All events together; `DEFAULT_EVENTS` if None.
    """
    frame = generate(DEFAULT_EVENTS if n_events is None else n_events, seed)
    table = pa.table(
        {name: pa.array(frame[name].to_numpy(), kind) for name, kind in SCHEMA.columns.items()}
        | {DISTORTION: pa.array(frame[DISTORTION].tolist(), pa.string())}
    )
    n_train = round(TRAIN_SHARE * len(frame))
    info = {"seed": seed, "events": len(frame), "outliers": dict(OUTLIERS)}
    write_prepared(target, {"train": table.slice(0, n_train), "test": table.slice(n_train)}, info)

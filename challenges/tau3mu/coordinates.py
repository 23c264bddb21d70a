"""The independent quantities behind the 46 published columns: what shapes are learned of and toys drawn in.

Many columns follow from others. An impact parameter is its significance times an error, a lifetime follows
from a flight distance and a momentum, one isolation count is the sum of three. Drawing the columns as such
would break these relations; drawing the quantities below and computing the columns from them keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepchallenge.challenges.tau3mu.kinematics import mass_from_lifetime

__all__ = ["COORDINATES", "DRIVERS", "FEATURES", "TRACKS", "columns_from", "coordinates_of"]

Floats = NDArray[np.float64]
Columns = dict[str, Floats]

TRACKS = (0, 1, 2)
_SUMMED_COUNTS = ("isolationd", "isolatione", "isolationf")


def _each_track(*suffixes: str) -> tuple[str, ...]:
    return tuple(f"p{track}_{suffix}" for suffix in suffixes for track in TRACKS)


FEATURES = (
    *("LifeTime", "dira", "FlightDistance", "FlightDistanceError", "IP", "IPSig", "VertexChi2", "pt"),
    *("DOCAone", "DOCAtwo", "DOCAthree", "IP_p0p2", "IP_p1p2"),
    *("isolationa", "isolationb", "isolationc", *_SUMMED_COUNTS, "iso"),
    *("CDF1", "CDF2", "CDF3", "ISO_SumBDT"),
    *_each_track("IsoBDT", "track_Chi2Dof", "IP", "IPSig", "pt", "p", "eta"),
    "SPDhits",
)
"""The 46 columns of the test sample in the published order."""

DRIVERS = ("pt", "eta", *_each_track("pt"), "LifeTime")
"""Quantities that the simulation of momenta and decay times gives; the others are drawn given these."""

COORDINATES: dict[str, str] = {
    **dict.fromkeys(("pt", "eta", *_each_track("pt"), "LifeTime"), "log"),
    "eta": "linear",
    "MassShift": "linear",
    "FlightDistanceError": "log",
    "IPError": "log",
    "IPSig": "linear",
    "Pointing": "log",
    "VertexChi2": "linear",
    **dict.fromkeys(("DOCAone", "DOCAtwo", "DOCAthree", "IP_p0p2", "IP_p1p2"), "log"),
    **dict.fromkeys(("isolationa", "isolationb", "isolationc", *_SUMMED_COUNTS), "count"),
    **dict.fromkeys(("CDF1", "CDF2/CDF1", "CDF3/CDF2"), "linear"),
    **dict.fromkeys(_each_track("IsoBDT"), "linear"),
    **dict.fromkeys(_each_track("track_Chi2Dof", "IPSig", "IPError"), "log"),
    "SPDhits": "count",
}
"""Names of the quantities, in order, and between what the quantiles of each are interpolated.

`MassShift` is the relative error of the mass from the lifetime, `Pointing` the impact parameter over flight
distance times the angle of `dira`; `IPError` and `p*_IPError` are impact parameters over significances.
"""


def coordinates_of(columns: Mapping[str, ArrayLike]) -> Columns:
    """Return the quantities of `COORDINATES` from published columns (the 46 features and `mass`)."""
    given = {name: np.asarray(columns[name], np.float64) for name in (*FEATURES, "mass")}
    along = sum(given[f"p{track}_pt"] * np.sinh(given[f"p{track}_eta"]) for track in TRACKS)
    # The cosine is published in single precision: a smaller angle than this cannot be told from 0.
    angle = np.arccos(np.minimum(given["dira"], 1.0 - 2.0**-25))
    derived = {
        "eta": np.arcsinh(along / given["pt"]),
        "MassShift": mass_from_lifetime(given) / given["mass"] - 1.0,
        "IPError": given["IP"] / given["IPSig"],
        "Pointing": given["IP"] / (given["FlightDistance"] * angle),
        "CDF2/CDF1": given["CDF2"] / given["CDF1"],
        "CDF3/CDF2": given["CDF3"] / given["CDF2"],
        **{f"p{t}_IPError": given[f"p{t}_IP"] / given[f"p{t}_IPSig"] for t in TRACKS},
    }
    return {name: derived[name] if name in derived else given[name] for name in COORDINATES}


def columns_from(coordinates: Mapping[str, Floats], tracks: Mapping[str, Floats], mass: Floats) -> Columns:
    """Return the 46 published columns from the quantities of `COORDINATES`: the inverse of `coordinates_of`.

    Parameters
    ----------
    coordinates : mapping
        All of `COORDINATES`.
    tracks : mapping
        `p*_p` and `p*_eta`, which are no coordinates.
    mass : array of shape (n,)
        Mass of the candidate in MeV.
    """
    out: Columns = {**coordinates, **tracks}
    out["IP"] = out["IPSig"] * out["IPError"]
    for track in TRACKS:
        out[f"p{track}_IP"] = out[f"p{track}_IPSig"] * out[f"p{track}_IPError"]
    # mass_from_lifetime is proportional to 1 / FlightDistance, so its value at a distance of 1 is the answer.
    at_one = mass_from_lifetime({**out, "FlightDistance": np.ones_like(mass)})
    out["FlightDistance"] = at_one / ((1.0 + out["MassShift"]) * mass)
    out["dira"] = np.cos(out["IP"] / (out["FlightDistance"] * out["Pointing"]))
    out["iso"] = np.sum([out[name] for name in _SUMMED_COUNTS], axis=0)
    out["CDF2"] = out["CDF1"] * out["CDF2/CDF1"]
    out["CDF3"] = out["CDF2"] * out["CDF3/CDF2"]
    out["ISO_SumBDT"] = np.sum([out[f"p{track}_IsoBDT"] for track in TRACKS], axis=0)
    return {name: out[name] for name in FEATURES}

"""Which distortions a submission finds: its scores on toy events, kind by kind.

Only toy data know what was done to an event; the published files tell no more than that something was.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepchallenge.challenges.anomaly.data import (
    COLLECTIVE,
    DISTORTION,
    NAME,
    ORIGINAL,
    OUTLIERS,
    make_toy_data,
    prepare_data,
)
from hepchallenge.data import open_prepared, read_manifest, read_table
from hepchallenge.exceptions import DataError

__all__ = ["KindScore", "breakdown", "read_distortions"]


@dataclass(frozen=True)
class KindScore:
    """How well one kind of distortion is told from the original events.

    Attributes
    ----------
    events : int
        Events of the kind.
    auc : float
        Area under the ROC curve against all original events, 0 to 1, larger is better, 0.5 is chance;
        ties count half.
    found : float
        Fraction of the kind that is flagged when the given fraction of original events is, 0 to 1,
        larger is better.
    """

    events: int
    auc: float
    found: float


def read_distortions(path: str | os.PathLike[str] = ".", part: str = "test") -> npt.NDArray[np.str_]:
    """Return the kind of distortion of every toy event, in the order of the rows.

    Parameters
    ----------
    path : path
        What `get_test_data` of the challenge takes.
    part : {"test", "train"}

    Raises
    ------
    DataError
        If the data are real, so that the kinds are not known.
    """
    prepared = open_prepared(path, challenge=NAME, prepare=prepare_data, make_toy=make_toy_data)
    kind = read_manifest(prepared).kind
    if kind != "toy":
        raise DataError(
            prepared, DISTORTION, "toy data, which know what was done to an event", f"{kind} data"
        )
    return np.array(read_table(prepared, part, [DISTORTION]).column(DISTORTION).to_pylist())


def breakdown(
    score: npt.ArrayLike, distortion: Sequence[str] | npt.NDArray[np.str_], *, false_alarms: float = 0.05
) -> dict[str, KindScore]:
    """Score each kind of distortion against the original events.

    Parameters
    ----------
    score : array_like of float, shape (n,)
        Larger means more probably distorted, such as the second column of the predicted probabilities.
    distortion : array_like of str, shape (n,)
        As `read_distortions` gives it.
    false_alarms : float
        Fraction of the original events that may be flagged, in (0, 1). Where equal scores do not allow for
        it, fewer are.

    Returns
    -------
    dict of str to KindScore
        First ``"all"`` distorted events, then every kind there is: outliers, then those that only share the
        shifted tau energy scale.

    Raises
    ------
    ValueError
        If the shapes differ, a score is not finite, a kind is unknown, `false_alarms` is out of range, or
        there are no original or no distorted events.

    Examples
    --------
    >>> kinds = ["original", "original", "met_shift", "phi_swap"]
    >>> result = breakdown([0.1, 0.3, 0.9, 0.2], kinds)
    >>> result["met_shift"].auc, result["phi_swap"].auc
    (1.0, 0.5)
    """
    from sklearn.metrics import roc_auc_score

    values, kinds = np.asarray(score, dtype=np.float64), np.asarray(distortion)
    if values.ndim != 1 or values.shape != kinds.shape:
        raise ValueError(
            f"score and distortion must be of one shape (n,), found {values.shape} and {kinds.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"scores must be finite, found {values[~np.isfinite(values)][0]}")
    if not 0.0 < false_alarms < 1.0:
        raise ValueError(f"false_alarms must be between 0 and 1, found {false_alarms}")
    order = (*OUTLIERS, COLLECTIVE)
    unknown = sorted(set(kinds.tolist()) - {ORIGINAL, *order})
    if unknown:
        raise ValueError(f"kinds must be among {ORIGINAL}, {', '.join(order)}; found {unknown[0]}")
    original = kinds == ORIGINAL
    if original.all() or not original.any():
        raise ValueError("both original and distorted events are needed")
    allowed = int(false_alarms * original.sum())
    threshold = np.sort(values[original])[::-1][allowed]
    result = {}
    for name in ("all", *order):
        chosen = ~original if name == "all" else kinds == name
        if not chosen.any():
            continue
        both = np.concatenate([values[original], values[chosen]])
        truth = np.repeat([0, 1], [original.sum(), chosen.sum()])
        result[name] = KindScore(
            int(chosen.sum()), float(roc_auc_score(truth, both)), float(np.mean(values[chosen] > threshold))
        )
    return result

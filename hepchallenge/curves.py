"""ROC curves of the best submissions, made from stored predictions on validation rows.

Only validation rows are used: participants have their labels, so that a curve can tell them nothing new.
The hidden test set is never read for a curve, not even its public part.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepchallenge.board.site import Curve, Curves
from hepchallenge.records import BoardEntry
from hepchallenge.text import clean

if TYPE_CHECKING:
    from hepchallenge.contract import Challenge
    from hepchallenge.store import Store

__all__ = ["MOST_POINTS", "best_curves", "roc"]

MOST_POINTS = 200
"""Points of one curve."""

_FOLD = 0
_TRAINING = 0
_DIGITS = 3


def roc(is_signal: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return background and signal efficiency of cuts on a score, from the tightest to the loosest.

    Parameters
    ----------
    is_signal : array of bool, shape (n,)
    score : array of float, shape (n,)
        Larger for signal. Rows of equal score pass a cut together.

    Returns
    -------
    background, signal : arrays
        From (0, 0) to (1, 1), neither ever falling; at most `MOST_POINTS` points, rounded to three decimals.

    Raises
    ------
    ValueError
        If a score is not finite, or there is no signal or no background.
    """
    truth, values = np.asarray(is_signal, dtype=bool), np.asarray(score, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise ValueError(f"expected two arrays of one length, found shapes {truth.shape} and {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("expected finite scores")
    if truth.all() or not truth.any():
        raise ValueError("expected signal and background")
    order = np.argsort(-values, kind="stable")
    passed = np.flatnonzero(np.diff(values[order], append=-np.inf))
    signal = np.concatenate([[0], np.cumsum(truth[order])[passed]]) / truth.sum()
    background = np.concatenate([[0], np.cumsum(~truth[order])[passed]]) / (~truth).sum()
    # Points are spread along the curve, which may be steep where most of them are needed.
    length = background + signal
    wanted = np.interp(np.linspace(0, 2, MOST_POINTS), length, np.arange(len(length)))
    at = np.unique(np.round(wanted).astype(np.int64))
    return np.round(background[at], _DIGITS), np.round(signal[at], _DIGITS)


def _signal_and_score(truth: Any, predictions: Any) -> tuple[NDArray[np.bool_], NDArray[np.float64]] | None:
    """Return who is signal and the score for it, if this is about two classes; None if it is not.

    Truth is 0 or 1, in the first column if it has several. A prediction has one column or begins with the
    score, except that RAMP's classifiers give a probability for each class.
    """
    if not (hasattr(truth, "shape") and hasattr(predictions, "shape")):
        return None
    known, values = np.asarray(truth), np.asarray(predictions)
    if known.dtype.kind not in "biuf" or values.dtype.kind != "f" or len(known) != len(values):
        return None
    of_class = known.ndim == 1 and values.ndim == 2 and values.shape[1] == 2
    known = known if known.ndim == 1 else known.reshape(len(known), -1)[:, 0]
    if set(np.unique(known)) != {0, 1}:
        return None
    if values.ndim > 1:
        values = values.reshape(len(values), -1)[:, 1 if of_class else 0]
    return (known == 1, values.astype(np.float64)) if np.isfinite(values).all() else None


def best_curves(
    store: Store,
    challenge: Challenge,
    entries: Sequence[BoardEntry],
    *,
    data: str | os.PathLike[str] | None = None,
    most: int = 5,
) -> tuple[Curves, ...]:
    """Return the ROC curves of the first `most` of ranked entries that predicted validation rows.

    Parameters
    ----------
    store, challenge
        Where predictions are, and whose data are staged: this reads labels.
    entries
        Best first, all on one data set.
    data
        As for `score`; the data set of the entries.

    Returns
    -------
    tuple of Curves
        One figure, or none: where a challenge has events, more or fewer than two classes, or no such
        predictions, or if the data found are not those of the entries. Of several folds and trainings the
        first is taken. Events count as one each, whatever their weights.

    Raises
    ------
    HepChallengeError
        If data cannot be staged or stored predictions are damaged.
    """
    from hepchallenge.pipeline import data_for
    from hepchallenge.stage.stage import stage

    found = []
    for entry in entries:
        first = next((o for o in entry.folds if (o.fold, o.training) == (_FOLD, _TRAINING)), None)
        if first is not None and "train" in first.predictions and not entry.run_key.quick:
            found.append((entry, first.predictions["train"]))
        if len(found) == most:
            break
    if not found:
        return ()
    path, info = data_for(challenge, data)
    staged = stage(challenge, path, info, store.workspace / "inputs")
    if staged.events is not None or any(staged.data != entry.data for entry, _ in found):
        return ()
    rows = staged.truth.folds[_FOLD][1]
    lines = []
    for entry, stored in found:
        truth = staged.truth.y_train
        if not hasattr(truth, "shape"):
            return ()
        pair = _signal_and_score(np.asarray(truth)[rows], store.load_array(stored)[rows])
        if pair is None:
            continue
        background, signal = roc(*pair)
        label = clean(entry.submission.name, 32)
        lines.append(Curve(label=label, x=tuple(background.tolist()), y=tuple(signal.tolist())))
    if not lines:
        return ()
    return (
        Curves(
            title="ROC on validation rows",
            description=(
                "Signal efficiency against background efficiency of cuts on the prediction, for the best "
                "submissions; validation rows of the first fold, events not weighted."
            ),
            x_label="background efficiency",
            y_label="signal efficiency",
            lines=tuple(lines),
        ),
    )

"""Curves of the best submissions, made from stored predictions on validation rows: a challenge's own, or ROC.

Only validation rows are used: participants have their labels, so that a curve can tell them nothing new.
The hidden test set is never read for a curve, not even its public part.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepchallenge.board.site import Curve, Curves
from hepchallenge.exceptions import ContractError, HepChallengeError
from hepchallenge.records import BoardEntry, FoldOutcome
from hepchallenge.scoring.roc import roc_curve
from hepchallenge.text import clean

if TYPE_CHECKING:
    from hepchallenge.contract import Challenge
    from hepchallenge.draw import Material
    from hepchallenge.stage.stage import Staged
    from hepchallenge.store import Store

__all__ = ["MOST_EVENTS", "MOST_POINTS", "best_curves", "roc"]

MOST_POINTS = 200
"""Points of one curve."""
MOST_EVENTS = 20
"""Most events that are read for one submission's curves."""

_FOLD = 0
_DIGITS = 3
# Keys of what a challenge's `get_curves` gives for each curve.
_WORDS = ("title", "x_label", "y_label", "description")
_NUMBERS = ("x", "y", "low", "high")
_FLAGS = ("log_x", "log_y")


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
    background, signal, _ = roc_curve(values, truth)
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
    """Return curves of the first `most` of ranked entries that predicted validation rows, to be overlaid.

    They are what the challenge's `get_curves` makes of truth and predictions, and otherwise, for two classes,
    ROC curves.

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
        Empty where there is neither `get_curves` nor two classes, or where there are no such predictions, or
        if the data found are not those of the entries. Of several folds and trainings the first is taken, of
        a challenge's events the first `MOST_EVENTS`. In ROC curves rows count as one each, whatever their
        weights.

    Raises
    ------
    HepChallengeError
        If data cannot be staged, stored predictions are damaged, or `get_curves` fails or gives something
        else than curves (a ContractError that names it).
    """
    from hepchallenge.draw import first_outcome
    from hepchallenge.pipeline import data_for
    from hepchallenge.stage.stage import stage

    found = []
    for entry in entries:
        first = first_outcome(entry)
        if first is not None and _predicts_validation(first) and not entry.run_key.quick:
            found.append((entry, first))
        if len(found) == most:
            break
    if not found:
        return ()
    path, info = data_for(challenge, data)
    staged = stage(challenge, path, info, store.workspace / "inputs")
    if any(staged.data != entry.data for entry, _ in found):
        return ()
    if challenge.problem.get_curves is not None:
        return _own_curves(store, challenge, staged, [entry for entry, _ in found])
    return _roc_curves(store, staged, found)


def _predicts_validation(outcome: FoldOutcome) -> bool:
    return "train" in outcome.predictions or any(key.startswith("valid/") for key in outcome.predictions)


def _roc_curves(
    store: Store, staged: Staged, found: Sequence[tuple[BoardEntry, FoldOutcome]]
) -> tuple[Curves, ...]:
    truth = staged.truth.y_train
    if staged.events is not None or not hasattr(truth, "shape"):
        return ()
    rows = staged.truth.folds[_FOLD][1]
    lines = []
    for entry, outcome in found:
        pair = _signal_and_score(
            np.asarray(truth)[rows], store.load_array(outcome.predictions["train"])[rows]
        )
        if pair is None:
            continue
        background, signal = roc(*pair)
        label = _label(entry)
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


def _label(entry: BoardEntry) -> str:
    return clean(entry.submission.name, 32)


def _own_curves(
    store: Store, challenge: Challenge, staged: Staged, entries: Sequence[BoardEntry]
) -> tuple[Curves, ...]:
    """Return what `get_curves` makes of each entry; lines of one title and axes are one figure."""
    from hepchallenge.draw import NothingToDraw, material_of

    figures: dict[tuple[str, str, str], Curves] = {}
    for entry in entries:
        try:
            material = material_of(store, staged, entry, "valid")
        except NothingToDraw:
            continue
        for given in _called(challenge, material, events=staged.events is not None):
            one = _read(challenge, given, _label(entry))
            if not one.lines[0].x:
                continue
            key = (one.title, one.x_label, one.y_label)
            before = figures.get(key)
            words = f"{one.description} {_sample(staged)}".strip()
            lines = (*(before.lines if before else ()), *one.lines)
            figures[key] = replace(before or one, description=words, lines=lines)
    return tuple(figures.values())


def _sample(staged: Staged) -> str:
    count = len(staged.truth.folds[_FOLD][1])
    if staged.events is None:
        return "The best submissions, on validation rows of the first fold."
    read = f"{MOST_EVENTS} of {count}" if count > MOST_EVENTS else f"{count}"
    return f"The best submissions, on {read} validation event{'s' if count > 1 else ''} of the first fold."


def _called(challenge: Challenge, material: Material, *, events: bool) -> list[Any]:
    problem = challenge.problem
    assert problem.get_curves is not None
    given = (material.truth, material.predictions, material.inputs)
    if events:
        given = (given[0][:MOST_EVENTS], given[1][:MOST_EVENTS], given[2][:MOST_EVENTS])
    try:
        made = problem.get_curves(*given)
    except HepChallengeError:
        raise
    except Exception as error:
        raise ContractError(
            problem.file, "get_curves", "curves", f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, list | tuple):
        raise ContractError(problem.file, "get_curves", "a list of curves", type(made).__name__)
    return list(made)


def _read(challenge: Challenge, given: Any, label: str) -> Curves:
    """Return one of a challenge's curves as a figure of one line, if it is all that it should be."""
    file = challenge.problem.file
    if not isinstance(given, Mapping):
        raise ContractError(file, "get_curves", "a mapping for each curve", type(given).__name__)
    unknown = sorted(str(key) for key in given if key not in (*_WORDS, *_NUMBERS, *_FLAGS))
    if unknown:
        known = ", ".join((*_WORDS, *_NUMBERS, *_FLAGS))
        raise ContractError(file, "get_curves", f"no other keys than {known}", ", ".join(unknown))
    words = {key: given.get(key, "") for key in _WORDS}
    for key, text in words.items():
        if not isinstance(text, str) or not (text.strip() or key == "description"):
            raise ContractError(file, f"get_curves: {key}", "a string that is not empty", repr(text)[:100])
    flags = {key: given.get(key, False) for key in _FLAGS}
    for key, flag in flags.items():
        if not isinstance(flag, bool):
            raise ContractError(file, f"get_curves: {key}", "true or false", repr(flag)[:100])
    if ("low" in given) != ("high" in given):
        raise ContractError(file, "get_curves", "both low and high, or neither", "one of them")
    numbers = {
        key: _numbers(challenge, key, given.get(key)) for key in _NUMBERS[: 4 if "low" in given else 2]
    }
    sizes = {len(values) for values in numbers.values()}
    if len(sizes) > 1 or max(sizes) > MOST_POINTS:
        expected = f"numbers of one length, at most {MOST_POINTS}"
        found = ", ".join(f"{len(values)} of {key}" for key, values in numbers.items())
        raise ContractError(file, "get_curves", expected, found)
    for axis in ("x", "y"):
        if flags[f"log_{axis}"] and min(numbers[axis], default=1.0) <= 0:
            expected = f"numbers above zero with log_{axis}"
            raise ContractError(file, f"get_curves: {axis}", expected, f"{min(numbers[axis])}")
    if "low" in numbers and not all(
        low <= y <= high for low, y, high in zip(numbers["low"], numbers["y"], numbers["high"], strict=True)
    ):
        raise ContractError(file, "get_curves", "low <= y <= high at every point", "another order")
    return Curves(**words, **flags, lines=(Curve(label=label, **numbers),))


def _numbers(challenge: Challenge, key: str, values: Any) -> tuple[float, ...]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.full(1, np.nan)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ContractError(
            challenge.problem.file, f"get_curves: {key}", "a row of finite numbers", repr(values)[:100]
        )
    return tuple(array.tolist())

"""Whether metrics do what a board needs: tell good from bad, and nothing else.

Every check asks a `Trial`, which makes predictions out of the truth: right ones, random ones, wrong ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from hepchallenge.findings import Answer, Status, fine

__all__ = ["METRIC_CHECKS", "Trial", "worst_answer"]

Metric = Any
"""A RAMP score type."""

_CLOSE = 1e-9


class Trial(Protocol):
    """A small sample on which the metrics of a challenge are tried.

    Attributes
    ----------
    metrics : sequence of score types
        All metrics of the challenge.
    official : str
        Name of the one that ranks.
    """

    metrics: Sequence[Metric]
    official: str

    @property
    def good(self) -> Sequence[Any]:
        """Predictions made from the truth: itself, and with noise."""

    @property
    def constants(self) -> Mapping[str, Any]:
        """Predictions that know nothing, by what they are."""

    @property
    def bad(self) -> Mapping[str, Any]:
        """What must be refused, by what it is."""

    def random(self, prediction: Any) -> Any:
        """Return a prediction with its rows shuffled."""

    def inverted(self, prediction: Any) -> Any:
        """Return a prediction that is wrong wherever this one is right, or None."""

    def relabelled(self, prediction: Any) -> Any:
        """Return a prediction with other numbers for the same groups, or None where numbers are values."""

    def value(self, metric: Metric, prediction: Any, shuffled: bool = False) -> float:
        """Return the score, or that of truth and prediction with their rows in another order."""

    def changes(self, metric: Metric) -> list[str]:
        """Return what the metric changes of what it is given: `truth`, `prediction`."""

    def refused_by(self, prediction: Any) -> str:
        """Return `scorer` or `door` for who refuses a prediction; empty if nobody does."""

    def depends(self, metric: Metric) -> bool:
        """Whether the metric looks at predictions at all."""


def worst_answer(answers: Mapping[str, Answer], good: str) -> Answer:
    """Return one answer for many metrics: what is wrong with any of them, else that all is well."""
    severity = list(Status)
    guilty = {name: answer for name, answer in answers.items() if answer[0] is not Status.OK}
    if not guilty:
        return fine(f"{', '.join(answers)}: {good}")
    status = max((answer[0] for answer in guilty.values()), key=severity.index)
    facts = "; ".join(f"{name}: {answer[1]}" for name, answer in guilty.items())
    return status, facts, next(answer[2] for answer in guilty.values() if answer[0] is status)


def _tried(trial: Trial, metric: Metric, prediction: Any, shuffled: bool = False) -> float:
    """Return a score, NaN if there is none: that makes a submission invalid, and never wins."""
    try:
        return float(trial.value(metric, prediction, shuffled))
    except Exception:
        return math.nan


def _better(first: float, second: float, metric: Metric) -> bool:
    return first < second if metric.is_lower_the_better else first > second


def _best_known(trial: Trial, metric: Metric) -> tuple[Any, float]:
    """Return the best prediction that has a finite score, and its score.

    It need not be the truth itself: some metrics diverge on it, or take few different values badly.
    """
    best, known = None, math.nan
    for prediction in trial.good:
        value = _tried(trial, metric, prediction)
        if math.isfinite(value) and (best is None or _better(value, known, metric)):
            best, known = prediction, value
    return best, known


def _direction(trial: Trial, metric: Metric) -> Answer:
    """Right beats random beats wrong, in the direction that the metric claims."""
    if not trial.depends(metric):
        return fine("does not look at predictions")
    good, best = _best_known(trial, metric)
    lower = bool(metric.is_lower_the_better)
    if good is None:
        return Status.WARN, "has no finite score even for the truth", "find out why"
    chance = _tried(trial, metric, trial.random(good))
    if not math.isfinite(chance):
        return Status.WARN, "has no finite score for shuffled predictions", "find out why"
    told = f"right predictions have {best:.6g}, shuffled ones {chance:.6g}"
    claims = f"is_lower_the_better = {lower}"
    if _better(chance, best, metric):
        return (
            Status.FAIL,
            f"{told}, although {claims}",
            "turn is_lower_the_better, or the sign of the metric",
        )
    if best == chance:
        return Status.WARN, f"{told}: it cannot tell them apart", "find out why"
    wrong = trial.inverted(good)
    opposite = _tried(trial, metric, wrong) if wrong is not None else math.nan
    if math.isfinite(opposite) and _better(opposite, chance, metric):
        mend = "make sure that this is meant"
        return Status.WARN, f"inverted predictions have {opposite:.6g}, better than shuffled ones", mend
    return fine(told)


def _range(trial: Trial, metric: Metric) -> Answer:
    """No prediction leaves minimum and maximum, and one that knows nothing is not as good as the truth."""
    status = Status.FAIL if metric.name == trial.official else Status.WARN
    bounds = [getattr(metric, name, None) for name in ("minimum", "maximum")]
    low, high = (
        float(bound) if bound is not None else default
        for bound, default in zip(bounds, (-math.inf, math.inf), strict=True)
    )
    good, best = _best_known(trial, metric)
    predictions = dict(trial.constants)
    if good is not None:
        predictions |= {"the truth": good, "shuffled": trial.random(good)}
        if (wrong := trial.inverted(good)) is not None:
            predictions["inverted"] = wrong
    for name, prediction in predictions.items():
        value = _tried(trial, metric, prediction)
        if math.isnan(value):
            continue
        margin = _CLOSE * max(1.0, abs(value))
        if math.isfinite(value) and not low - margin <= value <= high + margin:
            fact = f"{name} has {value:.6g}, outside of minimum {low:g} and maximum {high:g}"
            return status, fact, "mend minimum and maximum: ramp-workflow takes the worst score from them"
        if name in trial.constants and trial.depends(metric) and not _better(best, value, metric):
            fact = f"{name} has {value:.6g}, as good as right predictions ({best:.6g})"
            return status, fact, "a prediction that knows nothing must not win: refuse it, or rank by another"
    return fine(f"within {low:g} and {high:g}")


def _row_order(trial: Trial, metric: Metric) -> Answer:
    """The order of the rows does not matter."""
    for prediction in [*trial.good, *(trial.random(one) for one in trial.good[-1:])]:
        first, second = (_tried(trial, metric, prediction, shuffled) for shuffled in (False, True))
        if not math.isfinite(first) or first == second:
            continue
        if not abs(first - second) <= _CLOSE * max(1.0, abs(first)):
            fact = f"{first:.10g} becomes {second:.10g} with the rows in another order"
            return (
                Status.FAIL,
                fact,
                "let nothing depend on the order, not even which of equal scores comes first",
            )
    return fine("the same")


def _repeats(trial: Trial, metric: Metric) -> Answer:
    """The same question has the same answer."""
    for prediction in trial.good:
        first, second = (_tried(trial, metric, prediction) for _ in range(2))
        if first != second and not (math.isnan(first) and math.isnan(second)):
            return (
                Status.FAIL,
                f"{first:.10g}, then {second:.10g} for the same predictions",
                "seed what it draws",
            )
    return fine("the same")


def _mutation(trial: Trial, metric: Metric) -> Answer:
    """What a metric is given is not changed by it, else the next metric scores something else."""
    if changed := trial.changes(metric):
        return Status.FAIL, f"it changes the {' and the '.join(changed)} that it is given", "work on a copy"
    return fine("unchanged")


def _relabelling(trial: Trial, metric: Metric) -> Answer:
    """Numbers of groups are names: either they do not matter at all, or they are values."""
    good, best = _best_known(trial, metric)
    other = None if good is None else trial.relabelled(good)
    if other is None or not trial.depends(metric):
        return fine("labels are values, not names of groups")
    value = _tried(trial, metric, other)
    if math.isfinite(value) and abs(value - best) <= _CLOSE * max(1.0, abs(best)):
        return fine("numbers of groups do not matter")
    chance = _tried(trial, metric, trial.random(good))
    # Half way to chance: then numbers are compared, as values are.
    if not math.isfinite(value) or not _better(value, (best + chance) / 2, metric):
        return fine("labels are compared as values")
    fact = f"{best:.6g} becomes {value:.6g} with other numbers for the same groups"
    return Status.FAIL, fact, "treat no number of a group differently, unless the challenge says so"


_EACH: dict[str, tuple[Callable[[Trial, Metric], Answer], str]] = {
    "direction": (_direction, "right predictions beat shuffled ones, and these beat inverted ones"),
    "range": (_range, "within minimum and maximum; knowing nothing does not win"),
    "row order": (_row_order, "the order of the rows does not matter"),
    "repeats": (_repeats, "the same predictions have the same score"),
    "inputs": (_mutation, "truth and predictions stay as they are"),
}


def _refusals(trial: Trial) -> Answer:
    """NaN, infinity and wrong shapes are refused.

    The door through which predictions of a run come takes no NaN and no wrong number of rows, so that nothing
    here is worse than a warning.
    """
    by = {name: trial.refused_by(prediction) for name, prediction in trial.bad.items()}
    told = {
        "scored as if it were right": [name for name, who in by.items() if not who],
        "refused only where predictions come in, which ramp-test does not check": [
            name for name, who in by.items() if who == "door"
        ],
    }
    if any(told.values()):
        fact = "; ".join(f"{words}: {', '.join(names)}" for words, names in told.items() if names)
        return Status.WARN, fact, "let Predictions of problem.py refuse it, or the metric be NaN"
    return fine(f"refused: {', '.join(by)}")


def _of_all(name: str) -> Callable[[Trial], Answer]:
    look, good = _EACH[name]
    return lambda trial: worst_answer({str(m.name): look(trial, m) for m in trial.metrics}, good)


def _names_of_groups(trial: Trial) -> Answer:
    answers = {str(metric.name): _relabelling(trial, metric) for metric in trial.metrics}
    good = "; ".join(dict.fromkeys(answer[1] for answer in answers.values()))
    return worst_answer(answers, good)


METRIC_CHECKS: dict[str, Callable[[Trial], Answer]] = {
    **{f"metrics {name}": _of_all(name) for name in _EACH},
    "metrics relabelling": _names_of_groups,
    "metrics refusals": _refusals,
}
"""Checks of metrics, by name."""

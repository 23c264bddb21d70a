"""The Ladder of Blum and Hardt: a public board from which little can be learned about its test sample.

A. Blum and M. Hardt, The Ladder: A Reliable Leaderboard for Machine Learning Competitions, ICML 2015,
arXiv:1502.04585. A team is not told the score of each submission, but its best score so far, rounded; and
that moves only when a submission is better by more than chance allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from hepchallenge.exceptions import UsageError
from hepchallenge.records import BoardEntry, Scores

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Replicas", "Rung", "answered", "error_of_difference", "fixed_ladder", "free_ladder"]

Replicas = Callable[[BoardEntry, str], "np.ndarray | None"]
"""Bootstrap replicas of the official metric of an entry on a part, by the same resamples for all entries."""


@dataclass(frozen=True, slots=True)
class Rung:
    """What the Ladder answers to one submission."""

    value: float
    """The team's best so far, rounded."""
    moved: bool
    """Whether this submission brought it there."""


def _rounded(value: float, step: Decimal) -> float:
    """Return the multiple of `step` that is nearest, as the decimal number it is."""
    return float(step * round(Decimal(value) / step))


def fixed_ladder(values: Sequence[float], step: float, lower_is_better: bool) -> list[Rung]:
    """Return what the Ladder with a fixed step (Algorithm 1 of the paper) answers, submission by submission.

    Parameters
    ----------
    values
        Finite scores of one team's submissions, in the order in which they were received.
    step
        A submission must be better than the present value by more than this, in units of the score; answers
        are rounded to its multiples.
    lower_is_better
        The direction.

    Examples
    --------
    >>> [rung.value for rung in fixed_ladder([0.52, 0.54, 0.49, 0.68], 0.1, False)]
    [0.5, 0.5, 0.5, 0.7]
    """
    sign = 1 if lower_is_better else -1
    exact = Decimal(repr(step))
    rungs: list[Rung] = []
    for value in values:
        moved = not rungs or sign * value < sign * rungs[-1].value - step
        rungs.append(Rung(_rounded(value, exact) if moved else rungs[-1].value, moved))
    return rungs


def free_ladder(
    values: Sequence[float],
    error: Callable[[int, int], float],
    precision: int,
    lower_is_better: bool,
) -> list[Rung]:
    """Return what the parameter-free Ladder (Algorithm 2 of the paper) answers, submission by submission.

    Parameters
    ----------
    values
        Finite scores of one team's submissions, in the order in which they were received.
    error
        Of two positions in `values`: the standard error of the difference of their scores.
    precision
        Answers are rounded to this many decimals, which may be negative.
    lower_is_better
        The direction.

    Notes
    -----
    In the paper a score is the mean of n losses, one an event, the standard error is s / sqrt(n) with s the
    standard deviation of the differences of losses between the submission and the one that moved the value
    last, and answers are rounded to multiples of 1 / n. Here a score may be any function of a sample, so the
    standard error is one that the caller knows, and answers are rounded to the decimals that a board shows.
    For a mean of losses both standard errors estimate the same. No bound of the paper is claimed for this
    version.
    """
    sign = 1 if lower_is_better else -1
    exact = Decimal(1).scaleb(-precision)
    rungs: list[Rung] = []
    best = 0
    for number, value in enumerate(values):
        moved = not rungs or (
            sign * value < sign * rungs[-1].value
            and sign * value < sign * rungs[-1].value - error(best, number)
        )
        if moved:
            best = number
        rungs.append(Rung(_rounded(value, exact) if moved else rungs[-1].value, moved))
    return rungs


def error_of_difference(
    first: BoardEntry, second: BoardEntry, metric: str, part: str, replicas: Replicas | None
) -> float:
    """Return the standard error of the difference of two submissions' scores on one test sample.

    From paired bootstrap replicas, if both have them: their difference's standard deviation. Else from the
    errors that the metric knows of each, added in quadrature, which is too large for scores that go up and
    down together: the Ladder then moves later, never earlier.

    Raises
    ------
    UsageError
        If neither is known.
    """
    if replicas is not None:
        import numpy as np

        one, other = replicas(first, part), replicas(second, part)
        if one is not None and other is not None:
            # Replica r is of the same events whatever the number of replicas; some cannot be computed.
            common = min(len(one), len(other))
            differences = one[:common] - other[:common]
            differences = differences[np.isfinite(differences)]
            if 2 * len(differences) >= common > 2:
                return float(np.std(differences, ddof=1))
    known = [entry.scoring.errors.get(metric, {}).get(part, math.nan) for entry in (first, second)]
    if not all(map(math.isfinite, known)):
        raise UsageError(
            f"the Ladder without a step needs errors of {metric} on {part}, and a submission has none: "
            "run `hepchallenge rescore`, or set ladder_step"
        )
    return math.hypot(*known)


def answered(entry: BoardEntry, metric: str, part: str, value: float | None) -> BoardEntry:
    """Return an entry that knows of a part what the Ladder answered, if it did, and nothing else of it.

    Other metrics, errors, spreads and scores of single folds would tell what the Ladder is there to hide.
    """
    hidden = (part, f"bagged_{part}")

    def without(scores: Scores) -> Scores:
        return {
            name: {key: score for key, score in by_part.items() if key not in hidden}
            for name, by_part in scores.items()
        }

    scoring = entry.scoring
    scores = without(scoring.scores)
    if value is not None:
        scores.setdefault(metric, {})[part] = value
    told = replace(
        scoring,
        scores=scores,
        spread=without(scoring.spread),
        training_spread=without(scoring.training_spread),
        errors=without(scoring.errors),
        fold_scores=tuple(map(without, scoring.fold_scores)),
        replicas={key: stored for key, stored in scoring.replicas.items() if key not in hidden},
    )
    return replace(entry, scoring=told)

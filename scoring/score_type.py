"""What score types on arrays have in common: a name, decimals, a direction, and how RAMP calls them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from hepchallenge.scoring.bootstrap import Kernel

__all__ = ["ArrayScore"]


class ArrayScore(ABC):
    """A score of two arrays, higher is better; subclasses define how it is called.

    Parameters
    ----------
    name : str
        Under which the score is listed.
    precision : int
        Decimals to show; ranks use unrounded values.
    """

    is_lower_the_better: ClassVar[bool] = False
    minimum: ClassVar[float] = 0.0
    maximum: ClassVar[float] = math.inf

    def __init__(self, name: str, precision: int) -> None:
        self.name = name
        self.precision = precision

    @property
    def worst(self) -> float:
        """The worst possible value."""
        return self.minimum

    def score_function(self, ground_truths: Any, predictions: Any) -> float:
        """Return the score of a Predictions object against the one that holds the truth."""
        return self(ground_truths.y_pred, predictions.y_pred)

    @abstractmethod
    def __call__(self, y_true: Any, y_pred: Any) -> float:
        """Return the score of a prediction array against the truth."""

    def replica_kernel(self, ground_truths: Any, predictions: Any) -> Kernel | None:
        """Return what computes the score on replicas of the sample, see `hepchallenge.scoring.bootstrap`.

        It is called as `score_function` is. None, as here, has every replica scored as any sample is, which
        is slow.
        """
        return None

"""Score types of weighted signal selection, in ramp-workflow's manner.

Ground truth is an array of shape (n, 2) with the columns `is_signal` (0 or 1) and `weight` (expected
events, any common scale within a class); a prediction is an array of shape (n, 2) with the columns
`score` (larger is more signal-like) and `selected` (0 or 1).

Every score type first scales the weights of the events it is given, class by class, to the expected
events of the full data set. Training, validation, test, public and private parts are therefore
comparable, and the value on the public or private part equals the one computed with `KaggleWeight`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hepchallenge.scoring.ams import (
    ams,
    ams_of_sums,
    best_ams,
    renormalise,
    scaled_selected_sums,
    weighted_roc_auc,
)
from hepchallenge.scoring.bootstrap import Kernel, RocKernel, SumsKernel
from hepchallenge.scoring.roc import RocCurve, area
from hepchallenge.scoring.score_type import ArrayScore

__all__ = ["AMS", "HIGGSML_TOTALS", "ROCAUC", "BestAMS", "WeightedSelectionScore"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

HIGGSML_TOTALS = (691.9886077135781, 410999.84732187376)
"""Expected signal and background events of the full ATLAS open-data file (818 238 simulated events)."""


class WeightedSelectionScore(ArrayScore):
    """What the score types here have in common: checks of the two arrays, then one kernel.

    Parameters
    ----------
    name : str
        Under which the score is listed.
    precision : int
        Decimals to show; ranks use unrounded values.
    totals : (float, float)
        Expected signal and background events that the weights of a part are scaled to.
    """

    def __init__(self, name: str, precision: int, totals: tuple[float, float] = HIGGSML_TOTALS) -> None:
        super().__init__(name, precision)
        self.totals = totals

    def __call__(self, y_true: NDArray[np.float64], y_pred: NDArray[np.float64]) -> float:
        """Return the score of a prediction array, both arguments of shape (n, 2).

        Raises
        ------
        ValueError
            If the shapes are wrong, a value is not finite, or the part lacks signal or background.
        """
        for what, array in (("truth", y_true), ("prediction", y_pred)):
            if array.ndim != 2 or array.shape[1] != 2:
                raise ValueError(f"{self.name}: the {what} must have shape (n, 2), got {array.shape}")
        if len(y_true) != len(y_pred):
            raise ValueError(f"{self.name}: {len(y_pred)} predictions for {len(y_true)} events")
        return self._compute(y_true[:, 0], y_true[:, 1], y_pred[:, 0], y_pred[:, 1])

    def replica_kernel(self, ground_truths: Any, predictions: Any) -> Kernel:
        """Return the kernel of replicas; the weights of each replica are scaled to the totals anew."""
        y_true, y_pred = ground_truths.y_pred, predictions.y_pred
        return self._kernel(y_true[:, 0] == 1, y_true[:, 1], y_pred[:, 0], y_pred[:, 1] == 1)

    @abstractmethod
    def _compute(self, is_signal: Array, weight: Array, score: Array, selected: Array) -> float:
        """Return the score from columns of equal length; `weight` is not yet scaled to the totals."""

    @abstractmethod
    def _kernel(self, is_signal: Flags, weight: Array, score: Array, selected: Flags) -> Kernel:
        """Return the kernel of replicas from the same columns."""


class AMS(WeightedSelectionScore):
    """Approximate median significance of the submission's own selection: the official HiggsML score.

    In standard deviations, higher is better, from 0 (nothing selected) upwards; see
    `hepchallenge.scoring.ams.ams` for the formula and its edge cases.

    Parameters
    ----------
    b_reg : float, default 10
        Constant added to the selected background.
    """

    def __init__(
        self,
        name: str = "ams",
        precision: int = 3,
        b_reg: float = 10.0,
        totals: tuple[float, float] = HIGGSML_TOTALS,
    ) -> None:
        super().__init__(name, precision, totals)
        self.b_reg = b_reg

    def _compute(self, is_signal: Array, weight: Array, score: Array, selected: Array) -> float:
        return ams(*scaled_selected_sums(is_signal, weight, selected, self.totals), self.b_reg)

    def _kernel(self, is_signal: Flags, weight: Array, score: Array, selected: Flags) -> Kernel:
        classes = (is_signal, ~is_signal)
        terms = [weight * chosen for flags in classes for chosen in (flags, flags & selected)]

        def finish(sums: Array) -> Array:
            signal, selected_signal, background, selected_background = sums
            s = selected_signal * (self.totals[0] / signal)
            b = selected_background * (self.totals[1] / background)
            return ams_of_sums(s, b, self.b_reg)

        return SumsKernel(np.column_stack(terms), finish)


class BestAMS(AMS):
    """Largest AMS over all thresholds on the score, whatever the submission selected.

    It needs the truth to choose the threshold and is therefore an optimistic figure of merit of the
    ranking, not an achieved significance. In standard deviations, higher is better; a score that
    ranks all events alike gives the AMS of selecting everything, 1.079 with the HiggsML totals.
    """

    def __init__(
        self,
        name: str = "ams_max",
        precision: int = 3,
        b_reg: float = 10.0,
        totals: tuple[float, float] = HIGGSML_TOTALS,
    ) -> None:
        super().__init__(name, precision, b_reg, totals)

    def _compute(self, is_signal: Array, weight: Array, score: Array, selected: Array) -> float:
        scaled = renormalise(weight, is_signal, self.totals)
        return best_ams(score, is_signal, scaled, self.b_reg).ams

    def _kernel(self, is_signal: Flags, weight: Array, score: Array, selected: Flags) -> Kernel:
        def value(curve: RocCurve) -> float:
            s, b = curve.signal_efficiency * self.totals[0], curve.background_efficiency * self.totals[1]
            return float(ams_of_sums(s, b, self.b_reg).max())

        return RocKernel(score, is_signal, value, weight, nanoseconds=50.0)


class ROCAUC(WeightedSelectionScore):
    """Area under the ROC curve of the score, events counted with their weights.

    Efficiencies are fractions of expected events, not of simulated ones, so the weights enter; see
    `hepchallenge.scoring.ams.weighted_roc_auc`. Range 0 to 1, higher is better, ties count one half.
    """

    maximum: ClassVar[float] = 1.0

    def __init__(
        self, name: str = "auc", precision: int = 3, totals: tuple[float, float] = HIGGSML_TOTALS
    ) -> None:
        super().__init__(name, precision, totals)

    def _compute(self, is_signal: Array, weight: Array, score: Array, selected: Array) -> float:
        # Scaling a class changes nothing here, but it refuses a part that lacks one.
        return weighted_roc_auc(score, is_signal, renormalise(weight, is_signal, self.totals))

    def _kernel(self, is_signal: Flags, weight: Array, score: Array, selected: Flags) -> Kernel:
        return RocKernel(
            score, is_signal, lambda curve: area(curve.background_efficiency, curve.signal_efficiency), weight
        )

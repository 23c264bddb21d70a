"""Kernels of replicas for the score types of ramp-workflow itself, which know nothing of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rampwf import score_types as ramp

from hepchallenge.scoring.bootstrap import AucKernel, Kernel, MeanKernel, SumsKernel
from hepchallenge.scoring.clustering import clustering_kernel

__all__ = ["ramp_kernel"]

FloatArray = NDArray[np.float64]


def ramp_kernel(score_type: Any, ground_truths: Any, predictions: Any) -> Kernel | None:
    """Return the kernel of a score type of ramp-workflow, None for those that have none.

    Parameters
    ----------
    score_type
        Of one of ramp-workflow's classes; subclasses may compute anything and have no kernel here.
    ground_truths, predictions
        As for `score_function`. What a kernel is not made for (more classes than two, say) may give it other
        values than the score's: compare its value for counts of one.
    """
    make = _KERNELS.get(type(score_type))
    return None if make is None else make(ground_truths, predictions)


def _roc_auc(truth: Any, predicted: Any) -> Kernel:
    return AucKernel(predicted.y_pred[:, 1], truth.y_pred_label_index == 1)


def _accuracy(truth: Any, predicted: Any) -> Kernel:
    return MeanKernel(truth.y_pred_label_index == predicted.y_pred_label_index)


def _classification_error(truth: Any, predicted: Any) -> Kernel:
    return MeanKernel(truth.y_pred_label_index != predicted.y_pred_label_index)


def _negative_log_likelihood(truth: Any, predicted: Any) -> Kernel:
    probability = np.asarray(predicted.y_pred, dtype=np.float64)
    smallest = np.finfo(np.asarray(predicted.y_pred).dtype).eps
    of_true = (truth.y_pred * np.log(np.clip(probability, smallest, 1 - smallest))).sum(axis=1)
    return MeanKernel(-of_true)


def _brier(truth: Any, predicted: Any) -> Kernel:
    return MeanKernel((predicted.y_pred[:, 1] - truth.y_pred_label_index) ** 2)


def _rmse(truth: Any, predicted: Any) -> Kernel:
    # The mean over all numbers of the array, of which a row may have several.
    squares = np.square(np.asarray(truth.y_pred - predicted.y_pred, dtype=np.float64))
    means = squares.reshape(len(squares), -1).mean(axis=1)
    terms = np.column_stack((means, np.ones(len(means))))
    return SumsKernel(terms, lambda sums: np.sqrt(sums[0] / sums[1]))


def _mare(truth: Any, predicted: Any) -> Kernel:
    shares = np.abs((truth.y_pred - predicted.y_pred) / truth.y_pred)
    return MeanKernel(shares.reshape(len(shares), -1).mean(axis=1))


_KERNELS: dict[type, Callable[[Any, Any], Kernel]] = {
    ramp.ROCAUC: _roc_auc,
    ramp.Accuracy: _accuracy,
    ramp.ClassificationError: _classification_error,
    ramp.NegativeLogLikelihood: _negative_log_likelihood,
    ramp.BrierScore: _brier,
    ramp.RMSE: _rmse,
    ramp.MARE: _mare,
    ramp.ClusteringEfficiency: lambda truth, predicted: clustering_kernel(truth.y_pred, predicted.y_pred),
}

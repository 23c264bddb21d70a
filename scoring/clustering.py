"""Clustering efficiency of the 2D tracking hackathon of the CTD/WIT workshop 2017.

The rule is that of `ClusteringEfficiency` in ramp-workflow (paris-saclay-cds/ramp-workflow, commit f87e992);
here all events are scored at once, without a loop over events or clusters. The hackathon is described in
EPJ Web of Conferences 150 (2017) 00015.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rampwf.score_types import BaseScoreType

from hepchallenge.scoring.bootstrap import FewRowsKernel, Kernel, MeanKernel
from hepchallenge.scoring.groups import group_rows

__all__ = ["ClusteringEfficiency", "clustering_efficiencies", "clustering_efficiency", "clustering_kernel"]

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


def clustering_efficiency(event_id: ArrayLike, cluster_true: ArrayLike, cluster_pred: ArrayLike) -> float:
    """Return the mean over events of the share of hits that were put into the right cluster.

    In each event every true cluster takes the label that most of its hits have; of equally frequent
    labels it takes the smallest. If several true clusters take one label, the one with most hits of that
    label keeps it. The event's score is the number of hits, over all true clusters, that have the label
    which their cluster kept, divided by the number of hits. Every event counts the same.

    Parameters
    ----------
    event_id : array of integers, shape (n_hits,)
        The event of each hit; the hits of an event need not stand together.
    cluster_true : array of integers, shape (n_hits,)
        The true cluster of each hit; equal numbers in different events are different clusters.
    cluster_pred : array of integers, shape (n_hits,)
        The label given to each hit. Negative labels are no label: such hits are lost. Labels of different
        events have nothing to do with each other.
        All three may be of a floating type if the values are whole numbers.

    Returns
    -------
    float
        From 0 to 1, higher is better. Foreign hits in a cluster are not punished except through the loss
        to their own cluster; one label for all hits gives the share of the largest true cluster.

    Raises
    ------
    ValueError
        If there are no hits, the shapes differ, or a value is not a whole number.

    Examples
    --------
    >>> clustering_efficiency([1, 1, 1, 1, 1], [0, 0, 0, 1, 1], [4, 4, 5, 4, 4])
    0.4
    """
    values = clustering_efficiencies(event_id, cluster_true, cluster_pred)
    return float(values.sum() / len(values))


def clustering_efficiencies(
    event_id: ArrayLike, cluster_true: ArrayLike, cluster_pred: ArrayLike
) -> FloatArray:
    """Return the share of hits put into the right cluster, event by event.

    Parameters
    ----------
    event_id, cluster_true, cluster_pred : arrays of shape (n_hits,)
        As in `clustering_efficiency`.

    Returns
    -------
    array of float64, shape (n_events,)
        From 0 to 1, in the order of rising event ids.

    Raises
    ------
    ValueError
        As `clustering_efficiency` does.
    """
    events = _whole("event_id", event_id)
    truth = _whole("cluster_true", cluster_true, events.shape)
    labels = _whole("cluster_pred", cluster_pred, events.shape)
    if events.size == 0:
        raise ValueError("there are no hits to score")
    ids, event = np.unique(events, return_inverse=True)
    labelled = np.flatnonzero(labels >= 0)
    cluster = group_rows(event, truth).numbers[labelled]
    event_of, label = event[labelled], labels[labelled]
    # The hits that a true cluster and a label have in common.
    pairs = group_rows(cluster, label)
    first, common = pairs.first, pairs.sizes
    cluster, event_of, label = cluster[first], event_of[first], label[first]
    # Of each true cluster the largest part, of equal ones that of the smallest label.
    chosen = _firsts(np.lexsort((label, -common, cluster)), cluster)
    event_of, label, common = event_of[chosen], label[chosen], common[chosen]
    # Of each label the largest such part.
    kept = _firsts(np.lexsort((-common, label, event_of)), label, event_of)
    found = np.bincount(event_of[kept], common[kept], minlength=len(ids))
    shares: FloatArray = found / np.bincount(event)
    return shares


class ClusteringEfficiency(BaseScoreType):  # type: ignore[misc]
    """The score type of ramp-workflow of the same name, for many events: `clustering_efficiency`.

    Truth and prediction are arrays of shape (n_hits, 2) with the columns event id and cluster id; the
    events are taken from the truth. From 0 to 1, higher is better.

    Parameters
    ----------
    name : str
        Under which the score is listed.
    precision : int
        Decimals to show; ranks use unrounded values.
    """

    is_lower_the_better = False
    minimum = 0.0
    maximum = 1.0

    def __init__(self, name: str = "clustering_efficiency", precision: int = 2) -> None:
        self.name = name
        self.precision = precision

    def __call__(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> float:
        """Return the score of a prediction array.

        Raises
        ------
        ValueError
            As `clustering_efficiency` does, or if an array does not have two columns.
        """
        for what, array in (("truth", y_true), ("prediction", y_pred)):
            if array.ndim != 2 or array.shape[1] != 2:
                raise ValueError(f"{self.name}: the {what} must have shape (n, 2), got {array.shape}")
        return clustering_efficiency(y_true[:, 0], y_true[:, 1], y_pred[:, 1])

    def replica_kernel(self, ground_truths: Any, predictions: Any) -> Kernel:
        """Return the kernel of replicas, see `clustering_kernel`."""
        return clustering_kernel(ground_truths.y_pred, predictions.y_pred)


def clustering_kernel(y_true: NDArray[Any], y_pred: NDArray[Any]) -> Kernel:
    """Return the kernel of replicas of events: hits of an event count together, as often as its first hit.

    Parameters
    ----------
    y_true, y_pred : arrays of shape (n_hits, 2)
        As for `ClusteringEfficiency`.
    """
    values = clustering_efficiencies(y_true[:, 0], y_true[:, 1], y_pred[:, 1])
    _, first = np.unique(y_true[:, 0], return_index=True)
    return FewRowsKernel(first, MeanKernel(values))


def _firsts(order: NDArray[np.intp], *keys: IntArray) -> NDArray[np.intp]:
    """Return the entries of an order that begin a new key, or a new combination of keys."""
    new = np.zeros(len(order), dtype=np.bool_)
    new[:1] = True
    for key in keys:
        new[1:] |= key[order[1:]] != key[order[:-1]]
    return order[new]


def _whole(name: str, values: ArrayLike, shape: tuple[int, ...] | None = None) -> IntArray:
    array: NDArray[Any] = np.asarray(values)
    if array.ndim != 1 or (shape is not None and array.shape != shape):
        wanted = "one dimension" if shape is None else f"the shape {shape} of event_id"
        raise ValueError(f"{name} must have {wanted}, got shape {array.shape}")
    if array.dtype.kind in "iu":
        return array.astype(np.int64, copy=False)
    if array.dtype.kind != "f":
        raise ValueError(f"{name} must be whole numbers, got {array.dtype}")
    wrong = ~((np.abs(array) <= 2.0**53) & (np.floor(array) == array))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"{name} must be whole numbers, got {array[row]} in row {row}")
    return array.astype(np.int64)

"""Whether folds and parts are drawn alike, and share nothing that they must not share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hepchallenge.audit.copies import Prints
from hepchallenge.audit.evidence import STRONG, Evidence, association, grade, kolmogorov
from hepchallenge.audit.features import missing
from hepchallenge.audit.table import Label, Table
from hepchallenge.findings import Answer, Status, fine

__all__ = [
    "check_exchange",
    "check_fold_balance",
    "check_fold_groups",
    "check_fold_twins",
    "group_columns",
]

Rows = NDArray[np.int64]
Folds = Sequence[tuple[Rows, Rows]]

_GROUP = re.compile(r"(event|run|group|subject|lumi\w*)[ _]?(id|number|nr|no|block)?", re.IGNORECASE)
_SHIFT_WARNS, _SHIFT_FAILS = 0.05, 0.5


def group_columns(features: Table) -> dict[str, NDArray[np.float64]]:
    """Return the features that name a group of rows: called like an event or a run, whole, and repeated."""
    return {
        name: values
        for name, values in features.columns.items()
        if _GROUP.fullmatch(name.strip())
        and not missing(values).any()
        and (values == np.floor(values)).all()
        and 1 < len(np.unique(values)) <= len(values) // 2
    }


def check_fold_balance(folds: Folds, label: Label) -> Answer:
    """Look whether training and validation rows of a fold have the classes in equal shares."""
    if not label.varies:
        return fine("there is one label only")
    found: list[Evidence] = []
    lacking: list[str] = []
    for number, (train, valid) in enumerate(folds):
        sides = np.repeat([0, 1], [len(train), len(valid)])
        codes = label.codes[np.concatenate([train, valid])]
        one = association(sides, codes)
        found.append(one._replace(what=f"fold {number} (Cramer's V {one.effect:.3f})"))
        if label.values is None:
            here, there = (set(np.unique(label.codes[rows]).tolist()) for rows in (train, valid))
            lacking += [
                f"fold {number} trains without {label.classes[code]}" for code in sorted(there - here)
            ]
    mend = "shuffle or stratify in get_cv"
    if lacking:
        return Status.WARN, "; ".join(lacking[:3]), mend
    worst = max(found)
    if grade(worst, len(found), Status.WARN) is Status.WARN and worst.effect >= STRONG:
        return (
            Status.WARN,
            f"shares of the classes differ between training and validation: {worst.what}",
            mend,
        )
    return fine(f"folds: {len(folds)}, classes in like shares (Cramer's V {worst.effect:.3f} at most)")


def check_fold_groups(folds: Folds, groups: Mapping[str, NDArray[np.float64]], strict: bool) -> Answer:
    """Look whether rows of one group (an event, a run) are on both sides of a fold.

    Parameters
    ----------
    groups
        By name, the group of every training row.
    strict
        Whether the challenge is about groups, so that it is a mistake.
    """
    for name, values in groups.items():
        for number, (train, valid) in enumerate(folds):
            both = np.intersect1d(values[train], values[valid])
            if both.size:
                fact = f"fold {number}: {both.size} values of {name} are on both sides, such as {both[0]:g}"
                return (
                    (Status.FAIL if strict else Status.WARN),
                    fact,
                    f"split whole groups by {name} in get_cv",
                )
    if not groups:
        return fine("no column names groups of rows")
    return fine(f"no group of {', '.join(groups)} is on both sides of a fold")


def check_fold_twins(folds: Folds, prints: Prints) -> Answer:
    """Look for validation rows that are equal to training rows of the same fold."""
    _, counts = np.unique(prints, return_counts=True)
    if counts.max(initial=1) == 1:
        return fine("no training row is there twice, so none can be on both sides of a fold")
    shares = [float(np.isin(prints[valid], prints[train]).mean()) for train, valid in folds]
    worst = int(np.argmax(shares))
    if not shares[worst]:
        return fine("equal rows are on one side of every fold")
    fact = f"{shares[worst]:.2%} of the validation rows of fold {worst} equal training rows of it"
    mend = "drop repeated rows, or keep them on one side of the split"
    return Status.WARN, fact, mend


def check_exchange(label: Label | None, features: Table | None, public: NDArray[np.bool_]) -> Answer:
    """Look whether the public and the private test rows look drawn from one sample.

    Shares of the classes, and the distribution of every feature (Kolmogorov and Smirnov, Bonferroni). A
    public board says little of the private one if they differ.
    """
    n_public, n = int(public.sum()), len(public)
    if not 0 < n_public < n:
        fact = f"all {n} test rows are {'public' if n_public else 'private'}"
        return Status.WARN, fact, "give both parts rows in get_test_parts, or leave it out"
    counts = f"{n_public} public and {n - n_public} private rows"
    found: list[tuple[Evidence, int]] = []
    if label is not None and label.varies:
        one = association(public.astype(np.int64), label.codes)
        found.append((one._replace(what=f"label (Cramer's V {one.effect:.3f})"), 1))
    for name, values in (features.columns if features is not None else {}).items():
        usable = ~np.isnan(values)
        one = kolmogorov(values[usable & public], values[usable & ~public])
        what = f"{name} (largest distance {one.effect:.3f})"
        found.append((one._replace(what=what), len(features.columns) if features is not None else 1))
    # Parts may differ by as much as matters little for a score.
    guilty = sorted(
        (one for one, looks in found if one.effect > _SHIFT_WARNS and grade(one, looks) is not Status.OK),
        reverse=True,
    )
    if guilty:
        status = Status.FAIL if guilty[0].effect > _SHIFT_FAILS else Status.WARN
        told = ", ".join(one.what for one in guilty[:3])
        return status, f"{counts} differ in {told}", "draw the public rows by chance from all test rows"
    return fine(f"{counts}, alike in {len(found)} distributions")

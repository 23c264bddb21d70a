"""Whether a feature gives the label away: is a hidden column, determines it, or betrays it by its form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from hepchallenge.audit.evidence import Evidence, Floats, association, grade, ranks
from hepchallenge.audit.table import Label, Table
from hepchallenge.findings import Answer, Status, fine

__all__ = [
    "SENTINELS",
    "agreement",
    "check_constants",
    "check_copies",
    "check_forms",
    "check_missing",
    "check_names",
    "check_single",
    "missing",
]

SENTINELS = (-999.0, -9999.0, -99.0, -99999.0, -999999.0, -1e30)
"""Numbers that stand for no value where a good part of a column has them."""

_SHOWN = 3
_EQUAL = 1e-12
_DETERMINED = 0.998
_FEWEST = 50
_SAMPLED, _FEW_VALUES = 5000, 20
_FORM_WARNS, _FORM_FAILS = 0.3, 0.95


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def missing(values: Floats) -> NDArray[np.bool_]:
    """Return which values are not finite, or the sentinel that stands for no value in this column."""
    gone = ~np.isfinite(values)
    for sentinel in SENTINELS:
        there = values == sentinel
        # Once in a thousand is no accident; a smaller share cannot matter much.
        if there.mean() > 0.001 and not there.all():
            gone |= there
    return gone


def check_names(train: Iterable[str], test: Iterable[str], withheld: Iterable[str]) -> Answer:
    """Look for withheld names among the features of test rows; of training rows they may be seen."""
    refused = {name.strip().casefold() for name in withheld}
    if not refused:
        return fine("challenge.toml withholds no names ([features] withheld)")
    there, in_training = (
        sorted({name for name in names if name.strip().casefold() in refused}) for names in (test, train)
    )
    if there:
        mend = "drop them in get_test_data; nothing is run until then"
        return Status.FAIL, f"withheld columns among the test inputs: {_listed(there)}", mend
    if in_training:
        return fine(f"{len(refused)} withheld names; only training rows have: {_listed(in_training)}")
    return fine(f"none of {len(refused)} withheld names is a feature")


def _affine(feature: Floats, usable: NDArray[np.bool_], hidden: Floats) -> bool:
    """Whether a feature is a hidden column, times a factor, plus a constant."""
    both = usable & np.isfinite(hidden)
    if np.count_nonzero(both) < 10:
        return False
    first, second = feature[both], hidden[both]
    # Centred before they are squared, so that large numbers with small differences keep them.
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.abs(first).max()), float(np.abs(second).max())
    if not all(scale):
        return False
    first, second = first / scale[0], second / scale[1]
    correlation = float(first @ second) / float(np.sqrt((first @ first) * (second @ second)))
    return abs(correlation) > 1 - _EQUAL


def check_copies(
    features: Table, hidden: Mapping[str, Floats], harmless: Mapping[str, Floats] | None = None
) -> Answer:
    """Look for features that equal a hidden column, also after a change of scale or origin.

    Parameters
    ----------
    hidden
        Labels, weights and withheld columns, of the same rows.
    harmless
        Columns whose copy is worth a warning only, such as ids and row numbers.
    """
    leaks: list[str] = []
    noticed: list[str] = []
    for name, values in features.columns.items():
        usable = ~missing(values)
        if np.ptp(values[usable]) if usable.any() else False:
            leaks += [
                f"{name} is {other}" for other, column in hidden.items() if _affine(values, usable, column)
            ]
            noticed += [
                f"{name} is {other}"
                for other, column in (harmless or {}).items()
                if _affine(values, usable, column)
            ]
    if leaks:
        fact = f"up to scale and origin: {_listed(leaks)}"
        return Status.FAIL, fact, "drop the feature, and name it in [features] withheld of challenge.toml"
    if noticed:
        return Status.WARN, f"up to scale and origin: {_listed(noticed)}", "drop the feature"
    return fine(
        f"none of {len(features.columns)} features is one of {_listed(hidden) or 'no hidden columns'}"
    )


def agreement(values: Floats, codes: NDArray[np.int64]) -> float:
    """Return how far rows of equal value have equal labels: 0 as by chance, 1 always."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    if not 1 < len(sizes) <= len(values) // 2:
        return 0.0
    _, common = np.unique(group.ravel() * (int(codes.max()) + 1) + codes, return_counts=True)
    shares = [
        float((counts.astype(np.float64) * (counts - 1)).sum())
        for counts in (common, sizes, np.unique(codes, return_counts=True)[1])
    ]
    chance = shares[2] / (len(values) * (len(values) - 1))
    if not shares[1] or chance >= 1:
        return 0.0
    return (shares[0] / shares[1] - chance) / (1 - chance)


def check_single(features: Table, label: Label) -> Answer:
    """Look for a single feature that determines the label: AUC above 0.999, or a label for every value.

    That may be so by nature, hence a warning.
    """
    if len(label) < _FEWEST or not label.varies:
        return fine(f"{len(label)} rows are too few, or all labels equal")
    found: list[str] = []
    best = Evidence(0.0, 0.0, "none")
    for name, values in features.columns.items():
        one = label.told_by(ranks(values), name)
        best = max(best, one)
        if one.effect > _DETERMINED:
            found.append(f"{name} (AUC or correlation {(1 + one.effect) / 2:.4f})")
        elif (share := agreement(values, label.codes)) > _DETERMINED:
            found.append(f"{name} (of equal values, {share:.2%} have equal labels)")
    if found:
        mend = "make sure that nothing but nature makes them so telling"
        return Status.WARN, f"the label follows from {_listed(found)}", mend
    return fine(f"no feature alone tells the label; best is {best.what} with AUC {(1 + best.effect) / 2:.3f}")


def check_constants(features: Table) -> Answer:
    """Look for features with one value only."""
    same = [name for name, values in features.columns.items() if not (values[1:] != values[:-1]).any()]
    if same:
        return Status.WARN, f"one value only: {_listed(same)}", "drop them, or find out what went wrong"
    return fine(f"none of {len(features.columns)} features is constant")


def check_missing(features: Table, label: Label) -> Answer:
    """Look whether it depends on the label if a value is missing (NaN, infinite or a sentinel such as -999).

    There may be a reason in physics (no second jet), hence a warning, unless missing values give the label
    away.
    """
    seen: dict[bytes, list[str]] = {}
    masks: dict[bytes, NDArray[np.bool_]] = {}
    for name, values in features.columns.items():
        gone = missing(values)
        if gone.any():
            # Columns that are missing together are told together.
            key = np.packbits(gone).tobytes()
            seen.setdefault(key, []).append(name)
            masks[key] = gone
    if not seen:
        return fine(f"no value of {len(features.columns)} features is missing")
    found = []
    for key, names in seen.items():
        one = association(masks[key].astype(np.int64), label.codes)
        share = float(masks[key].mean())
        what = f"{_listed(names)} missing in {share:.1%} of the rows, Cramer's V {one.effect:.3f}"
        by_class = [float(masks[key][label.codes == code].mean()) for code in range(len(label.classes))]
        if len(label.classes) == 2:
            what += (
                f" ({by_class[0]:.1%} of label {label.classes[0]}, {by_class[1]:.1%} of {label.classes[1]})"
            )
        found.append(one._replace(what=what))
    guilty = sorted((one for one in found if grade(one, len(found)) is Status.FAIL), reverse=True)
    if not guilty:
        columns = sum(map(len, seen.values()))
        return fine(f"{columns} features miss values, at most weakly by label (V {max(found).effect:.3f})")
    status = Status.FAIL if guilty[0].effect > _FORM_FAILS else Status.WARN
    mend = "make sure that physics, not the way the sample was made, is the reason"
    return status, "; ".join(one.what for one in guilty[:_SHOWN]), mend


def _forms(values: Floats) -> dict[str, NDArray[np.bool_]]:
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32).astype(np.float64) == values
    small = np.where(np.abs(values) < 1e9, values, 0.5)
    return {
        "whole": small == np.floor(small),
        "exact in float32": narrow,
        "of at most three decimals": np.abs(small * 1000 - np.round(small * 1000)) < 1e-6,
    }


def check_forms(features: Table, label: Label) -> Answer:
    """Look whether numbers are written differently by label: whole, rounded, or once stored as float32.

    So it happens when signal and background come from two programs. Missing values and zeros do not count.
    """
    found = []
    for name, values in features.columns.items():
        usable = ~missing(values) & (values != 0)
        if np.count_nonzero(usable) < _FEWEST:
            continue
        codes, written = label.codes[usable], values[usable]
        if len(np.unique(written[:: max(1, len(written) // _SAMPLED)])) <= _FEW_VALUES:
            # Of a few values each has one form; whether they tell the label is another check's question.
            continue
        for word, form in _forms(written).items():
            if form.any() and not form.all():
                one = association(form.astype(np.int64), codes)
                found.append(one._replace(what=f"{name} {word} (Cramer's V {one.effect:.3f})"))
    guilty = sorted(
        (one for one in found if one.effect > _FORM_WARNS and grade(one, len(found)) is Status.FAIL),
        reverse=True,
    )
    if not guilty:
        return fine(f"numbers of {len(features.columns)} features look alike for all labels")
    status = Status.FAIL if guilty[0].effect > _FORM_FAILS else Status.WARN
    fact = f"the label tells whether a number is {_listed(one.what for one in guilty)}"
    return status, fact, "write all rows by the same program, with the same precision"

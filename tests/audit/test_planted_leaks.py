"""Each leak, planted into data that have none, is found by the check that is there for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from audit_kit import findings_of, write_audit_kit

from hepchallenge.findings import Status

SORT = "X, y = X.iloc[order].reset_index(drop=True), y[order]"

LEAKS = {
    "rows sorted by label": (
        f"if name == 'test':\n    order = np.argsort(y, kind='stable')\n    {SORT}",
        {"leak row order test": ("fail", "row number tells the label")},
    ),
    "training rows sorted by label": (
        f"if name == 'train':\n    order = np.argsort(y, kind='stable')\n    {SORT}",
        {"leak row order train": ("warn", "row number tells the label")},
    ),
    "rows in blocks of one label": (
        f"order = np.argsort(y + 10 * (np.arange(N) // 40), kind='stable')\n{SORT}",
        {"leak row order test": ("fail", "resembles itself at a distance of 1 ")},
    ),
    "every fifth row a signal": (
        "place = np.where(y == 1, np.cumsum(y) * 5, np.cumsum(1 - y) * 1.25)\n"
        f"order = np.argsort(place, kind='stable')\n{SORT}",
        {"leak row order test": ("fail", "resembles itself at a distance of")},
    ),
    "ids drawn in the order of the labels": (
        "ids = np.argsort(np.argsort(y, kind='stable'), kind='stable')",
        {"leak ids": ("fail", "the id tells the label")},
    ),
    "odd ids for signal": ("ids = 2 * ids + y", {"leak ids": ("fail", "the id modulo 2 tells")}),
    "ids with the label in their last digit": (
        "ids = 10 * ids + np.where(y == 1, rng.integers(0, 5, N), rng.integers(5, 10, N))",
        {"leak ids": ("fail", "modulo")},
    ),
    "a gap behind the ids of signal": (
        "at = np.argsort(rng.random(N))\nids = np.empty(N, int)\n"
        "ids[at] = np.cumsum(np.r_[0, 1 + 2 * y[at][:-1] + rng.integers(0, 2, N - 1)])",
        {"leak ids": ("fail", "gap after an id")},
    ),
    "an id twice": ("ids[7] = ids[8]", {"leak ids": ("fail", "is there 2 times")}),
    "an index that remembers the sorted file": (
        "X.index = np.argsort(np.argsort(y, kind='stable'), kind='stable')",
        {"leak index test": ("fail", "the index tells the label")},
    ),
    "a withheld column": ("X['Secret '] = rng.normal(size=N)", {"leak names": ("fail", "Secret")}),
    "the label, scaled": ("X['d'] = 3 - 2.5 * y", {"leak hidden columns": ("fail", "d is label")}),
    "a withheld column, scaled and with gaps": (
        "w = rng.normal(size=N)\nX['d'] = np.where(rng.random(N) < 0.2, -999, 1e6 - 4 * w)\n"
        "if name == 'train': X['secret'] = w",
        {"leak hidden columns": ("fail", "d is secret")},
    ),
    "the id as a feature": ("X['d'] = ids / 7.0", {"leak hidden columns": ("warn", "d is the id")}),
    "the row number as a feature": (
        "X['d'] = np.arange(N) / 7.0",
        {"leak hidden columns": ("warn", "d is the row number")},
    ),
    "a feature that tells all": (
        "X['d'] = y + 0.9 * rng.random(N)",
        {"leak single feature": ("warn", "d (AUC")},
    ),
    "a feature whose parity is the label": (
        "X['d'] = 2.0 * rng.integers(0, 50, N) + y",
        {"leak single feature": ("warn", "of equal values")},
    ),
    "signal stored as float32": (
        "X['a'] = np.where(y == 1, X['a'].astype(np.float32).astype(float), X['a'])",
        {"leak number formats": ("fail", "a exact in float32")},
    ),
    "signal rounded": (
        "X['a'] = np.where((y == 1) & (rng.random(N) < 0.8), X['a'].round(3), X['a'])",
        {"leak number formats": ("warn", "a of at most three decimals")},
    ),
    "values missing for signal, mostly": (
        "X['b'] = np.where((y == 1) & (rng.random(N) < 0.6), -999.0, X['b'])",
        {"leak missing values": ("warn", "b missing in")},
    ),
    "values missing for signal, always": (
        "X.loc[y == 1, ['a', 'b']] = np.nan",
        {"leak missing values": ("fail", "a, b missing in")},
    ),
    "a constant feature": ("X['d'] = 3.0", {"data constants": ("warn", "d")}),
    "test rows twice": (
        "if name == 'test': X.iloc[:60] = X.iloc[100:160].to_numpy()",
        {"data repeated test rows": ("warn", "6.00% of 2000")},
    ),
    "test rows from training, through float32": (
        "if name == 'test':\n"
        "    X.iloc[:60] = make('train', False)[0].iloc[100:160].to_numpy().astype(np.float32)",
        {"leak test in training": ("fail", "3.00% of 2000 test rows")},
    ),
    "training rows twice": (
        "if name == 'train': X.iloc[:60] = X.iloc[100:160].to_numpy()",
        {"folds repeated rows": ("warn", "% of the validation rows")},
    ),
    "public rows that differ": (
        "X['a'] += 0.5 * (parts == 'public')",
        {"parts alike": ("warn", "differ in a (")},
    ),
    "public rows of one label": (
        "parts = np.where(y == 1, 'public', 'private')",
        {"parts alike": ("fail", "differ in label")},
    ),
    "a row in no part": ("parts[5] = 'both'", {"data parts": ("fail", "row 5")}),
    "one label only": ("y[:] = 1", {"leak row order test": ("warn", "one label")}),
    "runs on both sides of folds": (
        "X['run_number'] = np.arange(N) // 10.0",
        {"folds groups": ("warn", "run_number")},
    ),
}

FOLDS = {
    "a row on both sides": (
        "def get_cv(X, y):\n    return [(np.arange(0, 900), np.arange(899, 2000))]",
        {"data folds": ("fail", "row 899")},
    ),
    "folds that differ in label": (
        "def get_cv(X, y):\n    order = np.argsort(y + np.linspace(0, 1.2, N))\n"
        "    return [(order[:1400], order[1400:])]",
        {"folds balance": ("warn", "shares of the classes differ")},
    ),
    "a fold that trains without a class": (
        "def get_cv(X, y):\n    order = np.argsort(y)\n    return [(order[:1000], order[1000:])]",
        {"folds balance": ("warn", "trains without 1")},
    ),
}


@pytest.mark.parametrize(("plant", "found"), LEAKS.values(), ids=LEAKS)
def test_a_planted_leak_is_found(tmp_path: Path, plant: str, found: dict[str, tuple[str, str]]) -> None:
    findings = findings_of(write_audit_kit(tmp_path / "kit", plant))
    for check, (status, words) in found.items():
        assert findings[check].status.value == status, findings[check]
        assert words in findings[check].fact
        assert findings[check].mend


@pytest.mark.parametrize(("extra", "found"), FOLDS.values(), ids=FOLDS)
def test_a_mistake_in_the_folds_is_found(
    tmp_path: Path, extra: str, found: dict[str, tuple[str, str]]
) -> None:
    findings = findings_of(write_audit_kit(tmp_path / "kit", extra=extra))
    for check, (status, words) in found.items():
        assert findings[check].status.value == status, findings[check]
        assert words in findings[check].fact


@pytest.mark.parametrize("seed", range(3))
def test_where_nothing_is_planted_nothing_is_found(tmp_path: Path, seed: int) -> None:
    findings = findings_of(write_audit_kit(tmp_path / "kit", seed=seed))
    assert [finding for finding in findings.values() if finding.status is not Status.OK] == []
    assert len(findings) > 20


def test_data_that_break_the_contract_are_a_finding_and_no_error(tmp_path: Path) -> None:
    findings = findings_of(
        write_audit_kit(tmp_path / "kit", extra="def get_test_data(path='.'):\n    return 3")
    )
    assert list(findings) == ["data contract"]
    assert findings["data contract"].status is Status.FAIL
    assert "get_test_data" in findings["data contract"].fact

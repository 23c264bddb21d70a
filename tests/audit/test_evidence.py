"""The measures behind the findings agree with those of scipy and scikit-learn, or with a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.metrics import roc_auc_score

from hepchallenge.audit.copies import check_overlap, fingerprints
from hepchallenge.audit.evidence import (
    Evidence,
    association,
    autocorrelation,
    grade,
    kolmogorov,
    rank_effect,
    ranks,
)
from hepchallenge.audit.features import agreement, missing
from hepchallenge.audit.grouping import check_hit_order
from hepchallenge.findings import Status

NUMBERS = arrays(np.float64, st.integers(2, 60), elements=st.integers(-5, 5).map(float))


@given(NUMBERS)
def test_ranks_are_those_of_scipy(values: np.ndarray) -> None:
    assert ranks(values).tolist() == stats.rankdata(values).tolist()


def test_missing_values_share_the_first_rank() -> None:
    assert ranks(np.array([3.0, np.nan, 1.0, np.nan])).tolist() == [4.0, 1.5, 3.0, 1.5]


@given(NUMBERS, st.integers(0, 2**32 - 1))
def test_the_effect_of_ranks_is_twice_the_auc_minus_one(values: np.ndarray, seed: int) -> None:
    members = np.random.default_rng(seed).random(len(values)) < 0.5
    if 0 < members.sum() < len(members):
        auc = roc_auc_score(members, values)
        assert rank_effect(ranks(values), members).effect == pytest.approx(abs(2 * auc - 1), abs=1e-12)


@given(NUMBERS)
def test_the_autocorrelation_is_that_of_a_plain_loop(values: np.ndarray) -> None:
    centred = values - values.mean()
    power = (centred**2).sum()
    most = len(values) - 1
    plain = [(centred[lag:] * centred[:-lag]).sum() / power if power else 0.0 for lag in range(1, most + 1)]
    assert autocorrelation(values, most) == pytest.approx(np.array(plain), abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=5, max_size=200))
def test_the_association_is_cramers_v(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs).T
    found = association(first, second).effect
    if len(set(first)) > 1 and len(set(second)) > 1:
        table = stats.contingency.crosstab(first, second).count
        assert found == pytest.approx(stats.contingency.association(table, correction=False), abs=1e-9)
    else:
        assert found == 0


@given(NUMBERS, NUMBERS)
def test_the_distance_of_distributions_is_that_of_scipy(first: np.ndarray, second: np.ndarray) -> None:
    expected = stats.ks_2samp(first, second, method="asymp").statistic
    assert kolmogorov(first, second).effect == pytest.approx(expected, abs=1e-12)


def test_a_finding_needs_an_effect_and_significance_for_all_that_was_looked_at() -> None:
    assert grade(Evidence(0.5, 4.5), 1) is Status.FAIL
    assert grade(Evidence(0.5, 4.5), 1000) is Status.OK
    assert grade(Evidence(0.05, 50.0), 1) is Status.WARN
    assert grade(Evidence(0.005, 50.0), 1) is Status.OK
    assert grade(Evidence(0.5, 50.0), 1, Status.WARN) is Status.WARN


@given(arrays(np.float64, (20, 8), elements=st.floats(-1e6, 1e6)))
def test_a_row_keeps_its_fingerprint_through_float32(table: np.ndarray) -> None:
    narrow = table.astype(np.float32)
    assert fingerprints(list(table.T)).tolist() == fingerprints(list(narrow.T)).tolist()


@given(arrays(np.float64, (40, 3), elements=st.integers(0, 2).map(float)))
def test_rows_have_equal_fingerprints_only_if_they_are_equal(table: np.ndarray) -> None:
    prints = fingerprints(list(table.T))
    assert len(np.unique(prints)) == len(np.unique(table, axis=0))


def test_no_signs_of_zero_and_no_kinds_of_nan_part_equal_rows() -> None:
    other = np.array([np.uint64(0xFFF8000000000001)]).view(np.float64)
    first, second = (
        fingerprints([np.array([0.0]), np.array([np.nan])]),
        fingerprints([np.array([-0.0]), other]),
    )
    assert first == second


def test_rows_that_few_values_make_equal_are_a_warning_only() -> None:
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 50, size=1000).astype(np.uint64) for _ in range(2))
    status, fact, _ = check_overlap(test, train, ("test", "training"), lambda ours, theirs: 1.0)
    assert status is Status.WARN
    assert "are repeated" in fact


@given(st.integers(0, 2**32 - 1))
def test_values_that_say_nothing_agree_by_chance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, codes = rng.integers(0, 10, 5000).astype(float), rng.integers(0, 3, 5000)
    assert abs(agreement(values, codes)) < 0.02
    assert agreement(codes.astype(float), codes) == pytest.approx(1)


def test_a_sentinel_is_a_missing_value_only_where_many_rows_have_it() -> None:
    rare = np.r_[-999.0, np.arange(4999.0)]
    assert not missing(rare).any()
    assert missing(np.r_[np.full(50, -999.0), rare]).sum() == 51


def test_hits_in_no_order_are_told_by_chance() -> None:
    rng = np.random.default_rng(1)
    status, fact, _ = check_hit_order([rng.integers(0, 10, 400) for _ in range(5)])
    assert status is Status.OK
    assert "by chance in 9" in fact or "by chance in 10" in fact

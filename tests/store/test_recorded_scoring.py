"""A scoring that is decoded in two steps is the one that was recorded."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.exceptions import StoreError
from hepchallenge.records import Scoring, StoredArray, Verdict
from hepchallenge.store import codec
from hepchallenge.store.recorded import RecordedScoring, recorded_scoring

names = st.sampled_from(["auc", "ams", "ÿ\x00"])
scores = st.dictionaries(names, st.dictionaries(st.sampled_from(["valid", "public"]), st.floats()))
arrays = st.builds(StoredArray, digest=st.text(), path=st.text(), shape=st.just((3, 2)), dtype=st.just("<f8"))
scorings = st.builds(
    Scoring,
    verdict=st.sampled_from(Verdict),
    message=st.text(),
    scores=scores,
    spread=scores,
    training_spread=scores,
    errors=scores,
    fold_scores=st.lists(scores, max_size=2).map(tuple),
    gates=st.dictionaries(names, st.one_of(st.text(), st.booleans(), st.lists(st.integers()))),
    scorer_version=st.text(),
    replicas=st.dictionaries(st.just("public"), arrays),
)


@given(scorings)
def test_every_field_comes_back(scoring: Scoring) -> None:
    text = codec.encode_scoring(scoring)
    # As text: a NaN is not equal to itself, and keys come back sorted.
    assert codec.encode_scoring(recorded_scoring(text)) == text


def test_it_is_equal_to_the_plain_one_from_either_side_and_changes_like_it() -> None:
    plain = Scoring(verdict=Verdict.SCORED, scores={"auc": {"test": 0.5}}, errors={"auc": {"test": 0.1}})
    recorded = recorded_scoring(codec.encode_scoring(plain))
    assert isinstance(recorded, RecordedScoring)
    assert recorded == plain
    assert plain == recorded
    assert recorded != replace(plain, errors={})
    assert replace(recorded, errors={}) == replace(plain, errors={})


def test_a_score_that_is_not_finite_is_read_all_the_same() -> None:
    plain = Scoring(verdict=Verdict.SCORED, scores={"auc": {"test": math.inf}}, errors={"auc": {"test": 0.1}})
    assert recorded_scoring(codec.encode_scoring(plain)) == plain


def test_damage_is_told_at_once_where_it_ranks_and_elsewhere_when_somebody_looks() -> None:
    with pytest.raises(StoreError, match="damaged"):
        recorded_scoring('{"verdict":"scored","scores":[]}')
    scoring = recorded_scoring('{"verdict":"scored","scores":{},"errors":[]}')
    with pytest.raises(StoreError, match="damaged"):
        _ = scoring.errors

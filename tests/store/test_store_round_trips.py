"""Whatever is recorded comes back equal, however hostile."""

from __future__ import annotations

import math
import random
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_records import key, open_run

from hepchallenge.exceptions import StoreError
from hepchallenge.records import (
    BoardEntry,
    FoldOutcome,
    Limits,
    PhaseUsage,
    RunKey,
    Scoring,
    StoredArray,
    Submission,
    Verdict,
)
from hepchallenge.store import Store, codec
from hepchallenge.store.recorded import RecordedFolds

# NUL and lone surrogates too: file names and tracebacks may hold them.
anything = st.text(st.characters(exclude_categories=()), max_size=30)
floats = st.floats(allow_nan=False)
counts = st.integers(0, 2**70)
positive = st.one_of(st.floats(1e-9, 1e12), st.integers(1, 2**40))

submissions = st.builds(
    Submission,
    name=anything,
    digest=anything,
    kind=st.sampled_from(["code", "predictions"]),
    team=anything,
    title=anything,
    description=anything,
    parameters=st.none() | counts,
    links=st.lists(anything, max_size=3).map(tuple),
)
limits = st.builds(
    Limits,
    fit_wall=positive,
    fit_cpu=positive,
    predict_wall=positive,
    predict_cpu=positive,
    memory_bytes=st.integers(1, 2**60),
    output_bytes=st.integers(1, 2**60),
    processes=st.integers(1, 2**20),
    gpu_seconds=st.none() | positive,
    gpu_memory_bytes=st.none() | st.integers(1, 2**60),
)
keys = st.builds(
    RunKey,
    challenge=anything,
    challenge_version=anything,
    submission_digest=anything,
    data_digest=anything,
    limits=limits,
    seed=st.integers(),
    quick=st.booleans(),
    gpus=st.integers(0, 64),
)
arrays = st.builds(
    StoredArray,
    digest=anything,
    path=anything,
    shape=st.lists(counts, max_size=3).map(tuple),
    dtype=anything,
)
phases = st.builds(
    PhaseUsage, phase=st.sampled_from(["fit", "predict"]), wall_seconds=floats, cpu_seconds=floats
)
outcomes = st.builds(
    FoldOutcome,
    fold=st.integers(0, 1000),
    verdict=st.sampled_from(Verdict),
    message=anything,
    predictions=st.dictionaries(anything, arrays, max_size=3),
    phases=st.lists(phases, max_size=2).map(tuple),
    wall_seconds=floats,
    cpu_seconds=floats,
    peak_memory_bytes=counts,
    log=anything,
    gpus=st.lists(anything, max_size=2).map(tuple),
    gpu_seconds=floats,
    gpu_peak_memory_bytes=counts,
)
scores = st.dictionaries(anything, st.dictionaries(anything, floats, max_size=3), max_size=3)
plain_data: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | counts | floats | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=5,
)
scorings = st.builds(
    Scoring,
    verdict=st.sampled_from(Verdict),
    message=anything,
    scores=scores,
    spread=scores,
    fold_scores=st.lists(scores, max_size=3).map(tuple),
    gates=st.dictionaries(anything, plain_data, max_size=3),
    scorer_version=anything,
    replicas=st.dictionaries(anything, arrays, max_size=2),
)
on_databases = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(anything)
def test_escaped_text_is_plain_ascii_and_comes_back(text: str) -> None:
    escaped = codec.escape(text)
    assert escaped.isascii()
    assert escaped.isprintable()
    assert codec.unescape(escaped) == text


@given(submissions)
def test_submissions_come_back_from_text(record: Submission) -> None:
    assert codec.decode_submission(codec.encode_submission(record)) == record


@given(keys)
def test_run_keys_come_back_from_text(record: RunKey) -> None:
    assert codec.decode_key(codec.encode_key(record)) == record


@given(keys, keys)
def test_digests_are_equal_exactly_for_equal_keys(one: RunKey, other: RunKey) -> None:
    assert (codec.key_digest(one) == codec.key_digest(other)) == (one == other)


def test_whole_numbers_and_floats_are_one_key() -> None:
    assert codec.key_digest(key(limits=Limits(fit_wall=60, gpu_seconds=9))) == codec.key_digest(
        key(limits=Limits(fit_wall=60.0, gpu_seconds=9.0, memory_bytes=4294967296.0))  # type: ignore[arg-type]
    )


@given(outcomes)
def test_fold_outcomes_come_back_from_text(record: FoldOutcome) -> None:
    assert codec.decode_fold(codec.encode_fold(record)) == record


def test_an_outcome_and_a_key_from_before_gpus_were_recorded_can_be_read() -> None:
    record, run_key = FoldOutcome(fold=1, verdict=Verdict.SCORED, cpu_seconds=2.5), key()
    old_record, old_key = codec.loads(codec.encode_fold(record)), codec.loads(codec.encode_key(run_key))
    for name in ("gpus", "gpu_seconds", "gpu_peak_memory_bytes", "event_seconds", "training"):
        del old_record[name]
    for name in ("gpu_seconds", "gpu_memory_bytes", "cores"):
        del old_key["limits"][name]
    del old_key["gpus"], old_key["trainings"]
    assert codec.decode_fold(codec.dumps(old_record)) == record
    assert codec.decode_key(codec.dumps(old_key)) == run_key


@given(scorings)
def test_scorings_come_back_from_text(record: Scoring) -> None:
    assert codec.decode_scoring(codec.encode_scoring(record)) == record


def test_a_scoring_from_before_replicas_were_made_can_be_read() -> None:
    record = Scoring(verdict=Verdict.SCORED, scores={"auc": {"test": 0.5}})
    old = codec.loads(codec.encode_scoring(record))
    del old["replicas"]
    assert codec.decode_scoring(codec.dumps(old)) == record


def test_a_scoring_that_was_read_for_a_board_is_recorded_whole(store: Store) -> None:
    run = open_run(store)
    plain = Scoring(
        verdict=Verdict.SCORED,
        scores={"auc": {"test": 0.5}},
        spread={"auc": {"test": 0.1}},
        fold_scores=({"auc": {"test": 0.5}},),
        gates={"agreement": 0.01},
    )
    store.record_scoring(run, plain)
    (entry,) = store.entries("higgsml")
    store.record_scoring(run, entry.scoring)
    assert store.scorings(run) == [plain, plain]
    assert codec.encode_scoring(entry.scoring) == codec.encode_scoring(plain)


def test_nan_scores_and_numpy_numbers_are_kept_as_numbers() -> None:
    record = Scoring(
        verdict=Verdict.SCORED,
        scores={"auc": {"test": math.nan, "valid": np.float32(0.5), "train": np.float64(0.1)}},  # type: ignore[dict-item]
    )
    back = codec.decode_scoring(codec.encode_scoring(record)).scores["auc"]
    assert math.isnan(back["test"])
    assert (back["valid"], back["train"]) == (0.5, 0.1)


def test_what_is_not_plain_data_is_refused() -> None:
    with pytest.raises(StoreError, match="not plain data"):
        codec.encode_scoring(Scoring(verdict=Verdict.SCORED, gates={"x": object()}))


@on_databases
@given(submissions, anything)
def test_submissions_come_back_from_the_database(store: Store, record: Submission, challenge: str) -> None:
    submission_id = store.add_submission(challenge, record)
    assert codec.digest_of(record.name) == codec.digest_of(store.submission(submission_id)[0].name)
    assert store.add_submission(challenge, record) == submission_id


@on_databases
@given(outcomes, scorings)
def test_outcomes_and_scorings_come_back_from_the_database(
    store: Store, record: FoldOutcome, scoring: Scoring
) -> None:
    run = open_run(store, rerun=True)
    assert store.record_fold(run, record) == record
    kept = store.fold_outcomes(run) | store.infrastructure_failures(run)
    assert kept == {record.fold: record}
    store.record_scoring(run, scoring)
    assert store.latest_scoring(run) == scoring


def test_a_name_of_any_length_fits_the_database(store: Store) -> None:
    # Random, since a database may squeeze repetition below its limit for an index.
    name = random.Random(1).randbytes(20_000).decode("latin-1")
    submission_id = store.add_submission(name, Submission(name=name, digest="d", kind="code"))
    assert store.submission(submission_id)[0].name == name


@pytest.mark.parametrize(
    ("decode", "text"),
    [
        (codec.decode_scoring, "{"),
        (codec.decode_scoring, '{"verdict":"won"}'),
        (codec.decode_submission, '{"name":1,"digest":"d","kind":"code"}'),
        (codec.decode_fold, '{"fold":0}'),
        (codec.decode_key, "[]"),
    ],
)
def test_a_damaged_record_is_an_error_of_the_store(decode: Any, text: str) -> None:
    with pytest.raises(StoreError, match="damaged"):
        decode(text)


@given(keys, anything, anything)
def test_keys_that_differ_in_the_submission_alone_are_told_apart(
    run_key: RunKey, first: str, second: str
) -> None:
    for digest in (first, second):
        changed = replace(run_key, submission_digest=digest)
        assert codec.decode_key(codec.encode_key(changed)) == changed


def test_recorded_folds_are_equal_to_their_tuple() -> None:
    outcomes = tuple(FoldOutcome(fold=fold, verdict=Verdict.SCORED) for fold in range(3))
    recorded = RecordedFolds(1, [codec.encode_fold(outcome) for outcome in outcomes])
    assert recorded == outcomes
    assert recorded != outcomes[:2]
    assert recorded == RecordedFolds(1, [codec.encode_fold(outcome) for outcome in outcomes])
    assert (len(recorded), recorded[1], recorded[1:]) == (3, outcomes[1], outcomes[1:])


def test_a_recorded_entry_is_equal_to_a_plain_one_with_the_same_fields(store: Store) -> None:
    run = open_run(store)
    store.record_fold(run, FoldOutcome(fold=0, verdict=Verdict.SCORED))
    store.record_scoring(run, Scoring(verdict=Verdict.SCORED, scores={"auc": {"test": 0.5}}))
    (recorded,) = store.entries("higgsml")
    plain = BoardEntry(**{f.name: getattr(recorded, f.name) for f in fields(BoardEntry)})
    assert recorded == plain
    assert plain == recorded
    assert recorded.run_key == run.key
    other = replace(recorded, received_at="never")
    assert (other.received_at, other.run_key) == ("never", run.key)
    assert other != plain


def test_folds_that_were_not_read_are_read_on_demand_and_not_taken_for_none(store: Store) -> None:
    run = open_run(store)
    store.record_fold(run, FoldOutcome(fold=0, verdict=Verdict.INFRASTRUCTURE))
    store.record_fold(run, FoldOutcome(fold=1, verdict=Verdict.SCORED))
    store.record_fold(run, FoldOutcome(fold=0, verdict=Verdict.SCORED, wall_seconds=2.0))
    store.record_scoring(run, Scoring(verdict=Verdict.SCORED, scores={"auc": {"test": 0.5}}))
    (entry,) = store.entries("higgsml", folds=False)
    with pytest.raises(RuntimeError, match="were not read"):
        len(entry.folds)
    store.read_folds([entry])
    assert entry == store.entries("higgsml")[0]
    assert [(fold.fold, fold.verdict, fold.wall_seconds) for fold in entry.folds] == [
        (0, Verdict.SCORED, 2.0),
        (1, Verdict.SCORED, 0.0),
    ]

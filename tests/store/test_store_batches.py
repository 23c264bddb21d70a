"""Many at once: the same record as one after the other, all or none of it, by indexes alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event
from store_records import DATA, key, open_run, outcome, scored, submission

from hepchallenge.exceptions import StoreError, UnknownName
from hepchallenge.records import DataInfo, Scoring, Verdict
from hepchallenge.store import RunRequest, Store, key_digest

KEYS = [key(submission_digest=f"{number:064x}") for number in range(5)]
SUBMISSIONS = [submission(f"kit{number}", one.submission_digest) for number, one in enumerate(KEYS)]


def request(number: int, *, isolation: str = "none", rerun: bool = False, store: Store) -> RunRequest:
    (submission_id,) = store.add_submissions("higgsml", [SUBMISSIONS[number]])
    return RunRequest(
        key=KEYS[number],
        submission_id=submission_id,
        data=DATA,
        isolation=isolation,
        accounting="sampled",
        versions={"numpy": "2.0"},
        rerun=rerun,
    )


@contextlib.contextmanager
def statements(store: Store) -> Iterator[list[tuple[str, object]]]:
    """Note what is sent to the database."""
    seen: list[tuple[str, object]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        seen.append((statement, parameters))

    engine = store._database.engine
    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def test_submissions_that_come_together_have_ids_in_their_order_and_one_time(store: Store) -> None:
    old = store.add_submission("higgsml", SUBMISSIONS[3])
    ids = store.add_submissions("higgsml", [*SUBMISSIONS, SUBMISSIONS[0]])
    assert (ids[3], ids[5]) == (old, ids[0])
    new = [ids[number] for number in (0, 1, 2, 4)]
    assert new == sorted(set(new))
    assert len({received_at for _, received_at in store.submissions(new)}) == 1


def test_submissions_are_returned_as_asked_for_with_the_last_team(store: Store) -> None:
    first, second = store.add_submissions("higgsml", SUBMISSIONS[:2])
    for team in ("them", "us"):
        store.assign_team(second, team)
    found = [record for record, _ in store.submissions([second, first, second])]
    assert [(record.name, record.team) for record in found] == [("kit1", "us"), ("kit0", ""), ("kit1", "us")]
    with pytest.raises(StoreError, match="no submission has the id 99"):
        store.submissions([first, 99])


def test_runs_opened_together_are_those_that_would_be_opened_one_by_one(store: Store) -> None:
    going_on, finished, changed = (store.open_run(**vars(request(n, store=store))) for n in range(3))
    store.record_scoring(finished, scored())
    opened = store.open_runs(
        [
            request(0, store=store),
            request(1, isolation="namespaces", store=store),
            request(2, isolation="namespaces", store=store),
            request(3, store=store),
            request(3, store=store),
            request(3, rerun=True, store=store),
        ]
    )
    assert opened[:2] == [going_on, finished]
    assert (opened[2].attempt, opened[2].isolation, opened[2].key) == (2, "namespaces", changed.key)
    assert [run.attempt for run in opened[3:]] == [1, 1, 2]
    assert opened[3] == opened[4]


def test_of_runs_opened_together_all_or_none_are_recorded(store: Store) -> None:
    wrong = {**vars(request(1, store=store)), "submission_id": 99}
    with pytest.raises(StoreError, match=r"(?i)foreign key"):
        store.open_runs([request(0, store=store), RunRequest(**wrong)])
    with pytest.raises(UnknownName):
        store.latest_run("higgsml", "kit0")


def test_folds_recorded_together_stand_as_if_recorded_one_by_one(store: Store) -> None:
    one, other = (store.open_run(**vars(request(n, store=store))) for n in range(2))
    stands = store.record_fold(one, outcome(1, message="first"))
    returned = store.record_folds(
        [
            (other, outcome(0, message="other")),
            (one, outcome(1, Verdict.RUNTIME_ERROR)),
            (one, outcome(0, training=2, message="new")),
            (one, outcome(0, training=2, message="too late")),
            (other, outcome(1, Verdict.INFRASTRUCTURE, message="host")),
            (one, outcome(1, Verdict.INFRASTRUCTURE)),
        ]
    )
    assert [found.message for found in returned] == ["other", "first", "new", "new", "host", "first"]
    assert store.fold_outcomes(one) == {1: stands, 2_000_000: returned[2]}
    assert store.fold_outcomes(other) == {0: returned[0]}
    assert store.infrastructure_failures(other) == {1: returned[4]}
    assert store.infrastructure_failures(one) == {}


def test_of_folds_recorded_together_all_or_none_are_recorded(store: Store) -> None:
    run = store.open_run(**vars(request(0, store=store)))
    nowhere = type(run)(**{**vars(run), "id": 99})
    with pytest.raises(StoreError, match=r"(?i)foreign key"):
        store.record_folds([(run, outcome(0)), (nowhere, outcome(0))])
    assert store.fold_outcomes(run) == {}


def test_scorings_recorded_together_have_ids_in_their_order(store: Store) -> None:
    runs = [store.open_run(**vars(request(n, store=store))) for n in range(3)]
    order = [2, 0, 1, 2]
    ids = store.record_scorings([(runs[n], scored(place / 10)) for place, n in enumerate(order)])
    assert ids == sorted(set(ids))
    assert [store.scorings(run) for run in runs] == [[scored(0.1)], [scored(0.2)], [scored(0.0), scored(0.3)]]


def test_nothing_at_all_is_recorded_too(store: Store) -> None:
    run = open_run(store)
    assert store.record_folds([]) == store.record_scorings([]) == store.open_runs([]) == []
    assert store.add_submissions("higgsml", []) == store.submissions([]) == store.entries_for([]) == []
    assert store.settled([]) == set()
    assert store.fold_outcomes(run) == {}


def test_a_key_is_settled_by_any_attempt_that_the_host_did_not_fail(store: Store) -> None:
    runs = [store.open_run(**vars(request(n, store=store))) for n in range(3)]
    store.record_scoring(runs[0], Scoring(verdict=Verdict.RUNTIME_ERROR))
    store.open_run(**vars(request(0, rerun=True, store=store)))
    store.record_scoring(runs[1], Scoring(verdict=Verdict.INFRASTRUCTURE))
    assert store.settled(KEYS) == {key_digest(KEYS[0])}
    assert [bool(store.settled([one])) for one in KEYS[:3]] == [True, False, False]


def test_entries_for_submissions_are_those_of_the_board(store: Store) -> None:
    for number in range(3):
        run = store.open_run(**vars(request(number, store=store)))
        store.record_folds([(run, outcome(fold)) for fold in (1, 0)])
        store.record_scorings([(run, scored(0.1)), (run, scored(number))])
        store.assign_team(run.submission_id, f"team {number}")
    # A copy under another name, and a later attempt that the host failed.
    copy = store.add_submission("higgsml", submission("copy", KEYS[0].submission_digest))
    again = store.open_run(**vars(request(1, rerun=True, store=store)))
    store.record_scoring(again, Scoring(verdict=Verdict.INFRASTRUCTURE))
    board = {entry.submission.name: entry for entry in store.entries("higgsml")}
    ids = store.add_submissions("higgsml", SUBMISSIONS[:3])
    pairs = [(ids[2], KEYS[2]), (copy, KEYS[0]), (ids[1], KEYS[1])]
    found = store.entries_for(pairs)
    assert found == [board["kit2"], board["copy"], board["kit1"]]
    assert [len(entry.folds) for entry in found] == [2, 2, 2]
    with pytest.raises(StoreError, match=r"submission 000000000000: no attempt at its run key was scored"):
        store.entries_for([(ids[0], key(submission_digest="0" * 64, seed=7))])


def test_more_than_a_statement_has_room_for_is_recorded_and_found(store: Store) -> None:
    number = 1000
    keys = [key(submission_digest=f"{one:064x}") for one in range(number)]
    ids = store.add_submissions("higgsml", [submission("kit", one.submission_digest) for one in keys])
    data = DataInfo(kind="toy", digest=DATA.digest)
    requests = [
        RunRequest(key=one, submission_id=n, data=data, isolation="none", accounting="sampled", versions={})
        for one, n in zip(keys, ids, strict=True)
    ]
    runs = store.open_runs(requests)
    assert [run.submission_id for run in runs] == ids
    store.record_folds([(run, outcome(0, message=str(run.id))) for run in runs])
    store.record_scorings([(run, scored(run.id)) for run in runs])
    assert store.settled(keys) == {key_digest(one) for one in keys}
    entries = store.entries_for(list(zip(ids, keys, strict=True)))
    assert [entry.scoring.scores["auc"]["test"] for entry in entries] == [run.id for run in runs]
    assert [entry.folds[0].message for entry in entries] == [str(run.id) for run in runs]


def test_nothing_that_is_asked_for_by_key_reads_a_whole_table(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        requests = [request(n, store=store) for n in range(5)]
        runs = store.open_runs(requests)
        store.record_scorings([(run, scored()) for run in runs])
        with statements(store) as sent:
            store.add_submissions("higgsml", SUBMISSIONS)
            store.submissions([one.submission_id for one in requests])
            store.open_runs(requests)
            store.settled(KEYS)
            store.record_folds([(run, outcome(fold)) for run in runs for fold in range(3)])
            store.fold_outcomes(runs[0])
            store.latest_scoring(runs[0])
            store.entries_for([(one.submission_id, one.key) for one in requests])
        reading = [
            (statement, parameters) for statement, parameters in sent if statement.startswith("SELECT")
        ]
        assert len(reading) >= 10
        with store._database.engine.connect() as connection:
            for statement, parameters in reading:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                assert not [row for row in plan if "SCAN" in row[-1]], statement

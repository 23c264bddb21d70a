"""How far a command is, as numbers: each job is counted once; time left follows from the times of jobs."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.cli.tally import Tally, Totals, span

NAMES = ("a", "b", "c")
JOBS = [(fold, training) for training in range(2) for fold in range(2)]


def run(tally: Tally, name: str, fold: int, start: float, end: float, *, succeeded: bool = True) -> None:
    tally.job_started(name, (fold, 0), "", start)
    tally.job_done(name, (fold, 0), succeeded=succeeded, now=end)


def test_jobs_are_counted_from_their_start_to_the_verdict() -> None:
    tally = Tally()
    tally.begin({"a": 4, "b": 2})
    tally.taken_over("a", 1)
    tally.job_started("a", (1, 0), "", 0.0)
    tally.job_started("a", (2, 0), "", 0.0)
    tally.job_done("a", (1, 0), succeeded=False, now=1.0)
    expected = Totals(jobs=6, recorded=1, done=1, failed=1, running=1, submissions=2)
    assert tally.totals == expected
    assert expected.waiting == 3
    tally.job_done("a", (2, 0), succeeded=True, now=1.0)
    tally.job_dropped("a", (3, 0), 1.0)
    tally.submission_done("a", 1.0)
    tally.submission_done("b", 1.0)
    tally.submission_done("unknown", 1.0)
    assert tally.totals == Totals(
        jobs=6, recorded=1, done=2, failed=1, dropped=3, submissions=2, submissions_done=2
    )
    assert tally.totals.settled == 6


def test_counting_starts_anew_when_all_have_their_verdicts() -> None:
    tally = Tally()
    for _ in range(2):
        tally.begin({"a": 1})
        run(tally, "a", 0, 0.0, 1.0)
        tally.submission_done("a", 1.0)
    assert tally.totals.jobs == 1


@pytest.mark.parametrize("late", [False, True], ids=["at once", "after the next try has started"])
def test_a_failed_try_leaves_its_job_running_or_waiting_whichever_it_is(late: bool) -> None:
    tally = Tally()
    tally.begin({"a": 1})
    tally.job_started("a", (0, 0), "one", 0.0)
    if late:
        tally.job_started("a", (0, 0), "two", 5.0)
    tally.try_failed("a", (0, 0), 6.0)
    assert (tally.totals.running, tally.totals.waiting, tally.totals.failed_tries) == (late, not late, 1)
    rows, _ = tally.rows(8.0, 5)
    assert [(row.hosts, row.seconds, row.failed_tries) for row in rows] == (
        [(("two",), 3.0, 1)] if late else []
    )


def test_rows_are_what_runs_in_the_order_of_the_first_start() -> None:
    tally = Tally()
    tally.begin(dict.fromkeys("abcd", 4))
    for name, fold, host in [
        ("c", 0, "one"),
        ("a", 0, "one"),
        ("a", 1, "two"),
        ("a", 2, "one"),
        ("b", 0, ""),
    ]:
        tally.job_started(name, (fold, 0), host, 10.0 + fold)
    tally.events("a", 0, 3, 10)
    tally.events("a", 1, 4, 10)
    tally.job_done("a", (0, 0), succeeded=True, now=13.0)
    rows, more = tally.rows(14.0, 2)
    assert [(row.name, row.settled, row.total, row.running, row.hosts, row.events) for row in rows] == [
        ("c", 0, 4, 1, ("one",), None),
        ("a", 1, 4, 2, ("two", "one"), (4, 10)),
    ]
    assert (more, rows[1].seconds) == (1, 3.0)
    assert tally.rows(14.0, 0) == ([], 3)
    # Trained once more, the fold begins with its first event.
    tally.job_started("a", (0, 1), "one", 15.0)
    assert tally.rows(15.0, 2)[0][1].events == (4, 10)


def test_jobs_of_which_no_start_was_heard_leave_no_room_for_more_than_there_are() -> None:
    tally = Tally()
    tally.begin({"a": 2})
    tally.job_done("a", (0, 0), succeeded=True, now=0.0)
    for fold in (0, 1):
        tally.job_started("a", (fold, 0), "", 1.0)
    tally.job_dropped("a", (1, 0), 2.0)
    assert tally.totals == Totals(jobs=2, done=1, running=1, submissions=1)


def test_time_left_is_unknown_before_a_job_has_ended_and_nothing_after_the_last() -> None:
    tally = Tally()
    assert tally.seconds_left(0.0) == 0.0
    tally.begin({"a": 3})
    tally.taken_over("a", 1)
    assert tally.seconds_left(0.0) is None
    tally.job_started("a", (1, 0), "", 0.0)
    assert tally.seconds_left(1.0) is None
    tally.job_done("a", (1, 0), succeeded=True, now=2.0)
    assert tally.seconds_left(2.0) == pytest.approx(2.0)
    run(tally, "a", 2, 2.0, 4.0)
    assert tally.seconds_left(4.0) == 0.0


def test_time_left_is_the_work_left_over_the_slots_that_were_busy() -> None:
    """Four slots, jobs of 10 s, 400 of them: a thousand seconds, of which as many have passed as jobs say."""
    tally = Tally()
    tally.begin({str(number): 4 for number in range(100)})
    for number in range(50):
        for fold in range(4):
            tally.job_started(str(number), (fold, 0), "", 10.0 * number)
        for fold in range(4):
            tally.job_done(str(number), (fold, 0), succeeded=True, now=10.0 * number + 10.0)
        tally.submission_done(str(number), 10.0 * number + 10.0)
    assert tally.seconds_left(500.0) == pytest.approx(500.0, rel=0.01)
    for fold in range(4):
        tally.job_started("50", (fold, 0), "", 500.0)
    assert tally.seconds_left(507.0) == pytest.approx(493.0, rel=0.01)


def test_time_left_knows_slow_submissions_by_their_own_jobs() -> None:
    tally = Tally()
    tally.begin({"fast": 3, "slow": 3})
    run(tally, "fast", 0, 0.0, 1.0)
    run(tally, "slow", 0, 1.0, 100.0)
    # One slot: two jobs of a second and two of 99.
    assert tally.seconds_left(100.0) == pytest.approx(200.0)


def test_a_submission_that_failed_early_makes_less_of_the_others_expected() -> None:
    tally = Tally()
    tally.begin({"bad": 4, "next": 4})
    run(tally, "bad", 0, 0.0, 8.0, succeeded=False)
    tally.submission_done("bad", 8.0)
    assert tally.seconds_left(8.0) == pytest.approx(8.0)


def test_what_failed_on_record_tells_nothing_of_the_others() -> None:
    tally = Tally()
    tally.begin({"bad before": 9, "next": 1, "last": 3})
    tally.taken_over("bad before", 1)
    tally.submission_done("bad before", 0.0)
    run(tally, "next", 0, 0.0, 8.0)
    assert tally.seconds_left(8.0) == pytest.approx(24.0)


def test_time_left_is_unknown_again_when_nothing_runs_for_long() -> None:
    tally = Tally()
    tally.begin({"a": 2})
    run(tally, "a", 0, 0.0, 1.0)
    assert tally.seconds_left(30.0) is not None
    assert tally.seconds_left(1000.0) is None


def test_a_job_that_outlives_the_others_is_expected_to_go_on() -> None:
    tally = Tally()
    tally.begin({"a": 2})
    run(tally, "a", 0, 0.0, 10.0)
    tally.job_started("a", (1, 0), "", 10.0)
    assert tally.seconds_left(12.0) == pytest.approx(8.0)
    assert tally.seconds_left(90.0) == pytest.approx(70.0)


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "taken_over",
                "job_started",
                "try_failed",
                "job_done",
                "job_dropped",
                "events",
                "submission_done",
            ]
        ),
        st.sampled_from([*NAMES, "unknown"]),
        st.sampled_from(JOBS),
        st.booleans(),
    ),
    max_size=60,
)


@given(events=_EVENTS, steps=st.lists(st.floats(0, 100), min_size=60, max_size=60))
def test_whatever_is_heard_in_whatever_order_numbers_stay_numbers(
    events: list[tuple[str, str, tuple[int, int], bool]], steps: list[float]
) -> None:
    tally = Tally()
    tally.begin(dict.fromkeys(NAMES, len(JOBS)))
    now = 0.0
    for (event, name, job, flag), step in zip(events, steps, strict=False):
        now += step
        if event == "taken_over":
            tally.taken_over(name, 1 + flag)
        elif event == "job_started":
            tally.job_started(name, job, "host" if flag else "", now)
        elif event == "job_done":
            tally.job_done(name, job, succeeded=flag, now=now)
        elif event == "events":
            tally.events(name, job[0], 1, 2)
        elif event == "submission_done":
            tally.submission_done(name, now)
        else:
            getattr(tally, event)(name, job, now)
        totals = tally.totals
        assert min(*asdict(totals).values(), totals.waiting) >= 0
        assert totals.settled + totals.running <= totals.jobs == 12
        rows, more = tally.rows(now, 2)
        every, none = tally.rows(now, len(NAMES))
        assert (sum(row.running for row in every), none) == (totals.running, 0)
        assert len(rows) + more == len(every)
        left = tally.seconds_left(now)
        assert left is None or (math.isfinite(left) and left >= 0)
        assert left == 0 or totals.settled < totals.jobs
    for name in NAMES:
        tally.submission_done(name, now)
    assert (tally.totals.settled, tally.totals.running, tally.seconds_left(now)) == (12, 0, 0.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "?"),
        (0.0, "0 s"),
        (0.2, "1 s"),
        (59.0, "59 s"),
        (59.2, "1 min"),
        (3_570.0, "1 h 0 min"),
        (172_799.0, "2 days"),
    ],
)
def test_a_span_is_told_in_one_or_two_units(seconds: float | None, text: str) -> None:
    assert span(seconds) == text

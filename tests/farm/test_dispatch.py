"""Which job goes where, and what becomes of it when workers are lost."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hepchallenge.farm.dispatch import (
    LOST_ALONE,
    MOST_IN_PARCEL,
    MOST_TRIES,
    Answer,
    Dispatch,
    Key,
    Parcel,
)


def everything_wanted(key: Key) -> bool:
    return True


class AnyOrderOfEvents(RuleBasedStateMachine):
    """Workers come and go, jobs end, fail or come back, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.unwanted: set[str] = set()
        self.dispatch = Dispatch(lambda key: key[0] not in self.unwanted)
        self.slots: dict[str, int] = {}
        self.added: set[Key] = set()
        self.ended: Counter[Key] = Counter()
        self.out: dict[int, Parcel] = {}
        self.now = 0.0

    def hear(self) -> None:
        for news in self.dispatch.news():
            assert news.key in self.added
            if news.final:
                self.ended[news.key] += 1
            if news.unwanted:
                assert news.key[0] in self.unwanted

    @rule(submission=st.sampled_from("abcdef"), n=st.integers(1, 30))
    def add(self, submission: str, n: int) -> None:
        for number in range(n):
            key = (submission, len(self.added) * 100 + number)
            self.added.add(key)
            self.dispatch.add(key)

    @rule(node=st.sampled_from("xyz"), slots=st.integers(1, 3))
    def join(self, node: str, slots: int) -> None:
        name = f"worker {len(self.slots)}"
        self.slots[name] = slots
        self.dispatch.join(name, node, slots)

    @rule()
    def take(self) -> None:
        for parcel in self.dispatch.take():
            assert parcel.worker in self.dispatch.workers
            self.out[parcel.number] = parcel
        self.hear()

    @precondition(lambda self: self.out)
    @rule(data=st.data(), seconds=st.sampled_from([0.0, 0.01, 2.0]))
    def answer(self, data: st.DataObject, seconds: float) -> None:
        parcel = self.out.pop(data.draw(st.sampled_from(sorted(self.out))))
        answers = {key: data.draw(st.sampled_from(Answer)) for key in parcel.keys}
        self.dispatch.sent(parcel.number, self.now, 10)
        self.dispatch.answered(parcel.number, answers, self.now, seconds * len(parcel.keys))
        self.hear()

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def sent(self, data: st.DataObject) -> None:
        self.dispatch.sent(data.draw(st.sampled_from(sorted(self.out))), self.now, 10)

    @precondition(lambda self: self.dispatch.workers)
    @rule(data=st.data(), in_good_order=st.booleans())
    def lose(self, data: st.DataObject, in_good_order: bool) -> None:
        worker = data.draw(st.sampled_from(sorted(self.dispatch.workers)))
        self.out = {number: p for number, p in self.out.items() if p.worker != worker}
        self.dispatch.lost(worker, in_good_order)
        self.hear()

    @rule()
    def disconnect(self) -> None:
        self.out.clear()
        self.dispatch.disconnected()
        self.hear()

    @rule(submission=st.sampled_from("abcdef"))
    def want_no_more(self, submission: str) -> None:
        self.unwanted.add(submission)

    @invariant()
    def nothing_is_lost_and_no_worker_has_too_much(self) -> None:
        assert not [key for key, times in self.ended.items() if times > 1]
        assert len(self.dispatch) == len(self.added) - len(self.ended)
        travelling: list[Key] = []
        for worker in self.dispatch.workers:
            parcels = self.dispatch.parcels_on(worker)
            assert len(parcels) <= 2 * self.slots[worker]
            assert len(parcels) == 1 or not any(parcel.alone for parcel in parcels)
            for parcel in parcels:
                assert 1 <= len(parcel.keys) <= (1 if parcel.alone else MOST_IN_PARCEL)
                travelling += parcel.keys
        assert len(travelling) == len(set(travelling))

    def teardown(self) -> None:
        self.join("z", 1)
        for _ in range(10_000):
            if not len(self.dispatch):
                break
            self.take()
            for parcel in list(self.out.values()):
                del self.out[parcel.number]
                self.dispatch.answered(parcel.number, dict.fromkeys(parcel.keys, Answer.ENDED), self.now)
            self.hear()
        assert set(self.ended) == self.added
        assert set(self.ended.values()) <= {1}


TestAnyOrderOfEvents = AnyOrderOfEvents.TestCase
TestAnyOrderOfEvents.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def run_all(
    dispatch: Dispatch, killers: set[Key], random: Random, node_of: dict[str, str]
) -> tuple[dict[Key, str], int, Counter[Key]]:
    """Run everything; a killer ends its worker.

    Return the failure of every job, the number of workers lost, and how often each job ran to its end.
    """
    out: list[Parcel] = []
    running: list[Parcel] = []
    ends: dict[Key, str] = {}
    runs: Counter[Key] = Counter()
    n_lost = 0
    while len(dispatch):
        for parcel in dispatch.take():
            dispatch.sent(parcel.number, 0, 10)
            out.append(parcel)
        running += dispatch.begun()
        if running := [parcel for parcel in running if parcel in out]:
            parcel = random.choice(running)
            if killers & set(parcel.keys):
                n_lost += 1
                worker = parcel.worker
                dispatch.lost(worker)
                out = [p for p in out if p.worker != worker]
                # Its nanny starts another one under another name.
                name = f"{worker}'"
                node_of[name] = node_of.pop(worker)
                dispatch.join(name, node_of[name], 2)
            else:
                out.remove(parcel)
                runs.update(parcel.keys)
                dispatch.answered(parcel.number, dict.fromkeys(parcel.keys, Answer.ENDED), 0, 0.001)
        for news in dispatch.news():
            if news.final:
                assert news.key not in ends
                ends[news.key] = news.failure
    return ends, n_lost, runs


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 3), st.integers(1, 6), st.integers(1, 3), st.integers(0, 2**32))
def test_those_who_end_workers_are_stopped_and_the_others_run_once_to_their_end(
    n_innocent: int, n_killers: int, n_workers: int, n_nodes: int, seed: int
) -> None:
    random = Random(seed)
    dispatch = Dispatch(everything_wanted)
    node_of = {f"worker {number}": f"node {number % n_nodes}" for number in range(n_workers)}
    for worker, node in node_of.items():
        dispatch.join(worker, node, 2)
    names = [f"innocent {number}" for number in range(n_innocent)]
    names += [f"killer {number}" for number in range(n_killers)]
    random.shuffle(names)
    keys = [(name, job) for name in names for job in range(4)]
    for key in keys:
        dispatch.add(key)
    # A killer does so in one of its jobs, and is well-behaved in the others.
    killers = {(f"killer {number}", random.randrange(4)) for number in range(n_killers)}
    ends, n_lost, runs = run_all(dispatch, killers, random, node_of)
    assert set(ends) == set(keys)
    innocent = [key for key in keys if key[0].startswith("innocent")]
    assert all(ends[key] == "" and runs[key] == 1 for key in innocent)
    assert all("stopped" in ends[key] and f"on {LOST_ALONE} of them" in ends[key] for key in killers)
    assert n_lost <= 4 * n_killers


def test_short_jobs_travel_together_and_long_ones_alone() -> None:
    dispatch = Dispatch(everything_wanted)
    dispatch.join("w", "n", 1)
    for number in range(9000):
        dispatch.add(("s", number))
    sizes = []
    for _ in range(30):
        for parcel in dispatch.take():
            sizes.append(len(parcel.keys))
            dispatch.answered(
                parcel.number, dict.fromkeys(parcel.keys, Answer.ENDED), 0, 0.001 * len(parcel.keys)
            )
    assert sizes[0] == 1
    assert max(sizes) == MOST_IN_PARCEL
    first, second = dispatch.take()
    dispatch.answered(first.number, dict.fromkeys(first.keys, Answer.ENDED), 0, 100)
    assert dispatch.take() == []
    dispatch.answered(second.number, dict.fromkeys(second.keys, Answer.ENDED), 0, 60)
    assert [len(parcel.keys) for parcel in dispatch.take()] == [1]


def test_large_results_do_not_travel_together() -> None:
    dispatch = Dispatch(everything_wanted)
    dispatch.join("w", "n", 1)
    for number in range(500):
        dispatch.add(("s", number))
    sizes = []
    for _ in range(40):
        for parcel in dispatch.take():
            sizes.append(len(parcel.keys))
            answers = dict.fromkeys(parcel.keys, Answer.ENDED)
            dispatch.answered(parcel.number, answers, 0, 0.0, (8 << 20) * len(parcel.keys))
    assert max(sizes) == 4


def test_a_long_job_waits_for_a_free_slot_and_not_behind_another_one() -> None:
    dispatch = Dispatch(everything_wanted)
    dispatch.join("w", "n", 2)
    for number in range(9):
        dispatch.add(("s", number))
    assert len(dispatch.take()) == 2
    assert dispatch.take() == []


def test_what_only_waited_on_a_lost_worker_is_not_suspected() -> None:
    dispatch = Dispatch(everything_wanted)
    dispatch.join("w", "n", 1)
    for number in range(700):
        dispatch.add(("s", number))
    while len(dispatch.parcels_on("w")) < 2:
        for parcel in dispatch.take():
            dispatch.sent(parcel.number, 0, 10)
        if len(dispatch.parcels_on("w")) < 2:
            (parcel,) = dispatch.parcels_on("w")
            dispatch.answered(parcel.number, dict.fromkeys(parcel.keys, Answer.ENDED), 0)
    running, waiting = dispatch.parcels_on("w")
    dispatch.news()
    dispatch.lost("w")
    told = {news.key for news in dispatch.news()}
    assert told == set(running.keys)
    assert not told & set(waiting.keys)


def test_a_worker_that_leaves_in_good_order_makes_nobody_suspect() -> None:
    dispatch = Dispatch(everything_wanted)
    dispatch.add(("s", 0))
    for number in range(10):
        dispatch.join(f"w{number}", "n", 1)
        (parcel,) = dispatch.take()
        assert not parcel.alone
        dispatch.sent(parcel.number, 0, 10)
        dispatch.lost(f"w{number}", in_good_order=True)
    assert dispatch.news() == []


def test_what_a_host_fails_is_tried_on_other_nodes_and_not_for_ever() -> None:
    dispatch = Dispatch(everything_wanted)
    for name in "abc":
        dispatch.join(name, f"node {name}", 1)
    dispatch.add(("s", 0))
    nodes, finals = [], []
    while len(dispatch):
        (parcel,) = dispatch.take()
        nodes.append(parcel.worker)
        dispatch.answered(parcel.number, {("s", 0): Answer.FAILED}, 0)
        finals += [news.final for news in dispatch.news()]
    assert sorted(nodes) == ["a", "b", "c"]
    assert finals == [False] * (MOST_TRIES - 1) + [True]


def test_a_node_that_fails_everything_gets_no_more() -> None:
    dispatch = Dispatch(everything_wanted)
    dispatch.join("good", "x", 1)
    dispatch.join("bad", "y", 1)
    for number in range(200):
        dispatch.add(("s", number))
    at_bad = 0
    finals = []
    while len(dispatch):
        for parcel in dispatch.take():
            at_bad += len(parcel.keys) if parcel.worker == "bad" else 0
            answer = Answer.FAILED if parcel.worker == "bad" else Answer.ENDED
            dispatch.answered(parcel.number, dict.fromkeys(parcel.keys, answer), 0, 2.0)
        finals += [news for news in dispatch.news() if news.final]
    assert dispatch.sick_nodes == {"y"}
    assert at_bad < 20
    assert len(finals) == 200
    assert not any(news.failure for news in finals)


def test_a_parcel_may_take_so_long_from_when_it_begins() -> None:
    dispatch = Dispatch(everything_wanted)
    dispatch.join("w", "n", 1)
    dispatch.add(("s", 0))
    (first,) = dispatch.take()
    assert dispatch.overdue(1e9) == []
    dispatch.sent(first.number, 100, 10)
    assert dispatch.begun() == [first]
    assert dispatch.overdue(110) == []
    assert dispatch.overdue(110.1) == ["w"]


def test_an_answer_of_a_worker_that_was_given_up_changes_nothing() -> None:
    dispatch = Dispatch(everything_wanted)
    dispatch.join("w", "n", 1)
    dispatch.add(("s", 0))
    (parcel,) = dispatch.take()
    dispatch.lost("w")
    dispatch.answered(parcel.number, {("s", 0): Answer.ENDED}, 0)
    assert len(dispatch) == 1
    with pytest.raises(ValueError, match="is here already"):
        dispatch.add(("s", 0))

"""A node runs jobs as they are run at home, from nothing but what it was sent."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from event_kit import tracker, write_event_kit, write_tracker
from farm_jobs import bytes_of, job_of
from gated_kit import write_gated_kit, write_regressor
from small_kit import PROBLEM, classifier, write_kit, write_submission

from hepchallenge.contract import load_challenge
from hepchallenge.data.prepared import prepare_toy
from hepchallenge.exceptions import InfrastructureError
from hepchallenge.farm import node as node_module
from hepchallenge.farm.cache import shared_path
from hepchallenge.farm.node import BUSY, ERROR, MISSING, NO_SESSION, OK, Node
from hepchallenge.farm.wire import (
    EncodedJob,
    JobEncoder,
    Setup,
    decode_result,
    encode_parcel,
    encode_setup,
)
from hepchallenge.records import DataInfo, Limits, Verdict
from hepchallenge.run.accounting import choose_accounting
from hepchallenge.run.host import library_versions
from hepchallenge.run.isolation import choose_isolation
from hepchallenge.run.jobs import FoldJob, FoldResult
from hepchallenge.run.logs import read_live_log
from hepchallenge.run.runner import Runner
from hepchallenge.stage.stage import Staged, stage
from hepchallenge.stage.submission import take_in

LIMITS = Limits(
    fit_wall=100, fit_cpu=100, predict_wall=100, predict_cpu=100, memory_bytes=1 << 30, processes=64
)


def setup_of(encoder: JobEncoder, session: str = "one", **changes: Any) -> bytes:
    setup = Setup(
        session=session,
        name=encoder.name,
        challenge=encoder.challenge,
        builtin=encoder.builtin,
        isolation=choose_isolation(None).value,
        accounting=choose_accounting().value,
        limits=LIMITS.to_dict(),
        seed=0,
        test_mode=False,
        gpus=0,
        modules=[],
        cache_bytes=1 << 30,
        shared="",
        cores=None,
    )
    return encode_setup(msgspec.structs.replace(setup, **changes))


def send(node: Node, encoder: JobEncoder, digests: Any) -> None:
    for digest in digests:
        data = bytes_of(encoder, digest)
        assert node.put(digest, 0, len(data), data) == len(data)


def make_ready(node: Node, encoder: JobEncoder, **changes: Any) -> bytes:
    """Prepare a node as an organiser does."""
    answer = node.prepare(setup_of(encoder, **changes))
    if answer.startswith(MISSING):
        send(node, encoder, json.loads(answer.removeprefix(MISSING)))
        answer = node.prepare(setup_of(encoder, **changes))
    return answer


def run(node: Node, encoder: JobEncoder, job: FoldJob, session: str = "one") -> FoldResult:
    """Run one job on a node that has to be sent everything."""
    encoded = encoder.encode(job)
    carried = {digest: bytes_of(encoder, digest) for digest in encoded.needs}
    (answer,) = node.run_parcel(session, encode_parcel([encoded.spec]), carried)
    return encoder.receive(job, decode_result(answer))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path / "node", 1)
    yield made
    made.close()


@dataclass(frozen=True)
class Case:
    """A challenge with data, and a submission to it."""

    challenge: Any
    staged: Staged
    submission: Path

    def job(self, fold: int = 0, kept: dict[str, np.ndarray] | None = None) -> FoldJob:
        return job_of(self.challenge, self.staged, self.submission, fold, kept)

    def with_submission(self, source: Path, folder: Path) -> Case:
        return replace(self, submission=take_in(source, folder, (), False).folder)


def toy(name: str, kit: str, events: int, folder: Path) -> Case:
    challenge = load_challenge(name)
    make = challenge.problem.make_toy_data
    assert make is not None
    path = prepare_toy(name, make, seed=0, events=events)
    staged = stage(challenge, path, DataInfo(kind="toy", digest="0" * 64), folder / "inputs")
    source = next(source for source in challenge.kits if source.name == kit)
    return Case(challenge, staged, take_in(source, folder / "submissions", (), False).folder)


def own(kit: Path, submission: Path, folder: Path) -> Case:
    challenge = load_challenge(kit)
    staged = stage(challenge, kit, None, folder / "inputs", secret=b"secret")
    return Case(challenge, staged, take_in(submission, folder / "submissions", (), False).folder)


def case_called(name: str, folder: Path) -> Case:
    if name == "higgsml":
        return toy("higgsml", "sklearn_gradient_boosting", 600, folder)
    if name == "tracking2d":
        return toy("tracking2d", "nearest_hit", 20, folder)
    if name == "events":
        kit = write_event_kit(folder / "kit")
        return own(kit, kit / "submissions" / "honest", folder)
    kit = write_gated_kit(folder / "kit")
    write_regressor(folder / "regressor")
    return own(kit, folder / "regressor", folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("small")
    kit = write_kit(folder / "kit")
    return own(kit, kit / "submissions" / "good", folder)


@pytest.fixture(scope="module")
def encoder(small: Case) -> Iterator[JobEncoder]:
    with JobEncoder(small.challenge.folder) as made:
        yield made


@pytest.mark.parametrize("name", ["higgsml", "tracking2d", "events", "gated"])
def test_a_job_gives_on_a_node_what_it_gives_here(
    name: str, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEPCHALLENGE_CACHE", str(tmp_path / "cache"))
    case = case_called(name, tmp_path)
    last = len(case.staged.truth.folds) - 1
    here: dict[str, np.ndarray] = {}
    there: dict[str, np.ndarray] = {}
    with Runner(
        challenge_folder=case.challenge.folder,
        isolation=choose_isolation(None),
        accounting=choose_accounting(),
        limits=LIMITS,
        jobs=1,
        seed=0,
    ) as runner:
        expected = runner.run_fold(case.job(last, here))
    assert expected.verdict is Verdict.SCORED, expected.message
    with JobEncoder(case.challenge.folder) as encoder:
        assert make_ready(node, encoder) == OK
        result = run(node, encoder, case.job(last, there))
    assert result.verdict is Verdict.SCORED, result.message
    here |= expected.predictions
    there |= result.predictions
    assert here
    assert list(there) == list(here)
    for part, array in here.items():
        assert np.array_equal(array, there[part])
    assert list(result.event_seconds) == list(expected.event_seconds)
    assert [phase.phase for phase in result.phases] == ["fit", "predict"]
    assert result.host is not None
    assert result.peak_memory_bytes > 0


def test_what_is_missing_is_named_and_then_the_job_runs(node: Node, encoder: JobEncoder, small: Case) -> None:
    assert make_ready(node, encoder) == OK
    job = small.job()
    encoded = encoder.encode(job)
    parcel = encode_parcel([encoded.spec] * 2)
    first, *rest = encoded.needs
    send(node, encoder, [first])
    answers = node.run_parcel("one", parcel, {})
    assert [set(json.loads(answer.removeprefix(MISSING))) for answer in answers] == [set(rest)] * 2
    send(node, encoder, rest)
    answers = node.run_parcel("one", parcel, {})
    assert [decode_result(answer).verdict for answer in answers] == [Verdict.SCORED] * 2


def test_what_a_job_on_events_lacks_is_named_too(node: Node, tmp_path: Path) -> None:
    case = case_called("events", tmp_path)
    with JobEncoder(case.challenge.folder) as encoder:
        assert make_ready(node, encoder) == OK
        encoded = encoder.encode(case.job())
        lacking = encoded.needs[-1]
        send(node, encoder, encoded.needs[:-1])
        (answer,) = node.run_parcel("one", encode_parcel([encoded.spec]), {})
        assert json.loads(answer.removeprefix(MISSING)) == [lacking]


def test_a_node_serves_one_command_until_it_has_ended_or_is_known_to_be_gone(
    node: Node, encoder: JobEncoder, small: Case
) -> None:
    parcel = encode_parcel([encoder.encode(small.job()).spec])
    assert node.run_parcel("one", parcel, {}) == [NO_SESSION]
    assert make_ready(node, encoder) == OK
    assert make_ready(node, encoder, session="two") == BUSY + b"one"
    assert node.prepare(setup_of(encoder, session="two"), "zero") == BUSY + b"one"
    assert run(node, encoder, small.job()).verdict is Verdict.SCORED
    assert node.prepare(setup_of(encoder, session="two"), "one") == OK
    assert node.run_parcel("one", parcel, {}) == [NO_SESSION]
    assert run(node, encoder, small.job(), "two").verdict is Verdict.SCORED
    node.stop_session("one")
    assert run(node, encoder, small.job(), "two").verdict is Verdict.SCORED
    node.stop_session("two")
    assert node.run_parcel("two", parcel, {}) == [NO_SESSION]
    assert make_ready(node, encoder, session="three") == OK
    assert run(node, encoder, small.job(), "three").verdict is Verdict.SCORED


def test_stopping_a_command_ends_what_runs_as_nobodys_fault(
    node: Node, encoder: JobEncoder, small: Case, tmp_path: Path
) -> None:
    slow = write_submission(tmp_path / "slow", classifier(fit="print('began', flush=True)\ntime.sleep(60)"))
    job = small.with_submission(slow, tmp_path / "taken").job()
    assert make_ready(node, encoder) == OK
    results: list[FoldResult] = []
    thread = threading.Thread(target=lambda: results.append(run(node, encoder, job)))
    thread.start()
    session = node._session
    assert session is not None
    while not any(b"began" in read_live_log(log) for log in session._scratch.glob("*.log")):
        thread.join(0.01)
        assert thread.is_alive()
    node.stop_session("one")
    thread.join()
    assert results[0].verdict is Verdict.INFRASTRUCTURE
    assert node.run_parcel("one", encode_parcel([encoder.encode(job).spec]), {}) == [NO_SESSION]


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (classifier(predict="print('some words')\nraise ValueError('mine')"), Verdict.RUNTIME_ERROR),
        (classifier(predict="print('some words')\nreturn np.zeros(3)"), Verdict.INVALID_SUBMISSION),
        (classifier(predict="print('some words')\nreturn np.zeros((len(X), 2))"), Verdict.INVALID_SUBMISSION),
    ],
    ids=["raises", "too few rows", "refused by the class of predictions"],
)
def test_a_participants_fault_stays_one(
    node: Node, encoder: JobEncoder, small: Case, tmp_path: Path, code: str, verdict: Verdict
) -> None:
    assert make_ready(node, encoder) == OK
    bad = small.with_submission(write_submission(tmp_path / "bad", code), tmp_path / "taken")
    result = run(node, encoder, bad.job())
    assert result.verdict is verdict, result.message
    assert b"some words" in result.log
    assert not result.predictions


def test_an_event_that_is_predicted_wrongly_is_the_participants_fault(node: Node, tmp_path: Path) -> None:
    case = case_called("events", tmp_path)
    code = tracker(predict="if len(event) == 21:\n    return event[1:]")
    bad = case.with_submission(write_tracker(tmp_path / "bad", code), tmp_path / "taken")
    kept: dict[str, np.ndarray] = {}
    with JobEncoder(case.challenge.folder) as encoder:
        assert make_ready(node, encoder) == OK
        result = run(node, encoder, bad.job(kept=kept))
    assert result.verdict is Verdict.INVALID_SUBMISSION
    assert "test/1: expected 21 rows" in result.message
    assert not kept


def test_another_submission_than_was_meant_is_not_run(node: Node, encoder: JobEncoder, small: Case) -> None:
    assert make_ready(node, encoder) == OK
    encoded = encoder.encode(small.job())
    send(node, encoder, encoded.needs)
    wrong = msgspec.structs.replace(encoded.spec, submission_digest="0" * 64)
    for spec, words in (
        (wrong, "expected a submission of digest 000"),
        (msgspec.structs.replace(wrong, submission=encoded.spec.labels), "damaged or no archive"),
        (msgspec.structs.replace(encoded.spec, labels=encoded.spec.submission), "expected staged inputs"),
    ):
        (answer,) = node.run_parcel("one", encode_parcel([spec]), {})
        result = decode_result(answer)
        assert result.verdict is Verdict.INFRASTRUCTURE
        assert words in result.message
    assert not node._cache.has_tree(f"submission-{'0' * 64}")


def test_objects_that_were_damaged_on_their_way_are_no_reason_to_fail_a_participant(
    node: Node, encoder: JobEncoder, small: Case
) -> None:
    assert make_ready(node, encoder) == OK
    encoded = encoder.encode(small.job())
    answers = node.run_parcel("one", encode_parcel([encoded.spec] * 2), {encoded.spec.labels: b"other"})
    assert [decode_result(answer).verdict for answer in answers] == [Verdict.INFRASTRUCTURE] * 2
    with pytest.raises(InfrastructureError, match="damaged"):
        node.put(encoded.spec.labels, 0, 5, b"other")


def test_a_job_that_is_larger_than_the_cache_says_so_at_once(
    node: Node, encoder: JobEncoder, small: Case
) -> None:
    assert make_ready(node, encoder, cache_bytes=200_000) == OK
    spec = msgspec.structs.replace(encoder.encode(small.job()).spec, bytes=200_001)
    (answer,) = node.run_parcel("one", encode_parcel([spec]), {})
    assert "needs 200001 bytes" in decode_result(answer).message


def test_a_builtin_challenge_with_other_code_is_not_run(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JobEncoder(load_challenge("tracking2d").folder) as encoder:
        assert encoder.builtin
        answer = node.prepare(setup_of(encoder, challenge="0" * 64))
        assert answer.startswith(ERROR + b"the hepchallenge that is installed here")
        assert make_ready(node, encoder) == OK


def test_a_node_says_why_it_cannot_run_jobs(
    node: Node, encoder: JobEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert node.prepare(b"noise").startswith(ERROR)
    assert node.prepare(setup_of(encoder, isolation="vacuum")).startswith(ERROR)
    assert node.prepare(setup_of(encoder, name="../there")).startswith(ERROR + b"expected the name")
    send(node, encoder, [encoder.challenge])
    assert node.prepare(setup_of(encoder, limits={"fit_wall": -1})).startswith(ERROR)
    lacking = {"namespaces": "a rule", "landlock": "an old kernel", "none": ""}
    monkeypatch.setattr(node_module, "_lacking", lambda: lacking)
    assert node.prepare(setup_of(encoder, isolation="landlock")).endswith(
        b"not to be had here: an old kernel"
    )
    greeting = json.loads(node.greet())
    assert (greeting["isolation"], greeting["offers"]) == ("none", ["none"])


def test_code_that_does_not_load_is_told(node: Node, tmp_path: Path) -> None:
    kit = write_kit(tmp_path / "kit", PROBLEM + "\nraise SystemError('not here')\n")
    with JobEncoder(kit) as encoder:
        answer = make_ready(node, encoder)
    assert answer.startswith(ERROR)
    assert b"not here" in answer


def test_two_challenges_may_call_their_modules_the_same(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, cases = list(sys.path), []
    for size in (1, 2):
        problem = PROBLEM + "\nfrom of_this_kit import Predictions\n"
        kit = write_kit(tmp_path / f"kit {size}", problem)
        code = PROBLEM.partition("class workflow")[0].replace("ndim != 1", f"ndim != {size}")
        (kit / "external_imports").mkdir()
        (kit / "external_imports" / "of_this_kit.py").write_text(code)
        cases.append(own(kit, kit / "submissions" / "good", tmp_path / str(size)))
        # What the organiser imports, a node has in another process.
        del sys.modules["of_this_kit"]
        monkeypatch.setattr(sys, "path", list(before))
    for case, verdict in zip(cases, (Verdict.SCORED, Verdict.INVALID_SUBMISSION), strict=True):
        with JobEncoder(case.challenge.folder) as encoder:
            assert make_ready(node, encoder, session=encoder.challenge) == OK
            assert run(node, encoder, case.job(), encoder.challenge).verdict is verdict
            node.stop_session(encoder.challenge)


def test_a_node_tells_what_it_is(node: Node, tmp_path: Path) -> None:
    greeting = json.loads(node.greet())
    assert greeting["versions"] == library_versions()
    assert greeting["isolation"] == choose_isolation(None).value
    assert greeting["accounting"] == choose_accounting().value
    assert greeting["pid"] == os.getpid()
    assert greeting["slots"] == 1
    assert greeting["cores"] == len(os.sched_getaffinity(0))
    # Processes that share a cache are one node, others are not.
    assert json.loads(Node(tmp_path / "node", 2).greet())["node"] == greeting["node"]
    assert json.loads(Node(tmp_path / "other").greet())["node"] != greeting["node"]


def test_objects_come_from_a_shared_folder_if_they_are_whole(
    node: Node, encoder: JobEncoder, tmp_path: Path
) -> None:
    whole, damaged = encoder.challenge, "0" * 64
    for digest in (whole, damaged):
        file = shared_path(tmp_path / "shared", digest)
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes_of(encoder, whole))
    absent = "1" * 64
    assert node.fetch([whole, damaged, absent], str(tmp_path / "shared")) == [damaged, absent]
    assert node.prepare(setup_of(encoder)) == OK


def test_jobs_run_in_several_threads_at_once(tmp_path: Path, encoder: JobEncoder, small: Case) -> None:
    node = Node(tmp_path / "node", 2)
    results: list[FoldResult] = []
    try:
        assert make_ready(node, encoder) == OK
        jobs = [small.job(fold) for fold in range(3)]
        threads = [
            threading.Thread(target=lambda job=job: results.append(run(node, encoder, job))) for job in jobs
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        node.close()
    assert [result.verdict for result in results] == [Verdict.SCORED] * 3


def test_a_submission_finds_neither_the_cache_nor_what_others_sent(
    node: Node, encoder: JobEncoder, small: Case, tmp_path: Path
) -> None:
    if choose_isolation(None).value == "none":
        pytest.skip("this host offers no isolation")
    spy = classifier(
        fit=f"""
        for folder in ("objects", "trees", "incoming", "pins"):
            try:
                print("FOUND", os.listdir(os.path.join({str(tmp_path / "node")!r}, folder)), flush=True)
            except OSError:
                print("nothing", flush=True)
        """
    )
    assert make_ready(node, encoder) == OK
    assert run(node, encoder, small.job()).verdict is Verdict.SCORED
    job = small.with_submission(write_submission(tmp_path / "spy", spy), tmp_path / "taken").job()
    labels = encoder.encode(job).spec.labels
    result = run(node, encoder, job)
    assert result.verdict is Verdict.SCORED, result.message
    assert labels.encode() not in result.log
    assert result.log.count(b"nothing") >= 2


def test_the_functions_of_the_module_speak_to_one_node(
    tmp_path: Path, encoder: JobEncoder, small: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEPCHALLENGE_NODE_CACHE", str(tmp_path / "node"))
    monkeypatch.setattr(node_module, "_NODES", [])
    encoded: EncodedJob = encoder.encode(small.job())
    parcel = encode_parcel([encoded.spec])
    try:
        assert json.loads(node_module.greet())["slots"] == len(os.sched_getaffinity(0))
        assert node_module.fetch([encoder.challenge], str(tmp_path)) == [encoder.challenge]
        for digest in (encoder.challenge, *encoded.needs):
            data = bytes_of(encoder, digest)
            assert node_module.put(digest, 0, len(data), data[:10]) == 10
            assert node_module.put(digest, 10, len(data), data[10:]) == len(data)
        assert node_module.prepare(setup_of(encoder)) == OK
        (answer,) = node_module.run_parcel("one", parcel, {})
        assert decode_result(answer).verdict is Verdict.SCORED
        node_module.stop_session("one")
        assert node_module.run_parcel("one", parcel, {}) == [NO_SESSION]
    finally:
        for made in node_module._NODES:
            made.close()

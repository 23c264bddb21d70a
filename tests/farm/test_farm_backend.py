"""Jobs on the workers of a Dask cluster, as jobs of this host."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farm_processes import Farm, Process
from small_kit import GOOD, LIMITS, Bench, classifier, write_kit

from hepchallenge.bundle import write_bundle
from hepchallenge.exceptions import InfrastructureError, IsolationUnavailable, UsageError
from hepchallenge.farm.cache import shared_path
from hepchallenge.records import Verdict
from hepchallenge.run.accounting import choose_accounting
from hepchallenge.run.backend import DoneJob, QueuedJob
from hepchallenge.run.isolation import Isolation, choose_isolation
from hepchallenge.run.jobs import FoldJob, FoldResult
from hepchallenge.run.runner import Runner

pytest.importorskip("distributed")

from hepchallenge.farm import nodes
from hepchallenge.farm.backend import FarmBackend, FarmJobs
from hepchallenge.farm.cluster import FarmSettings
from hepchallenge.farm.wire import JobEncoder

BAD = classifier(fit="raise ValueError('no')")
SLOW = classifier(fit="time.sleep(1000)")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """A scheduler and two workers on one node."""
    with Farm(tmp_path_factory.mktemp("farm")) as cluster:
        cluster.start_scheduler()
        start_workers(cluster)
        yield cluster


def start_workers(cluster: Farm) -> list[Process]:
    number = len(cluster.processes)
    return [cluster.start_worker(f"worker {number + k}", node="node") for k in range(2)]


def replace_workers(cluster: Farm) -> None:
    """End all workers at once, and start two others."""
    workers = [process for process in cluster.processes if process.name.startswith("worker")]
    living = [process for process in workers if process.poll() is None]
    for process in living:
        process.kill()
    start_workers(cluster)


@dataclass
class Told:
    """What a backend tells."""

    remarks: list[str] = field(default_factory=list)
    starts: list[tuple[str, int]] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    when_started: Callable[[QueuedJob], None] = lambda job: None

    def heard(self, job: QueuedJob, host: str) -> None:
        self.starts.append(job.key)
        self.hosts.add(host)
        self.when_started(job)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A kit, and jobs of submissions to it."""
    kit = write_kit(tmp_path / "kit")
    return Bench(None, kit, tmp_path)  # type: ignore[arg-type] - nothing is run by it


@contextmanager
def open_farm(
    bench: Bench,
    cluster: Any,
    told: Told | None = None,
    isolation: Isolation | None = None,
    patience: float = 60,
    **settings: Any,
) -> Iterator[FarmBackend]:
    told = told or Told()
    backend = FarmBackend(
        FarmSettings(scheduler=cluster.address, patience=patience, **settings),
        FarmJobs(challenge_folder=bench.kit, limits=LIMITS, seed=0, isolation=isolation),
        heard=told.heard,
        say=told.remarks.append,
    )
    try:
        yield backend
    finally:
        backend.close()


def queued(name: str, job: FoldJob, numbers: Iterable[int], **changes: Any) -> Iterator[QueuedJob]:
    """Give jobs of one submission; each makes what it needs when its turn has come."""
    for number in numbers:
        own: dict[str, Any] = {
            "make": lambda number=number: replace(job, seed=number),
            "wanted": lambda: True,
        }
        yield QueuedJob(digest=name, number=number, label=name, **(own | changes))


def run_all(backend: FarmBackend, jobs: Iterator[QueuedJob]) -> tuple[list[DoneJob], list[DoneJob]]:
    """Return what ended, and the tries before."""
    done = [one for batch in backend.run(jobs) for one in batch]
    return [one for one in done if one.final], [one for one in done if not one.final]


def test_a_farm_gives_what_this_host_gives(cluster: Farm, bench: Bench) -> None:
    jobs = {"good": bench.job(GOOD), "bad": bench.job(BAD)}
    told = Told()
    with open_farm(bench, cluster, told) as backend:
        every = [one for name, job in jobs.items() for one in queued(name, job, range(3))]
        ended, tries = run_all(backend, iter(every))
        isolation, accounting = backend.isolation, backend.accounting
        again, _ = run_all(backend, queued("good", jobs["good"], [7]))
    assert (isolation, accounting) == (choose_isolation(None), choose_accounting())
    assert tries == []
    assert Counter(one.job.key for one in ended) == Counter(one.key for one in every)
    assert set(told.starts) == {one.key for one in every} | {("good", 7)}
    with Runner(
        challenge_folder=bench.kit,
        isolation=isolation,
        accounting=accounting,
        limits=LIMITS,
        jobs=1,
        seed=0,
    ) as runner:
        here = {name: runner.run_fold(job) for name, job in jobs.items()}
    for one in [*ended, *again]:
        result, expected = one.result, here[one.job.digest]
        assert result is not None
        assert (result.verdict, result.message) == (expected.verdict, expected.message)
        assert result.log == expected.log
        assert set(result.predictions) == set(expected.predictions)
        for part, array in expected.predictions.items():
            np.testing.assert_array_equal(result.predictions[part], array)
        assert result.host is not None
        assert {result.host.name} == told.hosts


def test_prediction_files_are_read_here_and_what_nobody_wants_is_not_run(cluster: Farm, bench: Bench) -> None:
    job, threads = bench.job(GOOD), []

    def read() -> FoldResult:
        threads.append(threading.current_thread())
        return FoldResult(verdict=Verdict.SCORED)

    def unwanted() -> Iterator[QueuedJob]:
        yield from queued("file", job, [0], here=read)
        yield from queued("code", job, [0], wanted=lambda: False)
        yield from queued("another file", job, [0], here=read, wanted=lambda: False)

    with open_farm(bench, cluster) as backend:
        ended, _ = run_all(backend, unwanted())
    results = {one.job.digest: one.result for one in ended}
    assert results == {"file": FoldResult(verdict=Verdict.SCORED), "code": None, "another file": None}
    assert len(threads) == 1


def in_thread(call: Callable[..., None], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=call, args=args)
    thread.start()
    return thread


def test_what_a_lost_worker_was_running_runs_again_and_nobody_is_blamed(cluster: Farm, bench: Bench) -> None:
    threads: list[threading.Thread] = []

    def end_once(job: QueuedJob) -> None:
        if not threads:
            threads.append(in_thread(replace_workers, cluster))

    told = Told(when_started=end_once)
    job = bench.job(classifier(fit="time.sleep(0.5)"))
    with open_farm(bench, cluster, told) as backend:
        ended, tries = run_all(backend, queued("good", job, range(6)))
    assert [one.result and one.result.verdict for one in ended] == [Verdict.SCORED] * 6
    assert tries
    assert {one.result and one.result.verdict for one in tries} == {Verdict.INFRASTRUCTURE}
    assert any("is lost" in remark for remark in told.remarks)


def test_a_submission_that_ends_its_workers_is_stopped_and_others_run_to_their_end(
    cluster: Farm, bench: Bench
) -> None:
    threads: list[threading.Thread] = []

    def end_them(job: QueuedJob) -> None:
        # The sandbox holds; so what a submission might do that breaks out is done for it.
        if job.digest == "killer" and not any(thread.is_alive() for thread in threads):
            threads.append(in_thread(replace_workers, cluster))

    told = Told(when_started=end_them)
    with open_farm(bench, cluster, told) as backend:
        killer, good = bench.job(SLOW), bench.job(GOOD)
        jobs = [*queued("killer", killer, range(2)), *queued("good", good, range(8))]
        ended, _ = run_all(backend, iter(jobs))
    results = {one.job.key: one.result for one in ended}
    assert len(results) == len(ended) == 10
    for (name, _), result in results.items():
        assert result is not None
        if name == "good":
            assert result.verdict is Verdict.SCORED
        else:
            assert result.verdict is Verdict.INFRASTRUCTURE
            assert "stopped" in result.message
            assert "nothing else was running" in result.message


def test_nodes_with_other_libraries_are_refused_with_what_differs(
    cluster: Farm, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hepchallenge.farm.backend.library_versions", lambda: {"numpy": "0.1"})
    told = Told()
    expected = r"no node can be used: it has .*numpy \S+ \(here 0\.1\)"
    with pytest.raises(InfrastructureError, match=expected), open_farm(bench, cluster, told, patience=0.5):
        pass
    (remark,) = [remark for remark in told.remarks if "numpy" in remark]
    assert "is not used" in remark


def test_nodes_that_protect_less_than_demanded_are_refused(
    cluster: Farm, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    greet = nodes.greet

    async def greet_without(link: Any, worker: str) -> nodes.Greeting:
        about = await greet(link, worker)
        return nodes.msgspec.structs.replace(about, offers=["none"])

    monkeypatch.setattr("hepchallenge.farm.backend.greet", greet_without)
    with (
        pytest.raises(IsolationUnavailable, match="does not offer isolation"),
        open_farm(bench, cluster, isolation=choose_isolation(None), patience=0.5),
    ):
        pass


def test_where_there_is_no_scheduler_patience_ends(bench: Bench) -> None:
    class Nowhere:
        address = "tcp://127.0.0.1:9"

    told = Told()
    with (
        pytest.raises(InfrastructureError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9"),
        open_farm(bench, Nowhere, told, patience=0.5),
    ):
        pass
    assert any("waiting for the scheduler" in remark for remark in told.remarks)


def test_an_address_that_is_none_is_wrong_usage(bench: Bench) -> None:
    class Nonsense:
        address = "ftp://somewhere"

    with pytest.raises(UsageError, match="ftp://somewhere"), open_farm(bench, Nonsense):
        pass


def test_workers_may_come_later(bench: Bench, tmp_path: Path) -> None:
    with Farm(tmp_path / "farm") as cluster:
        cluster.start_scheduler()
        with (
            pytest.raises(InfrastructureError, match="no worker at"),
            open_farm(bench, cluster, patience=0.2),
        ):
            pass

        class Remarks(list[str]):
            def append(self, remark: str) -> None:
                super().append(remark)
                if "waiting for workers" in remark:
                    start_workers(cluster)

        with open_farm(bench, cluster, Told(Remarks())) as backend:
            ended, _ = run_all(backend, queued("good", bench.job(GOOD), range(2)))
    assert [one.result and one.result.verdict for one in ended] == [Verdict.SCORED] * 2


def test_what_is_given_up_makes_room_for_the_next_command(cluster: Farm, bench: Bench) -> None:
    started = threading.Event()
    told = Told(when_started=lambda job: started.set() if job.digest == "slow" else None)
    with open_farm(bench, cluster, told) as backend:
        jobs = [*queued("good", bench.job(GOOD), [0]), *queued("slow", bench.job(SLOW), range(4))]
        batches = backend.run(iter(jobs))
        assert [one.job.digest for one in next(batches)] == ["good"]
        assert started.wait(60)
        batches.close()
    with open_farm(bench, cluster) as backend:
        ended, _ = run_all(backend, queued("good", bench.job(GOOD), range(2)))
    # With the message, since here it would tell what the first command has left behind.
    said = [(one.result.verdict, one.result.message) for one in ended if one.result is not None]
    assert said == [(Verdict.SCORED, "")] * 2


def test_no_more_jobs_are_taken_than_the_workers_have_use_for(cluster: Farm, bench: Bench) -> None:
    job = bench.job(GOOD)
    taken = 0

    def is_wanted() -> bool:
        return taken <= 40

    def many() -> Iterator[QueuedJob]:
        nonlocal taken
        for taken, one in enumerate(queued("good", job, range(1000), wanted=is_wanted), 1):  # noqa: B007
            yield one

    n_ended, most_open = 0, 0
    with open_farm(bench, cluster) as backend:
        for batch in backend.run(many()):
            most_open = max(most_open, taken - n_ended)
            n_ended += sum(one.final for one in batch)
    assert n_ended == taken == 1000
    # What runs on two workers, as much that waits there, and as much again here.
    assert most_open <= 2 * 3 * 64


def test_a_shared_folder_carries_what_any_submission_may_read_and_nothing_else(
    cluster: Farm, bench: Bench, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    # Too large to travel with a job.
    inputs = write_bundle(rng.normal(size=(40, 50_000)), tmp_path / "inputs")
    job = replace(bench.job(GOOD), train_inputs=inputs)
    shared = tmp_path / "shared"
    shared.mkdir()
    with open_farm(bench, cluster, shared=str(shared)) as backend:
        ended, _ = run_all(backend, queued("good", job, range(4)))
    assert [one.result and one.result.verdict for one in ended] == [Verdict.SCORED] * 4
    with JobEncoder(bench.kit) as encoder:
        spec = encoder.encode(job).spec
    assert spec.train_inputs is not None
    assert shared_path(shared, spec.train_inputs).read_bytes() == inputs.read_bytes()
    there = {path.name for path in shared.rglob("*") if path.is_file()}
    assert there <= {spec.train_inputs, spec.test_inputs, encoder.challenge}


def test_an_error_of_the_organiser_ends_the_command(cluster: Farm, bench: Bench) -> None:
    def fail() -> FoldJob:
        raise UsageError("cannot be made")

    with (
        open_farm(bench, cluster) as backend,
        pytest.raises(UsageError, match="cannot be made"),
    ):
        run_all(backend, queued("good", bench.job(GOOD), [0], make=fail))


def in_a_new_interpreter(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    ).stdout


def test_dask_is_imported_for_a_farm_only() -> None:
    code = "import sys, hepchallenge.cli, hepchallenge.pipeline, hepchallenge.run.local, hepchallenge.farm\n"
    code += "import hepchallenge.cli.score, hepchallenge.farm.cluster\n"
    assert in_a_new_interpreter(code + "print('distributed' in sys.modules)") == "False\n"


def test_where_dask_is_not_installed_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["distributed"] = None
try:
    import hepchallenge.farm.backend
except Exception as error:
    print(type(error).__name__, error)
"""
    said = in_a_new_interpreter(code)
    assert said.startswith("UsageError")
    assert "pip install 'hepchallenge[farm]'" in said

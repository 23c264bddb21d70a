"""The runner itself: faults of the host, the warm interpreter's life, the choice of levels."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_kit import LIMITS, PROBLEM, Bench, classifier, open_bench, write_kit

from hepchallenge.exceptions import IsolationUnavailable
from hepchallenge.records import Verdict
from hepchallenge.run import isolation
from hepchallenge.run.accounting import (
    Accounting,
    CgroupAccountant,
    SampledAccountant,
    choose_accounting,
)
from hepchallenge.run.isolation import Isolation
from hepchallenge.run.runner import core_slots


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_warm_interpreter_is_replaced(bench: Bench) -> None:
    assert bench.run(classifier()).verdict is Verdict.SCORED
    killed = bench.runner._zygote.pid
    os.kill(killed, signal.SIGKILL)
    _until(lambda: bench.runner._zygote.poll() is not None)
    result = bench.run(classifier())
    assert result.verdict is Verdict.SCORED, result.message
    assert bench.runner._zygote.pid != killed


def test_an_interpreter_that_dies_with_a_job_in_hand_is_the_hosts_fault_and_the_next_fold_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hepchallenge.run import runner

    send_fds = runner.socket.send_fds

    def send_after_killing(*args: Any) -> int:
        # Killed after it was seen alive, before it has read the job.
        bench.runner._zygote.kill()
        bench.runner._zygote.wait()
        return send_fds(*args)

    assert bench.run(classifier()).verdict is Verdict.SCORED
    with monkeypatch.context() as patch:
        patch.setattr(runner.socket, "send_fds", send_after_killing)
        assert bench.run(classifier()).verdict is Verdict.INFRASTRUCTURE
    assert bench.run(classifier()).verdict is Verdict.SCORED


def test_a_running_fold_outlives_the_warm_interpreter(bench: Bench) -> None:
    results: list[Any] = []
    code = classifier(fit="print('begun'); time.sleep(1)")
    thread = threading.Thread(target=lambda: results.append(bench.run(code)))
    thread.start()
    _until(lambda: any(b"begun" in watch.log.content() for watch in list(bench.runner._running)))
    os.kill(bench.runner._zygote.pid, signal.SIGKILL)
    thread.join()
    assert results[0].verdict is Verdict.SCORED, results[0].message


def test_folds_that_run_when_the_runner_is_closed_are_nobodys_fault(tmp_path: Path) -> None:
    results: list[Any] = []
    with open_bench(tmp_path, Isolation.NONE) as bench:
        code = classifier(fit="print('begun'); time.sleep(90)")
        thread = threading.Thread(target=lambda: results.append(bench.run(code)))
        thread.start()
        _until(lambda: any(b"begun" in watch.log.content() for watch in list(bench.runner._running)))
    thread.join()
    assert results[0].verdict is Verdict.INFRASTRUCTURE
    assert bench.run(classifier()).verdict is Verdict.INFRASTRUCTURE


@pytest.mark.parametrize("level", list(Isolation))
def test_a_challenge_that_cannot_be_imported_is_no_fault_of_a_submission(
    tmp_path: Path, need: Any, level: Isolation
) -> None:
    (tmp_path / "broken").mkdir()
    kit = write_kit(tmp_path / "broken" / "kit", PROBLEM + "\nprint('said')\nraise ValueError('my fault')\n")
    with open_bench(tmp_path, need(level)) as bench:
        bench.runner._folder = kit
        os.kill(bench.runner._zygote.pid, signal.SIGKILL)
        bench.runner._zygote.wait()
        bench.runner._heard = True
        for _ in range(2):
            result = bench.run(classifier())
            assert result.verdict is Verdict.INFRASTRUCTURE
            assert "my fault" in result.message


def test_a_sandbox_that_cannot_be_furnished_is_the_hosts_fault(
    contained: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = contained.runner._container(contained.job(classifier()))
    assert plan is not None
    plan["steps"] = [["/not/there", "show"]]
    monkeypatch.setattr(contained.runner, "_container", lambda job: plan)
    result = contained.run(classifier())
    assert (result.verdict, "sandbox" in result.message) == (Verdict.INFRASTRUCTURE, True)


def test_limits_that_can_no_longer_be_watched_end_the_fold_as_the_hosts_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hepchallenge.run import runner

    class Broken(SampledAccountant):
        reads = 0

        def read(self) -> Any:
            self.reads += 1
            if 3 < self.reads < 6:
                raise OSError("gone")
            return super().read()

    monkeypatch.setattr(runner, "new_accountant", lambda *_: Broken())
    result = bench.run(classifier(fit="time.sleep(90)"))
    assert (result.verdict, "gone" in result.message) == (Verdict.INFRASTRUCTURE, True)


def test_a_mistake_of_the_runner_is_a_verdict_of_one_fold_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hepchallenge.run import conversation

    with monkeypatch.context() as patch:
        patch.setattr(conversation, "check_prediction", lambda *_: 1 / 0)
        result = bench.run(classifier())
        assert (result.verdict, "ZeroDivisionError" in result.message) == (Verdict.INFRASTRUCTURE, True)
    assert bench.run(classifier()).verdict is Verdict.SCORED


def test_a_demanded_level_that_the_host_lacks_is_an_error_and_never_a_weaker_level(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolation, "probe", lambda level: "not today" if level != "none" else "")
    for level in ("namespaces", "landlock"):
        with pytest.raises(IsolationUnavailable, match="not today") as caught:
            isolation.choose_isolation(level)
        assert caught.value.exit_code == 3
    assert isolation.choose_isolation(None) is Isolation.NONE
    monkeypatch.setattr(isolation, "probe", lambda level: "not today" if level == "namespaces" else "")
    assert isolation.choose_isolation(None) is Isolation.LANDLOCK


def test_nothing_is_left_on_disk_or_running_after_a_runner(tmp_path: Path, need: Any) -> None:
    with open_bench(tmp_path, Isolation.NONE) as bench:
        scratch, pid = bench.runner._scratch, bench.runner._zygote.pid
        assert bench.run(classifier(fit="Path('kept').touch()")).verdict is Verdict.SCORED
        assert not list(scratch.rglob("kept"))
    assert not scratch.exists()
    assert not os.path.exists(f"/proc/{pid}")


def test_relative_paths_and_links_work(tmp_path: Path, need: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real ö").mkdir()
    (tmp_path / "link").symlink_to("real ö")
    monkeypatch.chdir(tmp_path)
    for level in Isolation:
        if isolation.probe(level):
            continue
        with open_bench(Path("link") / level, level) as bench:
            result = bench.run(classifier(fit="print(Path(__file__).exists())"))
            assert (result.verdict, result.log) == (Verdict.SCORED, b"True\n"), result.message


def test_an_import_path_with_a_strangers_folder_as_current_folder_is_not_followed(tmp_path: Path) -> None:
    kit = write_kit(tmp_path / "kit")
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "gzip.py").write_text("raise SystemExit('a stranger was imported')")
    code = (
        "import sys; sys.path.insert(0, ''); sys.path.insert(0, sys.argv[2])\n"
        "from hepchallenge.run.runner import _import_path; print(_import_path())"
    )
    words = [sys.executable, "-P", "-c", code, str(kit), str(stranger)]
    shown = subprocess.run(words, cwd=stranger, capture_output=True, text=True, check=True).stdout
    assert str(stranger) not in shown
    assert "''" not in shown


@pytest.mark.parametrize("accounting", list(Accounting))
def test_cpu_of_a_fold_and_its_children_is_counted(tmp_path: Path, need: Any, accounting: Accounting) -> None:
    if accounting is Accounting.CGROUP and choose_accounting() is not Accounting.CGROUP:
        pytest.skip("this host offers no cgroup to count in")
    burn = """
        def burn():
            start = time.process_time()
            while time.process_time() - start < 0.4:
                pass
        if not os.fork():
            burn()
            os._exit(0)
        burn()
        os.wait()
    """
    with open_bench(tmp_path, Isolation.NONE, accounting) as bench:
        result = bench.run(classifier(fit=burn))
        assert result.verdict is Verdict.SCORED, result.message
        # Two burns of 0.4 s, less the ticks that /proc counts in.
        assert 0.75 < result.phases[0].cpu_seconds < 2
        assert result.phases[1].cpu_seconds < 0.4


def test_cores_are_shared_out_and_each_belongs_to_one_slot() -> None:
    assert core_slots(2, [0, 1, 2, 3, 4]) == [(0, 1, 2), (3, 4)]
    assert core_slots(3, [7, 9]) == [(7, 9)] * 3


def test_predictions_of_a_limited_fold_are_not_returned(bench: Bench) -> None:
    code = classifier(predict="if len(X) == 23: raise ValueError")
    result = bench.run(code, replace(LIMITS))
    assert (result.verdict, result.predictions) == (Verdict.RUNTIME_ERROR, {})


def test_cgroups_that_a_killed_runner_left_are_removed_and_those_of_a_living_one_kept() -> None:
    from hepchallenge.run import accounting

    if choose_accounting() is not Accounting.CGROUP:
        pytest.skip("this host offers no cgroup to count in")
    parent = accounting._parent_cgroup()
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1, check=True)
    folder = Path(parent.subsystems[parent.MEMORY])
    left = folder / f"{accounting._own_prefix()}{int(ended.stdout)}_left"
    used = folder / f"{accounting._own_prefix()}{os.getpid()}_used"
    # The number of a process in another container, which cannot be seen from here.
    unseen = folder / f"{accounting._PREFIX}1_{int(ended.stdout)}_unseen"
    for path in (left, used, unseen):
        path.mkdir()
    try:
        accounting._sweep(parent)
        assert (left.exists(), used.exists(), unseen.exists()) == (False, True, True)
    finally:
        for path in (left, used, unseen):
            if path.exists():
                path.rmdir()


def test_a_cgroup_that_somebody_took_away_ends_a_fold_all_the_same() -> None:
    if choose_accounting() is not Accounting.CGROUP:
        pytest.skip("this host offers no cgroup to count in")
    accountant = CgroupAccountant(LIMITS)
    for path in set(accountant._cgroup.subsystems.values()):
        Path(path).rmdir()
    closing = threading.Thread(target=accountant.close, daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()


def test_what_a_killed_runner_left_is_removed_but_not_what_one_in_another_container_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hepchallenge.run import runner

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1, check=True)
    own, pid = runner.pid_namespace(), int(ended.stdout)
    # A runner in another container has the number of a process that does not exist here.
    monkeypatch.setattr(os, "getpid", lambda: pid)
    monkeypatch.setattr(runner, "pid_namespace", lambda: 1)
    used, lock = runner._new_scratch()
    monkeypatch.setattr(runner, "pid_namespace", lambda: own)
    killed, old, fresh = (
        tmp_path / f"{runner._SCRATCH_PREFIX}{numbers}-{pid}-{name}"
        for numbers, name in ((own, "a"), (1, "b"), (1, "c"))
    )
    for folder in (killed, old, fresh):
        folder.mkdir()
    (killed / "file").touch()
    for folder in (old, used):
        os.utime(folder, (0, 0))
    try:
        runner._sweep_scratch()
        assert [folder.exists() for folder in (killed, old, fresh, used)] == [False, False, True, True]
    finally:
        os.close(lock)
    runner._sweep_scratch()
    assert [folder.exists() for folder in (fresh, used)] == [True, False]

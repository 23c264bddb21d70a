"""Leases of cores: nobody else's while they are exclusive, and told as shared when they were."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from levels import need
from small_kit import classifier, open_bench

from hepchallenge.exceptions import InfrastructureError
from hepchallenge.records import Verdict
from hepchallenge.run import cores
from hepchallenge.run.cores import CoreLease, check_folder, lease_cores
from hepchallenge.run.isolation import Isolation

HOLD = """
import sys
from pathlib import Path
from hepchallenge.run.cores import lease_cores
lease = lease_cores(int(sys.argv[2]), [0, 1, 2, 3], Path(sys.argv[1]))
print(lease.cores, lease.exclusive, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cores"


@pytest.fixture
def own_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the runner leases; else other commands on this host would have a say."""
    monkeypatch.setattr(cores, "core_folder", lambda: folder)
    return folder


@pytest.fixture
def other(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has two of four cores."""
    words = [sys.executable, "-c", HOLD, str(folder), "2"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "(0, 1) True\n"
            yield process
        finally:
            process.kill()


def test_free_cores_are_leased_exclusively_and_no_core_twice(folder: Path) -> None:
    first, second = (lease_cores(2, [0, 1, 2, 3, 4], folder) for _ in range(2))
    assert (first.cores, second.cores) == ((0, 1), (2, 3))
    assert first.exclusive
    assert second.exclusive


def test_cores_that_are_given_back_are_free_and_leave_no_trace_that_grows(folder: Path) -> None:
    for lease in [lease_cores(2, [0, 1], folder) for _ in range(3)]:
        lease.close()
    assert (folder / "0.shared").stat().st_size == 2
    assert lease_cores(2, [0, 1], folder).exclusive
    assert (folder / "0.shared").stat().st_size == 0


def test_who_finds_too_few_free_cores_shares_and_so_do_those_who_have_them(folder: Path) -> None:
    first, second = lease_cores(2, [0, 1], folder), lease_cores(2, [0, 1], folder)
    assert second.cores == (0, 1)
    assert not first.exclusive
    assert not second.exclusive


def test_a_lease_that_was_shared_and_is_not_any_more_tells_it(folder: Path) -> None:
    first = lease_cores(1, [0], folder)
    mark = first.mark()
    assert first.undisturbed_since(mark)
    lease_cores(1, [0], folder).close()
    assert first.exclusive
    assert not first.undisturbed_since(mark)
    assert first.undisturbed_since(first.mark())


def test_what_was_shared_at_first_never_counts_as_undisturbed(folder: Path) -> None:
    first, second = lease_cores(1, [0], folder), lease_cores(1, [0], folder)
    mark = first.mark()
    second.close()
    assert first.exclusive
    assert not first.undisturbed_since(mark)


def test_shared_cores_become_exclusive_when_the_others_have_gone(folder: Path) -> None:
    first, second, third = (lease_cores(1, [0], folder) for _ in range(3))
    first.close()
    assert not second.exclusive
    third.close()
    assert second.exclusive
    assert not lease_cores(1, [0], folder).exclusive


def test_shared_cores_are_spread(folder: Path) -> None:
    leases = [lease_cores(1, [0, 1], folder) for _ in range(6)]
    assert sorted(lease.cores for lease in leases) == [(0,)] * 3 + [(1,)] * 3


def test_free_cores_stay_free_for_others_when_not_all_that_were_wanted_are(folder: Path) -> None:
    first = lease_cores(1, [0], folder)
    assert lease_cores(2, [0, 1, 2], folder).cores == (1, 2)
    assert first.exclusive


def test_another_process_is_seen_and_a_killed_one_forgotten(
    folder: Path, other: subprocess.Popen[str]
) -> None:
    lease = lease_cores(2, [0, 1, 2, 3], folder)
    assert (lease.cores, lease.exclusive) == ((2, 3), True)
    too_many = lease_cores(1, [0, 1, 2, 3], folder)
    assert not too_many.exclusive
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert lease_cores(1, [0, 1], folder).exclusive


def test_who_is_stopped_while_it_leases_does_not_stop_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "_MOST_WAITING", 0.01)
    lease_cores(1, [0], folder).close()
    descriptor = os.open(folder / "leasing", os.O_RDWR)
    assert cores._try_lock(descriptor)
    assert lease_cores(1, [0], folder).exclusive
    os.close(descriptor)


def test_removed_files_make_no_lease_exclusive(folder: Path) -> None:
    lease = lease_cores(1, [0], folder)
    (folder / "0.own").unlink()
    assert not lease.exclusive


@pytest.mark.parametrize("how", ["link", "open to others", "a file"])
def test_a_folder_that_is_not_the_users_alone_is_not_used(folder: Path, tmp_path: Path, how: str) -> None:
    if how == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    elif how == "a file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod(0o777)
    lease = lease_cores(2, [4, 5, 6], folder)
    assert lease.cores == (4, 5)
    assert not lease.exclusive
    lease.close()
    with pytest.raises(InfrastructureError, match="cores cannot be leased"):
        check_folder(folder)


def test_looking_whether_cores_can_be_leased_makes_nothing(folder: Path) -> None:
    check_folder(folder)
    assert not folder.exists()
    lease_cores(1, [0], folder).close()
    check_folder(folder)


def test_a_link_in_place_of_a_file_is_not_followed(folder: Path, tmp_path: Path) -> None:
    lease_cores(1, [1], folder).close()
    (folder / "0.shared").symlink_to(tmp_path / "planted")
    assert not lease_cores(1, [0], folder).exclusive
    assert not (tmp_path / "planted").exists()


@given(
    moves=st.lists(st.tuples(st.booleans(), st.integers(1, 5), st.integers(0, 9)), max_size=12),
    n_cores=st.integers(1, 4),
)
def test_no_core_is_exclusive_to_one_lease_and_in_another(
    moves: list[tuple[bool, int, int]], n_cores: int
) -> None:
    leases: list[CoreLease] = []
    with tempfile.TemporaryDirectory() as parent:
        for opens, wanted, which in moves:
            if opens or not leases:
                leases.append(lease_cores(wanted, range(n_cores), Path(parent, "cores")))
                assert len(leases[-1].cores) == min(wanted, n_cores)
            else:
                leases.pop(which % len(leases)).close()
            for lease in leases:
                others = {core for other in leases if other is not lease for core in other.cores}
                assert lease.exclusive == others.isdisjoint(lease.cores)
        for lease in leases:
            lease.close()


def test_threads_that_ask_at_once_get_the_same_answer(folder: Path) -> None:
    lease = lease_cores(2, [0, 1], folder)
    said: list[bool] = []

    def ask() -> None:
        said.extend(lease.exclusive for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [True] * 200


def test_a_fold_tells_its_host_and_that_its_cores_were_its_own(tmp_path: Path, own_folder: Path) -> None:
    assert own_folder.parent == tmp_path
    usable = len(os.sched_getaffinity(0))
    with open_bench(tmp_path, need(Isolation.NONE)) as bench:
        result = bench.run(classifier())
        assert result.verdict is Verdict.SCORED
        assert result.host.cores == usable
        assert result.host.exclusive
        assert 0 < result.host.reference_seconds < 1
        first = result.host.reference_seconds
        lease = lease_cores(1, sorted(os.sched_getaffinity(0)))
        assert not bench.runner.has_own_cores
        assert not bench.run(classifier()).host.exclusive
        lease.close()
        again = bench.run(classifier()).host
        assert again.exclusive
        assert again.reference_seconds == first


def test_another_run_that_comes_and_goes_while_a_fold_runs_is_told(tmp_path: Path, own_folder: Path) -> None:
    with open_bench(tmp_path, need(Isolation.NONE)) as bench:
        going = tmp_path / "going"
        name = repr(str(going))
        waits = f"open({name}, 'w').close()\nimport time\nwhile os.path.exists({name}): time.sleep(.01)"
        results = []
        thread = threading.Thread(target=lambda: results.append(bench.run(classifier(fit=waits))))
        thread.start()
        while not going.exists() and thread.is_alive():
            thread.join(0.01)
        lease_cores(1, sorted(os.sched_getaffinity(0)), own_folder).close()
        going.unlink()
        thread.join()
        assert results[0].verdict is Verdict.SCORED, results[0].message
        assert not results[0].host.exclusive


@pytest.mark.usefixtures("own_folder")
def test_folds_that_share_cores_with_each_other_say_so(tmp_path: Path) -> None:
    with open_bench(tmp_path, need(Isolation.NONE), cores=1, jobs=2) as bench:
        assert not bench.runner.has_own_cores
        host = bench.run(classifier()).host
    assert (host.cores, host.exclusive) == (1, False)


def test_cores_that_folds_cannot_use_are_left_to_others(tmp_path: Path, own_folder: Path) -> None:
    with open_bench(tmp_path, need(Isolation.NONE), cores=1):
        first, *rest = sorted(os.sched_getaffinity(0))
        assert not lease_cores(1, [first], own_folder).exclusive
        assert all(lease_cores(1, [core], own_folder).exclusive for core in rest)


def test_libraries_in_a_fold_use_as_many_threads_as_it_has_cores(tmp_path: Path, own_folder: Path) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    code = classifier(fit="raise ValueError('threads: ' + os.environ['OMP_NUM_THREADS'])")
    with open_bench(tmp_path, Isolation.NONE, cores=1) as bench:
        assert "threads: 1" in bench.run(code).message

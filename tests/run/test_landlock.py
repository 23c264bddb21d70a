"""What a submission meets at isolation `landlock`, where it shares everything with the host but rights."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import ordinary
import pytest
from small_kit import LIMITS, Bench, classifier, open_bench, refused, said

from hepchallenge.records import Verdict
from hepchallenge.run import landlock
from hepchallenge.run.isolation import Isolation

Need = Callable[[Isolation], Isolation]


@pytest.fixture(scope="module")
def outside(landlocked: Bench) -> Path:
    """A file beside the submission that its user, who runs this test too, may do everything with."""
    file = landlocked.folder / "outside" / "labels.csv"
    file.parent.mkdir()
    file.write_text("labels")
    return file


FILES = {
    "reading": "open({file!r}).read()",
    "writing": "open({file!r}, 'r+')",
    "emptying": "open({file!r}, 'w')",
    "emptying by path": "os.truncate({file!r}, 0)",
    "emptying while reading": "os.open({file!r}, os.O_RDONLY | os.O_TRUNC)",
    "emptying while doing neither": "os.open({file!r}, 3 | os.O_TRUNC)",
    "removing": "os.remove({file!r})",
    "renaming": "os.rename({file!r}, 'mine')",
    "a hard link": "os.link({file!r}, 'mine')",
    "a symbolic link": "os.symlink({file!r}, 'mine') or open('mine').read()",
    "another door to an unreadable descriptor": (
        "open('/proc/self/fd/%d' % os.open({file!r}, os.O_PATH)).read()"
    ),
    "listing its folder": "os.listdir(os.path.dirname({file!r}))",
    "a new file beside it": "open({file!r} + '.new', 'x')",
    "mode": "os.chmod({file!r}, 0)",
    "mode by descriptor": "os.fchmod(os.open('.', os.O_RDONLY), 0)",
    "owner": "os.chown({file!r}, os.getuid(), os.getgid())",
    "date": "os.utime({file!r}, (1, 1))",
    "attribute": "os.setxattr({file!r}, 'user.mine', b'1')",
    "executing": "subprocess.run([{file!r}])",
    "watching its folder": "call('inotify_init')",
}


@pytest.mark.parametrize("action", FILES.values(), ids=FILES)
def test_a_file_of_the_same_user_is_out_of_reach(landlocked: Bench, outside: Path, action: str) -> None:
    mode = outside.stat().st_mode
    assert refused(landlocked, action.format(file=str(outside)))
    assert (outside.read_text(), outside.stat().st_mode) == ("labels", mode)
    assert os.listdir(outside.parent) == ["labels.csv"]


def test_the_kit_and_the_scratch_folders_of_others_cannot_be_opened(landlocked: Bench) -> None:
    bench = landlocked
    places = [bench.kit / "data" / "test.csv", bench.kit / "submissions" / "good" / "classifier.py"]
    places += [bench.kit, bench.kit / "data", bench.runner._scratch, bench.folder, Path("/"), Path("/tmp")]
    places += [Path("/etc/passwd"), Path("/dev/shm"), Path("/proc"), Path("/sys")]
    assert said(bench, f"[p for p in {[*map(str, places)]!r} if readable(p)]") == ["done", []]
    assert said(bench, f"readable({str(bench.kit / 'problem.py')!r})") == ["done", True]
    assert refused(bench, f"open({str(bench.kit / 'problem.py')!r}, 'r+')")
    assert said(bench, "readable(os.path.dirname(__file__)) and readable(__file__)") == ["done", True]


def test_libraries_and_the_submission_are_not_copied_to_where_they_could_be_written(
    landlocked: Bench,
) -> None:
    assert refused(landlocked, "os.link(__file__, 'mine') or open('mine', 'r+')")
    assert refused(landlocked, "os.link(np.__file__, 'mine') or open('mine', 'r+')")


def test_processes_of_the_runner_cannot_be_looked_into(landlocked: Bench) -> None:
    zygote = landlocked.runner._zygote.pid
    names = ["mem", "environ", "maps", "cmdline", "status", "fd", "task", "net/unix", "root/etc", "cwd/."]
    pids = f"{{'runner': {os.getpid()}, 'zygote': {zygote}, 'init': os.getppid(), 'init 2': 1}}"
    found = f"[(who, n) for who, p in {pids}.items() for n in {names!r} if readable(f'/proc/{{p}}/{{n}}')]"
    assert said(landlocked, found) == ["done", []]
    for link in ("exe", "cwd", "root", "fd/0"):
        for pid in (os.getpid(), zygote):
            assert refused(landlocked, f"os.readlink('/proc/{pid}/{link}')")
    for pid in (os.getpid(), zygote, "os.getppid()"):
        assert refused(landlocked, f"call('ptrace', 16, {pid}, 0, 0)")
        assert refused(landlocked, f"call('syscall', 438, os.pidfd_open({pid}), 0, 0)")


def test_own_proc_files_are_readable_but_not_those_about_the_host(landlocked: Bench) -> None:
    names = ["maps", "status", "fd", "stat", "environ", "smaps_rollup"]
    assert said(landlocked, f"all(readable(f'/proc/self/{{n}}') for n in {names!r})") == ["done", True]
    host = ["net/tcp", "net/unix", "mountinfo", "mounts", "cgroup", "root", "cwd/.."]
    assert said(landlocked, f"[n for n in {host!r} if readable(f'/proc/self/{{n}}')]") == ["done", []]
    assert refused(landlocked, "open('/proc/self/oom_score_adj', 'w').write('1000')")


def test_a_runners_memory_is_hidden_while_it_runs_and_not_afterwards(tmp_path: Path, need: Need) -> None:
    def dumpable() -> int:
        return int(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))

    before = dumpable()
    with open_bench(tmp_path / "a", need(Isolation.LANDLOCK)) as first:
        with open_bench(tmp_path / "b", Isolation.LANDLOCK):
            assert dumpable() == 0
        assert dumpable() == 0
        assert first.run(classifier()).verdict is Verdict.SCORED
        zygote = first.runner._zygote.pid
        assert Path(f"/proc/{zygote}/environ").stat().st_uid == 0
    assert dumpable() == before


ON_OTHERS = {
    "asking": "os.kill({pid}, 0)",
    "signal": "os.kill({pid}, signal.SIGCONT)",
    "signal by descriptor": "signal.pidfd_send_signal(os.pidfd_open({pid}), signal.SIGCONT)",
    "queued signal": "call('sigqueue', {pid}, int(signal.SIGCONT), None)",
    "signal to a thread": "call('syscall', 200 if os.uname().machine == 'x86_64' else 130, {pid}, 18)",
    "limits": "__import__('resource').prlimit({pid}, 7)",
    "priority": "os.setpriority(os.PRIO_PROCESS, {pid}, 19)",
    "priority of all of a user": "os.setpriority(os.PRIO_USER, 0, 19)",
    "scheduler": "os.sched_setscheduler({pid}, os.SCHED_IDLE, os.sched_param(0))",
    "cores": "os.sched_setaffinity({pid}, {{0}})",
    "own cores": "os.sched_setaffinity(0, os.sched_getaffinity(0))",
}


@pytest.mark.parametrize("abi", [1, 3, 5, 7])
def test_nothing_can_be_done_to_processes_outside(
    tmp_path: Path, need: Need, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, abi: int
) -> None:
    need(Isolation.LANDLOCK)
    if landlock.abi_version() < abi:
        pytest.skip(f"Landlock's version is {landlock.abi_version()}")
    monkeypatch.setattr(landlock, "abi_version", lambda: abi)
    sleeper = subprocess.Popen(["sleep", "90"])
    request.addfinalizer(sleeper.wait)
    request.addfinalizer(sleeper.kill)
    with open_bench(tmp_path, Isolation.LANDLOCK) as bench:
        file = tmp_path / "outside"
        file.write_text("labels")
        actions = [action.format(pid=sleeper.pid) for action in ON_OTHERS.values()]
        actions = actions[abi < 6 :]  # An older Landlock cannot stop asking.
        actions += [FILES[name].format(file=str(file)) for name in FILES]
        together = ", ".join(f"outcome(lambda: {action})[0]" for action in actions)
        word, outcomes = said(bench, f"[{together}]")
        assert sleeper.poll() is None
        assert word == "done"
        assert [a for a, outcome in zip(actions, outcomes, strict=True) if outcome != "refused"] == []
        assert file.read_text() == "labels"
        # Itself and, where they can be told from strangers, its children.
        assert said(bench, "signal.raise_signal(signal.SIGCHLD) or os.kill(os.getpid(), 18)")[0] == "done"
        child = "(lambda p: (p.terminate(), p.wait()))(subprocess.Popen(['sleep', '90']))"
        if abi >= 6:
            assert said(bench, child) == ["done", [None, -15]]


def test_a_signal_to_all_processes_reaches_its_own_only(landlocked: Bench) -> None:
    got: list[int] = []
    # One that nobody minds who does not ask for it.
    before = signal.signal(signal.SIGWINCH, lambda number, _: got.append(number))
    try:
        assert said(landlocked, "os.kill(-1, signal.SIGWINCH)") == ["done", None]
        assert got == []
    finally:
        signal.signal(signal.SIGWINCH, before)


def test_servers_can_be_reached_by_no_kind_of_socket(landlocked: Bench) -> None:
    path = landlocked.folder / "socket"
    datagrams = landlocked.folder / "datagrams"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        server.bind(str(path))
        server.listen()
        other.bind(str(datagrams))
        other.setblocking(False)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        families = "('AF_UNIX', 'AF_INET', 'AF_INET6', 'AF_NETLINK', 'AF_PACKET', 'AF_VSOCK', 'AF_ALG')"
        opened = f"[f for f in {families} if outcome(lambda: socket.socket(getattr(socket, f)))[0] == 'done']"
        assert said(landlocked, opened) == ["done", []]
        pair = "(pair := socket.socketpair(socket.AF_UNIX, socket.{}))[0]"
        for kind in ("SOCK_STREAM", "SOCK_SEQPACKET"):
            assert said(landlocked, f"{pair.format(kind)}.send(b'1')") == ["done", 1]
            assert refused(landlocked, f"{pair.format(kind)}.connect({str(path)!r})")
            assert refused(landlocked, f"{pair.format(kind)}.bind('mine')")
            seen = f"{pair.format(kind)}.sendmsg([b'1'], [], 0, {str(datagrams)!r})"
            said(landlocked, seen)
        assert refused(landlocked, f"{pair.format('SOCK_DGRAM')}.sendto(b'1', {str(datagrams)!r})")
        with pytest.raises(BlockingIOError):
            other.recv(1)


OUTLIVING = {
    "shared memory": "call('shmget', 4711, 4096, 0o1666)",
    "semaphores": "call('semget', 4711, 1, 0o1666)",
    "messages": "call('msgget', 4711, 0o1666)",
    "a queue": "call('mq_open', b'/mine', 0o102, 0o600, None)",
    "a name in /dev/shm": "call('shm_open', b'/mine', 0o102, 0o600)",
    "a file in /tmp": "open('/tmp/left by a submission', 'x')",
    "a file in /var/tmp": "open('/var/tmp/left by a submission', 'x')",
}


@pytest.mark.parametrize("action", OUTLIVING.values(), ids=OUTLIVING)
def test_nothing_can_be_made_that_outlives_a_fold(landlocked: Bench, action: str) -> None:
    assert refused(landlocked, action)


def test_the_working_folder_is_a_folder_like_others(landlocked: Bench) -> None:
    work = """(
        os.makedirs('a/b'), Path('a/b/f').write_text('x'), os.rename('a/b/f', 'a/g'), os.link('a/g', 'h'),
        os.symlink('h', 's'), Path('s').read_text(), os.mkfifo('p'), os.truncate('h', 0), os.remove('h'),
        __import__('shutil').rmtree('a'), __import__('tempfile').TemporaryFile().write(b'1'),
        open('/dev/null', 'wb').write(b'1'), len(os.urandom(3)), os.environ['USER'],
        os.path.samefile(os.path.expanduser('~'), '.'),
        subprocess.run('echo $((1+1))', shell=True, stdout=-1).stdout,
    )[-2:]"""
    assert said(landlocked, work.replace("\n", " ")) == ["done", [True, "b'2\\n'"]]


@pytest.mark.parametrize("warm", [(), ("joblib", "sklearn.ensemble")], ids=["cold", "warm"])
def test_libraries_work(tmp_path: Path, need: Need, warm: tuple[str, ...]) -> None:
    code = classifier(
        top="""
        import joblib, multiprocessing, pandas as pd, sklearn.ensemble, threading
        from concurrent.futures import ThreadPoolExecutor
        from sklearn.model_selection import cross_val_score

        def _send(pipe):
            pipe.send(os.getpid())
        """,
        fit="""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(300, 4)); y = X[:, 0] > 0
        forest = sklearn.ensemble.RandomForestClassifier(8, n_jobs=2, random_state=0)
        assert cross_val_score(forest, X, y, cv=2, n_jobs=2).mean() > 0.9
        assert sklearn.ensemble.HistGradientBoostingClassifier(max_iter=5).fit(X, y).score(X, y) > 0.9
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(-i) for i in range(4)) == [0, 1, 2, 3]
        assert list(ThreadPoolExecutor(2).map(abs, [-1, -2])) == [1, 2]
        assert np.linalg.svd(X)[1].size == 4
        here, there = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=_send, args=(there,))
        child.start()
        assert here.recv() == child.pid
        child.join()
        pd.DataFrame(X).to_csv("table.csv"); assert len(pd.read_csv("table.csv")) == 300
        joblib.dump(forest, "model"); joblib.load("model")
        try:
            import xgboost
        except ImportError:
            pass
        else:
            assert xgboost.XGBClassifier(n_estimators=3, n_jobs=2).fit(X, y).score(X, y) > 0.9
        """,
    )
    with open_bench(tmp_path, need(Isolation.LANDLOCK), warm_modules=warm) as bench:
        result = bench.run(code)
    assert result.verdict is Verdict.SCORED, result.message
    # Nor is anything complained about.
    assert result.log == b""


def test_a_fold_does_not_see_what_another_writes_at_the_same_time(landlocked: Bench) -> None:
    folder = said(landlocked, "os.getcwd()")[1]
    parent = str(Path(folder).parent)
    (Path(parent) / "beside").mkdir()
    (Path(parent) / "beside" / "kept").write_text("x")
    assert refused(landlocked, f"os.listdir({parent!r})")
    assert refused(landlocked, f"open('{parent}/beside/kept').read()")
    assert not Path(folder).exists()


def test_a_path_in_which_something_is_hidden_is_taken_apart(tmp_path: Path) -> None:
    root = str(tmp_path.resolve())
    for name in ("a/b/c/d", "a/e/f", "x"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a" / "file").touch()
    (tmp_path / "a" / "link").symlink_to("../x")

    def readable(shown: list[str], hidden: list[str]) -> set[str]:
        plan = landlock.plan_landlock([f"{root}/{p}" for p in shown], [f"{root}/{p}" for p in hidden])
        assert plan.abi == landlock.abi_version()
        return {path.removeprefix(f"{root}/") for path in plan.readable}

    assert readable(["a"], []) == {"a"}
    assert readable(["a"], ["a/b/c"]) == {"a/e", "a/file"}
    assert readable(["a", "a/b/c/d"], ["a/b/c"]) == {"a/e", "a/file", "a/b/c/d"}
    assert readable(["a"], ["a"]) == set()
    assert readable(["a/b"], ["a", "x"]) == {"a/b"}
    assert readable(["gone", "x"], ["gone"]) == {"x"}


def test_modules_beside_something_hidden_can_still_be_imported(
    tmp_path: Path, need: Need, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_module.py").write_text("answer = 42")
    monkeypatch.syspath_prepend(str(tmp_path))
    landlock.container.interpreter_paths.cache_clear()
    try:
        with open_bench(tmp_path / "bench", need(Isolation.LANDLOCK)) as bench:
            assert said(bench, "__import__('late_module').answer") == ["done", 42]
            assert refused(bench, f"os.listdir({str(tmp_path)!r})")
    finally:
        landlock.container.interpreter_paths.cache_clear()


def test_a_warm_interpreter_lists_its_import_path_before_its_forks_cannot(tmp_path: Path) -> None:
    (tmp_path / "late_module.py").touch()
    code = (
        "import sys; from hepchallenge.run.zygote import _become_landlocked; sys.path.append(sys.argv[1])\n"
        "_become_landlocked(); print(sys.path_importer_cache[sys.argv[1]]._path_cache)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout == "{'late_module.py'}\n", done.stderr


def test_processes_of_an_ordinary_user_are_limited_by_the_kernel(tmp_path: Path, need: Need) -> None:
    need(Isolation.LANDLOCK)
    if not os.getuid():
        pytest.skip("for root the kernel has no limit of processes; the next test runs this as somebody else")
    with open_bench(tmp_path, Isolation.LANDLOCK) as bench:
        limits = said(bench, "__import__('resource').getrlimit(__import__('resource').RLIMIT_NPROC)")[1]
    allowed = 2 * LIMITS.processes + 64
    assert limits[0] == limits[1]
    # What this user runs besides counts, too.
    assert allowed < limits[0] < allowed + 1000


def test_the_walls_stand_for_an_ordinary_user_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    if reason := ordinary.why_not():
        pytest.skip(reason)
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, ordinary.USER, ordinary.USER)
        words = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-rs",
            "-p",
            "no:cacheprovider",
            f"--basetemp={folder}/t",
        ]
        here = Path(__file__).parent
        files = [str(here / f"test_{name}.py") for name in ("landlock", "walls")]
        home = {"HOME": folder, "TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}
        tests = ["-k", "not ordinary_user_too", *files]
        done = ordinary.run_as_user([*words, *tests], here.parents[1], home)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    # A test that skips itself as root.
    assert "has no limit of processes" not in done.stdout

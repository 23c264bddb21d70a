"""Limits, and every way in which a fold can end that is not an answer."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from small_kit import LIMITS, Bench, classifier, open_bench

from hepchallenge.records import Verdict
from hepchallenge.run import watch
from hepchallenge.run.accounting import Accounting, choose_accounting
from hepchallenge.run.isolation import Isolation

BURN = "while True: pass"


def test_a_good_submission_is_scored_with_predictions_for_all_rows(bench: Bench) -> None:
    result = bench.run(classifier())
    assert result.verdict is Verdict.SCORED, result.message
    assert {part: len(array) for part, array in result.predictions.items()} == {"train": 40, "test": 23}
    assert [phase.phase for phase in result.phases] == ["fit", "predict"]


@pytest.mark.parametrize(
    ("phase", "limit"),
    [("fit", {"fit_wall": 0.5}), ("predict", {"predict_wall": 0.5})],
    ids=["fit", "predict"],
)
def test_sleeping_past_the_wall_limit_of_a_phase_ends_the_fold(bench: Bench, phase: str, limit: dict) -> None:
    result = bench.run(classifier(**{phase: "time.sleep(90)"}), replace(LIMITS, **limit))
    assert (result.verdict, result.message.split()[0]) == (Verdict.WALL_LIMIT, phase)
    assert result.predictions == {}


def test_time_spent_in_fit_is_not_charged_to_predict(bench: Bench) -> None:
    result = bench.run(classifier(fit="time.sleep(1.5)"), replace(LIMITS, predict_wall=1.4))
    assert result.verdict is Verdict.SCORED, result.message


@pytest.mark.parametrize(
    ("phase", "limit"), [("fit", {"fit_cpu": 0.3}), ("predict", {"predict_cpu": 0.3})], ids=["fit", "predict"]
)
def test_a_busy_loop_ends_at_the_cpu_limit_of_its_phase(bench: Bench, phase: str, limit: dict) -> None:
    result = bench.run(classifier(**{phase: BURN}), replace(LIMITS, **limit))
    assert (result.verdict, result.message.split()[0]) == (Verdict.CPU_LIMIT, phase)
    assert result.cpu_seconds > 0.3


def test_an_excess_that_a_busy_host_sees_only_at_the_wall_limit_is_still_the_reason(
    contained: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_SAMPLE_SECONDS", 1000)
    result = contained.run(classifier(fit=BURN), replace(LIMITS, fit_cpu=0.05, fit_wall=1.5))
    assert result.verdict is Verdict.CPU_LIMIT, result.message


def test_cpu_of_forked_children_counts_though_nobody_waits_for_them(bench: Bench) -> None:
    code = classifier(fit="[os.fork() for _ in range(2)]\n" + BURN)
    assert bench.run(code, replace(LIMITS, fit_cpu=0.5)).verdict is Verdict.CPU_LIMIT


@pytest.mark.parametrize("isolation", list(Isolation))
@pytest.mark.parametrize("accounting", list(Accounting))
def test_memory_past_its_limit_ends_the_fold_however_it_is_counted(
    tmp_path, need, isolation: Isolation, accounting: Accounting
) -> None:
    if accounting is Accounting.CGROUP and choose_accounting() is not Accounting.CGROUP:
        pytest.skip("this host offers no cgroup to count in")
    greedy = "self.held = np.ones(300 << 17)\ntime.sleep(90)"
    # PR_SET_DUMPABLE 0: nobody but root may look into the process.
    hiding = "import ctypes\nctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n" + greedy
    with open_bench(tmp_path, need(isolation), accounting) as bench:
        small = replace(LIMITS, memory_bytes=200 << 20)
        for code in (greedy, hiding):
            result = bench.run(classifier(fit=code), small)
            assert result.verdict is Verdict.MEMORY_LIMIT, result.message
        assert bench.run(classifier(), small).verdict is Verdict.SCORED


def test_reserving_memory_without_touching_it_is_allowed(bench: Bench) -> None:
    assert bench.run(classifier(fit="self.reserved = np.empty(8 << 27)")).verdict is Verdict.SCORED


def test_a_fork_bomb_ends_at_the_process_limit(bench: Bench) -> None:
    bomb = """
        while True:
            try:
                if not os.fork():
                    time.sleep(90)
                    os._exit(0)
            except OSError:
                time.sleep(0.1)
    """
    result = bench.run(classifier(fit=bomb), replace(LIMITS, processes=20))
    assert result.verdict is Verdict.PROCESS_LIMIT


def test_threads_count_as_processes(bench: Bench) -> None:
    many = """
        import threading
        for _ in range(30):
            threading.Thread(target=time.sleep, args=(90,)).start()
        time.sleep(90)
    """
    assert bench.run(classifier(fit=many), replace(LIMITS, processes=20)).verdict is Verdict.PROCESS_LIMIT


def test_a_huge_prediction_is_refused_before_it_is_read(bench: Bench) -> None:
    result = bench.run(classifier(predict="return np.zeros((len(X), 1 << 16))"))
    assert result.verdict is Verdict.OUTPUT_LIMIT
    assert "at most 4194304" in result.message


def test_a_file_larger_than_the_scratch_limit_cannot_be_written(bench: Bench) -> None:
    write = "Path('big').write_bytes(bytes({} << 20))"
    small = replace(LIMITS, output_bytes=1, scratch_bytes=4 << 20)
    result = bench.run(classifier(fit=write.format(5)), small)
    assert result.verdict is Verdict.RUNTIME_ERROR
    assert "OSError" in result.message
    assert "see `scratch` among the challenge's limits" in result.message
    roomy = replace(LIMITS, output_bytes=1 << 10, scratch_bytes=8 << 20)
    assert bench.run(classifier(fit=write.format(5)), roomy).verdict is Verdict.SCORED


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (
            "for n in range(9): Path(str(n)).write_bytes(os.urandom(1 << 20))",
            "to its scratch folder; 4 MiB are",
        ),
        ("os.chmod(tempfile.mkdtemp(), 0) if os.getuid() else nest()", "that cannot be looked into"),
        (
            "held = [tempfile.TemporaryFile() for _ in range(9)]\n"
            "for file in held: file.write(os.urandom(1 << 20)), file.flush()",
            "to its scratch folder; 4 MiB are",
        ),
    ],
    ids=["many files", "out of sight", "files without names"],
)
def test_a_scratch_folder_on_a_disk_is_watched(tmp_path, need, fill: str, words: str) -> None:
    top = """
        import tempfile
        def nest():
            for _ in range(30):
                os.mkdir("d" * 200)
                os.chdir("d" * 200)
    """
    with open_bench(tmp_path, need(Isolation.NONE)) as bench:
        result = bench.run(classifier(fit=f"{fill}\ntime.sleep(90)", top=top))
        assert (result.verdict, words in result.message) == (Verdict.OUTPUT_LIMIT, True), result.message
        assert not list(bench.runner._scratch.glob("tmp*")), "a scratch folder was left behind"


@pytest.mark.skipif(os.getuid() == 0, reason="nothing can be hidden from root")
def test_open_files_cannot_be_hidden_where_scratch_is_a_disk(tmp_path, need) -> None:
    hide = "import ctypes\nctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\ntime.sleep(90)"
    with open_bench(tmp_path, need(Isolation.NONE)) as bench:
        result = bench.run(classifier(fit=hide))
        assert (result.verdict, "forbade to look" in result.message) == (Verdict.OUTPUT_LIMIT, True)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/sysvipc is Linux's")
@pytest.mark.parametrize("level", [level for level in Isolation if level is not Isolation.NONE])
def test_no_ipc_object_survives_a_fold(tmp_path, need, level: Isolation) -> None:
    make = """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        made = [libc.shmget(MARK, 4096, 0o1666), libc.semget(MARK, 1, 0o1666), libc.msgget(MARK, 0o1666)]
        made.append(ctypes.CDLL("librt.so.1").mq_open(b"/hepchallenge-%d" % MARK, 0o102, 0o666, None))
        try:
            made.append(os.open("/dev/shm/hepchallenge-%d" % MARK, os.O_RDWR | os.O_CREAT))
        except OSError:
            made.append(-1)
        print("made", made, flush=True)
    """
    mark = 0x48455000 + os.getpid() % 4096
    with open_bench(tmp_path, need(level)) as bench:
        result = bench.run(classifier(fit=make, top=f"MARK = {mark}"))
        assert result.verdict is Verdict.SCORED, result.message
        # What a level does not forbid it must take away.
        assert b"made" in result.log
    for kind in ("shm", "sem", "msg"):
        keys = [line.split()[0] for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]]
        assert str(mark) not in keys, f"a SysV {kind} is left"
    queue = ctypes.CDLL("librt.so.1").mq_open(b"/hepchallenge-%d" % mark, os.O_RDONLY)
    assert queue == -1, "a message queue is left"
    assert not Path(f"/dev/shm/hepchallenge-{mark}").exists()


ENDS = {
    "stopping itself": ("os.kill(os.getpid(), signal.SIGSTOP)", Verdict.WALL_LIMIT, "fit took more"),
    "ignoring SIGTERM": (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(90)",
        Verdict.WALL_LIMIT,
        "fit took more",
    ),
    "sys.exit(0)": ("sys.exit(0)", Verdict.RUNTIME_ERROR, "SystemExit: 0"),
    "os._exit(0)": ("os._exit(0)", Verdict.RUNTIME_ERROR, "ended early with exit code 0"),
    "the code of a failed sandbox": ("os._exit(250)", Verdict.RUNTIME_ERROR, "exit code 250"),
    "segfault": ("os.kill(os.getpid(), signal.SIGSEGV)", Verdict.RUNTIME_ERROR, "signal SIGSEGV"),
    "killing itself": ("os.kill(os.getpid(), signal.SIGKILL)", Verdict.RUNTIME_ERROR, "signal SIGKILL"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", Verdict.RUNTIME_ERROR, "KeyboardInterrupt"),
    "closing all descriptors": (
        "os.closerange(0, 100)\ntime.sleep(90)",
        Verdict.RUNTIME_ERROR,
        "channel was closed",
    ),
    "its own error": (
        "raise ValueError('mine \\x1b[31m')",
        Verdict.RUNTIME_ERROR,
        "ValueError: mine \ufffd[31m",
    ),
}


@pytest.mark.parametrize(("code", "verdict", "words"), ENDS.values(), ids=ENDS)
def test_no_way_to_end_passes_for_an_answer(bench: Bench, code: str, verdict: Verdict, words: str) -> None:
    wall = 0.5 if verdict is Verdict.WALL_LIMIT else 60
    result = bench.run(classifier(fit=code), replace(LIMITS, fit_wall=wall))
    assert (result.verdict, words in result.message) == (verdict, True), result.message


CHANNEL = """
import socket, struct
for f in range(3, 64):
    if os.path.islink(f'/proc/self/fd/{f}') and os.readlink(f'/proc/self/fd/{f}').startswith('socket'):
        channel = socket.socket(fileno=os.dup(f))
"""

FORGERIES = {
    "garbage": ("channel.sendall(b'x' * 4096)", Verdict.INVALID_SUBMISSION),
    "an endless stream": (
        "channel.sendall(struct.pack('<4sIIQ', b'HCF1', 18, 2, 1 << 50) + b'{}')\n"
        "while True: channel.sendall(bytes(1 << 16))",
        Verdict.OUTPUT_LIMIT,
    ),
    "a prediction too early": (
        'head = b\'{"dtype": "<f8", "shape": [1]}\'\n'
        "channel.sendall(struct.pack('<4sIIQ', b'HCF1', 18, len(head), 8) + head + bytes(8))",
        Verdict.INVALID_SUBMISSION,
    ),
    "half a frame": ("channel.sendall(b'HCF1')\ntime.sleep(90)", Verdict.WALL_LIMIT),
    "a header of lists": (
        "channel.sendall(struct.pack('<4sIIQ', b'HCF1', 17, 60000, 0) + b'[' * 60000)",
        Verdict.INVALID_SUBMISSION,
    ),
}


@pytest.mark.parametrize(("code", "verdict"), FORGERIES.values(), ids=FORGERIES)
def test_forged_frames_are_verdicts_and_no_faults_of_the_host(
    bench: Bench, code: str, verdict: Verdict
) -> None:
    wall = 1.0 if verdict is Verdict.WALL_LIMIT else 60
    result = bench.run(classifier(fit=CHANNEL + code), replace(LIMITS, fit_wall=wall))
    assert result.verdict is verdict, result.message


BAD_ARRAYS = {
    "text that is not Unicode": ("{'dtype': '<U1', 'shape': [len(X)]}", "b'\\xff' * 4 * len(X)"),
    "an impossible shape": ("{'dtype': '<f8', 'shape': [0, 1 << 39, 1 << 39]}", "b''"),
    "fewer bytes than announced": ("{'dtype': '<f8', 'shape': [len(X)]}", "bytes(8)"),
    "objects": ("{'dtype': '|O', 'shape': [len(X)]}", "bytes(8) * len(X)"),
    "columns that the challenge has not": ("{'dtype': '<f8', 'shape': [len(X), 1]}", "bytes(8) * len(X)"),
}


@pytest.mark.parametrize(("header", "body"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_a_forged_prediction_is_an_invalid_submission(bench: Bench, header: str, body: str) -> None:
    forge = f"""
        import json
        head, body = json.dumps({header}).encode(), {body}
        channel.sendall(struct.pack('<4sIIQ', b'HCF1', 18, len(head), len(body)) + head + body)
        time.sleep(90)
    """
    job = bench.job(classifier(predict=forge, top=CHANNEL))
    problem: dict = {}
    exec((bench.kit / "problem.py").read_text(), problem)
    result = bench.runner.run_fold(replace(job, predictions_class=problem["Predictions"]))
    assert result.verdict is Verdict.INVALID_SUBMISSION, result.message
    assert result.predictions == {}


def test_of_a_flood_of_output_head_and_tail_are_kept(bench: Bench) -> None:
    flood = "os.write(1, b'first\\xff\\x00')\nos.write(2, bytes(8 << 20))\nos.write(1, b'last')"
    result = bench.run(classifier(predict=flood))
    assert result.verdict is Verdict.SCORED, result.message
    assert result.log.startswith(b"first\xff\x00")
    assert result.log.endswith(b"last")
    assert b" bytes dropped here " in result.log
    assert len(result.log) < 1 << 19


def _with_marker(marker: str) -> list[int]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if marker.encode() in file.read():
                    found.append(int(pid))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("end", ["pass", "os._exit(3)", "os.kill(os.getpid(), 9)"])
@pytest.mark.parametrize("level", list(Isolation))
def test_no_process_survives_its_fold(tmp_path, need, level: Isolation, end: str) -> None:
    marker = f"orphan-of-{os.getpid()}-{tmp_path.name}"
    there = "import os, time; open(f'there-{os.getpid()}', 'x'); time.sleep(90)"
    daemon = f"""
        import subprocess
        for extra in ({{}}, {{"start_new_session": True}}):
            code = "import os, signal; signal.signal(15, signal.SIG_IGN); os.fork(); {there}"
            subprocess.Popen([sys.executable, "-c", code, "{marker}"], **extra)
        if not os.fork():
            os.setsid()
            if not os.fork():
                os.execv(sys.executable, [sys.executable, "-c", "{there}", "{marker}"])
            os._exit(0)
        while len(list(Path(".").glob("there-*"))) < 5:
            time.sleep(0.05)
        print("all there", flush=True)
        {end}
    """
    # Sampled, since a cgroup would kill what is left in it.
    with open_bench(tmp_path, need(level), Accounting.SAMPLED) as bench:
        result = bench.run(classifier(fit=daemon))
        assert b"all there" in result.log, result.message
        assert _with_marker(marker) == []


def test_a_fold_finds_nothing_that_another_left(bench: Bench) -> None:
    leave = """
        import tempfile
        np.left_here = 1
        sys.modules['left_here'] = sys
        os.environ['LEFT_HERE'] = '1'
        Path(tempfile.gettempdir(), 'left_here').write_text('labels')
        Path('left_here').write_text('labels')
        Path(os.environ['HOME'], 'left_here').write_text('labels')
    """
    look = """
        import tempfile
        assert not hasattr(np, 'left_here') and 'left_here' not in sys.modules
        assert 'LEFT_HERE' not in os.environ
        for folder in (tempfile.gettempdir(), '.', os.environ['HOME'], '/dev/shm'):
            assert not Path(folder, 'left_here').exists(), folder
    """
    for code in (leave, look):
        result = bench.run(classifier(fit=code))
        assert result.verdict is Verdict.SCORED, result.message

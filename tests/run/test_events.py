"""Events are handed over one by one, timed one by one, and nothing goes on between them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import ordinary
import pytest
from event_kit import HONEST, LIMITS, N_TEST, EventBench, event, open_event_bench, tracker
from levels import need

from hepchallenge.records import Verdict
from hepchallenge.run.conversation import _charge
from hepchallenge.run.freeze import _has_stopped, freeze, thaw
from hepchallenge.run.isolation import Isolation
from hepchallenge.run.warden import descendants

KEYS = ["valid/3", "valid/4", *(f"test/{number}" for number in range(N_TEST))]


@pytest.fixture(scope="module", params=list(Isolation))
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventBench]:
    with open_event_bench(tmp_path_factory.mktemp("events"), need(request.param)) as opened:
        yield opened


def test_every_event_is_predicted_once_and_timed(bench: EventBench) -> None:
    kept = bench.run(HONEST)
    assert kept.result.verdict is Verdict.SCORED, kept.result.message
    assert list(kept.arrays) == KEYS
    for key, array in kept.arrays.items():
        part, number = key.split("/")
        assert np.array_equal(array, event("test" if part == "test" else "train", int(number))[1])
    assert list(kept.result.event_seconds) == KEYS
    assert all(seconds > 0 for seconds in kept.result.event_seconds.values())
    assert kept.progress == [(done + 1, len(KEYS)) for done in range(len(KEYS))]


def test_time_counts_while_an_event_is_processed_and_not_while_it_is_fetched(bench: EventBench) -> None:
    kept = bench.run(tracker(predict="time.sleep(0.2)"), pause=0.5)
    seconds = sorted(kept.result.event_seconds.values())
    assert seconds[0] >= 0.2
    # With pauses, which four of the six have, only two would take less; on a busy host some take longer.
    assert seconds[2] < 0.2 + 0.5


def test_what_the_submission_says_of_the_time_does_not_count(bench: EventBench) -> None:
    forge = "time.time = time.monotonic = time.perf_counter = lambda: 0.0"
    kept = bench.run(tracker(top=forge, predict="threading.Event().wait(0.2)"))
    assert min(kept.result.event_seconds.values()) >= 0.2


COUNT_ON = """
counted = [0]
def count():
    while True:
        counted[0] += 1
"""


def test_nothing_goes_on_between_events(bench: EventBench) -> None:
    # A thread that never rests: the gaps of 0.5 s must not give it more than the moments in which events are
    # processed.
    code = tracker(
        top=COUNT_ON,
        fit="threading.Thread(target=count, daemon=True).start()",
        predict="print(time.process_time(), flush=True)",
    )
    kept = bench.run(code, pause=0.5)
    used = [float(line) for line in kept.result.log.decode().split()]
    between = np.diff(used)[2:]
    spans = np.array(list(kept.result.event_seconds.values()))[2:-1]
    assert (between <= spans + 0.25).all(), (between, spans)


WAKE = """
import ctypes

SIGEV_SIGNAL, CLOCK_MONOTONIC = 0, 1

class Event(ctypes.Structure):
    _fields_ = [("value", ctypes.c_void_p), ("signo", ctypes.c_int), ("notify", ctypes.c_int),
                ("pad", ctypes.c_byte * 48)]

class Spec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("every", "every_ns", "first", "first_ns")]

def wake_up_always(signo=signal.SIGCONT, start=5):
    if signo == signal.SIGCONT:
        # A signal that would be ignored is not even made.
        signal.signal(signo, lambda *_: None)
    libc = ctypes.CDLL(None, use_errno=True)
    # Many, since one whose signal is thrown away by a stop rests until it was delivered.
    for period in range(start, start + 40):
        timer = ctypes.c_void_p()
        event = Event(None, signo, SIGEV_SIGNAL)
        assert libc.timer_create(CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)) == 0
        spec = Spec(0, period * 1_000_000, 0, period * 1_000_000)
        assert libc.timer_settime(timer, 0, ctypes.byref(spec), None) == 0
"""


def test_work_in_a_process_that_a_timer_wakes_between_events_is_added_to_its_time(bench: EventBench) -> None:
    code = tracker(
        top=COUNT_ON + WAKE,
        fit="wake_up_always()\nthreading.Thread(target=count, daemon=True).start()",
        predict="print(time.process_time(), flush=True)",
    )
    for _ in range(5):
        kept = bench.run(code, pause=0.6)
        assert kept.result.verdict is Verdict.SCORED, kept.result.message
        used = np.diff([float(line) for line in kept.result.log.decode().split()])
        seconds = np.array(list(kept.result.event_seconds.values()))
        # From the beginning of one event to the beginning of the next.
        assert (used <= seconds[:-1] + seconds[1:] + 0.1).all(), (used, seconds)
        if used.sum() > 0.2:
            break
    else:
        pytest.fail(f"no timer woke the process: it used {used} s of CPU time")


def test_children_are_stopped_too(bench: EventBench) -> None:
    code = tracker(
        top="import subprocess",
        fit="""
        self.child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        time.sleep(0.5)
        """,
        predict="print(open(f'/proc/{self.child.pid}/stat').read().split()[13], flush=True)",
    )
    kept = bench.run(code, pause=0.5)
    if kept.result.verdict is not Verdict.SCORED:
        pytest.skip("a submission sees no /proc at this level")
    ticks = [int(line) for line in kept.result.log.decode().split()]
    assert np.diff(ticks)[2:].max() < 25, ticks


FORGE = """
import socket, struct, json

def answer(event, key):
    for number in range(3, 64):
        try:
            sock = socket.socket(fileno=os.dup(number))
            if sock.family == socket.AF_UNIX and sock.type == socket.SOCK_STREAM:
                data = np.zeros(len(event), np.int64)
                head = json.dumps({"dtype": "<i8", "shape": list(data.shape), "event": key}).encode()
                sock.send(struct.pack("<4sIIQ", b"HCF1", 18, len(head), data.nbytes) + head + data.tobytes())
        except OSError:
            pass
"""


def test_an_answer_to_another_event_is_refused(bench: EventBench) -> None:
    result = bench.run(tracker(top=FORGE, predict="answer(event, 'test/0')")).result
    message = "predict valid/3: expected the answer to valid/3, found one to 'test/0'"
    assert (result.verdict, result.message) == (Verdict.INVALID_SUBMISSION, message)


def test_an_answer_before_the_question_is_refused(bench: EventBench) -> None:
    result = bench.run(tracker(top=FORGE, fit="self.X = X", predict="answer(event, 'valid/3')")).result
    assert result.verdict is Verdict.INVALID_SUBMISSION, result.message
    # The honest answer follows the forged one: it has come already, or comes after the next question.
    early = "predict valid/4: an answer came before the event was handed over" in result.message
    assert early or "expected the answer to valid/4, found one to 'valid/3'" in result.message


def test_training_events_come_while_fit_runs_and_no_others(bench: EventBench) -> None:
    told = bench.run(
        tracker(
            fit="""
            for number in range(len(X)):
                try:
                    print(number, int(y[number][0]), int(X[number][0]), flush=True)
                except IndexError as error:
                    print(number, error, flush=True)
            self.X = X
            """,
            predict="""
            try:
                self.X[0]
            except IndexError as error:
                print("later:", error, flush=True)
            """,
        )
    )
    assert told.result.verdict is Verdict.SCORED, told.result.message
    lines = told.result.log.decode().splitlines()
    for number in range(3):
        x, y = event("train", number)
        assert lines[number] == f"{number} {y[0]} {x[0]}"
    assert lines[3] == "3 event 3 is none of the 3 training events of this fold"
    assert lines[5] == "later: event 0: training events are handed out while fit runs, not later"


def test_asking_behind_the_frameworks_back_for_a_validation_event_ends_the_fold(bench: EventBench) -> None:
    result = bench.run(tracker(fit="X._events._known.add(3); y[3]")).result
    assert result.verdict is Verdict.INVALID_SUBMISSION
    assert "fit asked for event 3, which is none of its training events" in result.message


def test_a_hidden_event_is_not_in_the_process_before_its_turn(bench: EventBench) -> None:
    # The first values of the last test event, looked for in all of the process's memory. It is read piece by
    # piece to one place that is cleared, so that the search itself leaves no copy of what it looks for.
    wanted = event("test", N_TEST - 1)[0][:4].tolist()
    code = tracker(
        top=f"""
        first, *rest = {wanted!r}
        piece = np.zeros(1 << 17, np.int64)
        def found():
            count = 0
            with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
                for line in maps:
                    start, stop = (int(word, 16) for word in line.split()[0].split("-"))
                    if "r" not in line.split()[1] or stop - start >= 1 << 28:
                        continue
                    for place in range(start, stop, piece.nbytes - 32):
                        piece[:] = 0
                        try:
                            memory.seek(place)
                            memory.readinto(memoryview(piece).cast("B")[: stop - place])
                        except (OSError, ValueError, OverflowError):
                            continue
                        hits = np.flatnonzero(piece[:-3] == first)
                        count += sum(piece[hit + 1 : hit + 4].tolist() == rest for hit in hits)
            piece[:] = 0
            return count
        """,
        predict="print('FOUND', found() > 0, flush=True)",
    )
    kept = bench.run(code)
    if kept.result.verdict is not Verdict.SCORED:
        pytest.skip("a submission cannot read its own memory this way at this level")
    said = [line for line in kept.result.log.decode().splitlines() if line.startswith("FOUND")]
    assert said[:-1] == ["FOUND False"] * (len(KEYS) - 1)
    assert said[-1] == "FOUND True"


def test_the_handed_over_event_cannot_be_changed_for_others(bench: EventBench) -> None:
    code = tracker(
        predict="""
        event += 1
        event -= 1
        for name in os.listdir("/proc/self/fd"):
            try:
                os.truncate(f"/proc/self/fd/{name}", 0)
            except OSError:
                pass
        """
    )
    assert bench.run(code).result.verdict in (Verdict.SCORED, Verdict.RUNTIME_ERROR)
    assert bench.run(HONEST).result.verdict is Verdict.SCORED


def test_the_wall_limit_of_predict_is_for_one_event(bench: EventBench) -> None:
    limits = replace(LIMITS, predict_wall=2.3)
    slow = bench.run(tracker(predict="time.sleep(0.4)"), limits=limits).result
    assert slow.verdict is Verdict.SCORED, slow.message
    assert sum(slow.event_seconds.values()) > 2.3
    late = bench.run(tracker(predict="time.sleep(60)"), limits=limits).result
    assert late.verdict is Verdict.WALL_LIMIT
    assert late.message == "predict valid/3 took more than the 2.3 s of wall-clock time allowed"
    assert late.event_seconds == {}


def test_a_fold_that_asks_and_never_listens_runs_into_its_own_limit(bench: EventBench) -> None:
    code = tracker(
        fit="""
        from hepchallenge.run.frames import Kind
        while True:
            X._events._channel.send(Kind.ASK, {"event": 0})
        """
    )
    result = bench.run(code, limits=replace(LIMITS, fit_wall=2)).result
    assert result.verdict is Verdict.WALL_LIMIT, result.message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("return event[:-1]", "expected 23 rows"),
        ("return None", "predictions must be plain numbers or text"),
        ("return event + 0.5 * np.nan", "expected finite numbers"),
    ],
)
def test_a_wrong_answer_names_its_event(bench: EventBench, answer: str, words: str) -> None:
    result = bench.run(tracker(predict=answer)).result
    assert result.verdict is Verdict.INVALID_SUBMISSION
    assert "valid/3" in result.message
    assert words in result.message


def test_an_error_shows_the_participants_own_traceback(bench: EventBench) -> None:
    result = bench.run(tracker(predict="if len(event) < 23: raise RuntimeError('too few')")).result
    assert result.verdict is Verdict.RUNTIME_ERROR
    assert "predict test/0 failed" in result.message
    assert "too few" in result.message
    assert "tracker.py" in result.message
    assert "hepchallenge" not in result.message


def test_folds_without_training_or_validation_events_run(bench: EventBench) -> None:
    none = np.arange(0)
    kept = bench.run(tracker(), train_is=none, valid_is=none)
    assert list(kept.arrays) == KEYS[2:]


def test_a_fold_of_events_leaves_no_process_behind(bench: EventBench) -> None:
    bench.run(tracker(top=COUNT_ON, fit="threading.Thread(target=count, daemon=True).start()"))
    deadline = time.monotonic() + 20
    while descendants(bench.runner._zygote.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert descendants(bench.runner._zygote.pid) == []


WAKERS = """
import os, signal, time
signal.signal(signal.SIGCONT, lambda *_: None)
for _ in range(20):
    if os.fork() == 0:
        while True:
            os.killpg(0, signal.SIGCONT)
            time.sleep(0.002)
print("ready", flush=True)
while True:
    time.sleep(100)
"""


def test_processes_that_wake_each_other_are_all_stopped() -> None:
    command = [sys.executable, "-c", WAKERS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as first:
        try:
            assert first.stdout is not None
            first.stdout.readline()
            for _ in range(20):
                stopped = freeze(first.pid)
                time.sleep(0.02)
                assert len(stopped) == 20
                assert all(map(_has_stopped, descendants(first.pid)))
                thaw(stopped)
        finally:
            os.killpg(first.pid, signal.SIGKILL)


def test_a_process_whose_first_thread_is_dead_has_not_stopped() -> None:
    code = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(100,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            deadline = time.monotonic() + 60
            while b") Z " not in Path(f"/proc/{process.pid}/stat").read_bytes():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert not _has_stopped(process.pid)
            process.send_signal(signal.SIGSTOP)
            while not _has_stopped(process.pid):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            process.kill()


def test_work_between_events_counts_for_no_more_than_the_time_that_passed() -> None:
    # Eight threads that spin for 10 ms until they are stopped, and one that worked for 10 of 500 ms.
    assert _charge(0.08, 0.01) == 0.01
    assert _charge(0.01, 0.5) == 0.01
    assert _charge(-0.01, 0.5) == 0.0


KEEP = """
from hepchallenge.run import event_fold, fold

sizes = {}
def keeping(descriptor, receive=event_fold.received):
    kept = os.dup(descriptor)
    sizes[kept] = os.fstat(kept).st_size
    return receive(descriptor)

event_fold.received = fold.received = keeping
"""


def test_a_kept_descriptor_keeps_no_memory_of_the_organiser(bench: EventBench) -> None:
    said = "print([os.fstat(kept).st_size for kept in sizes], min(sizes.values()), flush=True)"
    kept = bench.run(tracker(top=KEEP, fit="X[0], X[1], X[2], X[0]", predict=said))
    assert kept.result.verdict is Verdict.SCORED, kept.result.message
    lines = kept.result.log.decode().splitlines()
    assert len(lines) == len(KEYS)
    for number, line in enumerate(lines):
        held, least = line.rsplit(" ", 1)
        assert int(least) > 0
        # Four of training and those of predict; only the one that is being processed is there.
        assert held.startswith("[" + "0, " * (4 + number))
        assert not held.endswith(" 0]")


def test_events_that_a_submission_keeps_stay_whole(bench: EventBench) -> None:
    code = tracker(
        fit="self.kept = [X[0], y[0], X[1], y[2]]",
        predict="""
        self.kept.append(event)
        print([int(array.sum()) for array in self.kept], flush=True)
        """,
    )
    kept = bench.run(code)
    assert kept.result.verdict is Verdict.SCORED, kept.result.message
    (x0, y0), (x1, _), (_, y2) = (event("train", number) for number in range(3))
    arrays = [x0, y0, x1, y2, event("train", 3)[0], event("train", 4)[0]]
    arrays += [event("test", number)[0] for number in range(N_TEST)]
    assert kept.result.log.decode().splitlines()[-1] == str([int(array.sum()) for array in arrays])


def test_threads_that_ask_at_once_get_the_events_they_asked_for(bench: EventBench) -> None:
    code = tracker(
        fit="""
        sys.setswitchinterval(1e-6)
        wrong = []
        def ask(number, length):
            for _ in range(300):
                wrong.extend([number] * (len(X[number]) != length or len(y[number]) != length))
        threads = [threading.Thread(target=ask, args=(number, 20 + number)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("wrong:", wrong, flush=True)
        """
    )
    kept = bench.run(code, limits=replace(LIMITS, fit_wall=20))
    assert kept.result.verdict is Verdict.SCORED, kept.result.message
    assert kept.result.log == b"wrong: []\n"


def test_a_child_process_that_asks_for_events_is_told_who_can(bench: EventBench) -> None:
    code = tracker(
        fit="""
        X[0]
        if os.fork() == 0:
            try:
                X[1]
            except RuntimeError as error:
                print(error, flush=True)
            os._exit(0)
        os.wait()
        X[2]
        """
    )
    kept = bench.run(code, limits=replace(LIMITS, fit_wall=20))
    assert kept.result.verdict is Verdict.SCORED, kept.result.message
    assert kept.result.log.startswith(b"event 1: only the process in which fit runs can ask")


def test_a_process_that_dies_between_events_is_said_to_have_died(bench: EventBench) -> None:
    # By a timer that was set while an event was processed.
    code = tracker(top=WAKE, predict="if len(event) == 20: wake_up_always(signal.SIGKILL, 300)")
    result = bench.run(code, pause=1).result
    words = "predict test/1: the process was ended by signal SIGKILL"
    assert (result.verdict, result.message) == (Verdict.RUNTIME_ERROR, words)


RAW = """
import socket, struct
def tell(X, kind, head):
    X._events._channel._socket.sendall(struct.pack("<4sIIQ", b"HCF1", kind, len(head), 0) + head)
    time.sleep(100)
"""


@pytest.mark.parametrize(
    "number", ["1" + "0" * 4000, "-1", "NaN", "1.0", "true", '"0"', "[" * 900 + "]" * 900]
)
def test_asking_for_what_is_no_event_is_the_participants_fault(bench: EventBench, number: str) -> None:
    head = f'{{"event": {number}}}'.encode()
    result = bench.run(tracker(top=RAW, fit=f"tell(X, 20, {head!r})")).result
    assert result.verdict is Verdict.INVALID_SUBMISSION, result.message
    assert "fit asked for event" in result.message


@pytest.mark.parametrize(
    ("act", "verdict"),
    [
        ("os.kill(os.getpid(), signal.SIGSTOP)", Verdict.WALL_LIMIT),
        ("sock.send(b'HCF1'); time.sleep(100)", Verdict.WALL_LIMIT),
        ("sock.shutdown(1); time.sleep(100)", Verdict.RUNTIME_ERROR),
        ("os.close(sock.fileno()); time.sleep(100)", Verdict.RUNTIME_ERROR),
        ("os._exit(0)", Verdict.RUNTIME_ERROR),
    ],
)
def test_leaving_the_runner_without_an_answer_is_the_participants_fault(
    bench: EventBench, act: str, verdict: Verdict
) -> None:
    code = tracker(fit="self.X = X", predict=f"sock = self.X._events._channel._socket\n{act}")
    result = bench.run(code, limits=replace(LIMITS, predict_wall=3)).result
    assert result.verdict is verdict, result.message


FILL = """
import socket

def fill():
    keep = []
    try:
        for _ in range(150):
            keep.append(socket.socketpair())
            keep[-1][0].setblocking(False)
            try:
                while True:
                    socket.send_fds(keep[-1][0], [b"."], [1] * 50)
            except BlockingIOError:
                pass
    except OSError as error:
        print(error.strerror, flush=True)
    return keep
"""


def test_descriptors_on_their_way_do_not_keep_the_runner_from_sending_one(bench: EventBench) -> None:
    # For root there is no such limit in the kernel; see the next test.
    kept = bench.run(tracker(top=FILL, fit="self.keep = fill(); X[0]"), limits=replace(LIMITS, fit_wall=20))
    assert kept.result.verdict is Verdict.SCORED, kept.result.message


def test_folds_of_an_ordinary_user_are_stopped_and_served_too() -> None:
    if reason := ordinary.why_not():
        pytest.skip(reason)
    # Not `tmp_path`, the way to which is closed to others.
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, ordinary.USER, ordinary.USER)
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={folder}/t"]
        words += ["-k", "(on_their_way or timer or goes_on or kept or children) and not none", __file__]
        home = {"HOME": folder, "TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}
        done = ordinary.run_as_user(words, Path(__file__).parents[2], home)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]

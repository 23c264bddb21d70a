"""Events are handed over one by one, timed one by one, and nothing goes on between them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from conftest import need
from event_kit import HONEST, LIMITS, N_TEST, EventBench, event, open_event_bench, tracker

from hepchallenge.records import Verdict
from hepchallenge.run.isolation import Isolation

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
    seconds = list(kept.result.event_seconds.values())
    assert min(seconds) >= 0.2
    # Six sleeps of 0.2 s; the four pauses of 0.5 s would more than double the sum.
    assert sum(seconds) < 6 * 0.2 + 4 * 0.5


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

def wake_up_always():
    # A signal that would be ignored is not even made.
    signal.signal(signal.SIGCONT, lambda *_: None)
    libc = ctypes.CDLL(None, use_errno=True)
    # Many, since one whose signal is thrown away by a stop rests until it was delivered.
    for period in range(5, 45):
        timer = ctypes.c_void_p()
        event = Event(None, signal.SIGCONT, SIGEV_SIGNAL)
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
    # The first value of the last test event, as eight bytes, looked for in all of the process's memory.
    wanted = event("test", N_TEST - 1)[0][:4].tobytes()
    code = tracker(
        top=f"""
        needle = bytes(b ^ 255 for b in {bytes(b ^ 255 for b in wanted)!r})
        def found():
            count = 0
            with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
                for line in maps:
                    start, stop = (int(word, 16) for word in line.split()[0].split("-"))
                    if "r" in line.split()[1] and stop - start < 1 << 28:
                        try:
                            memory.seek(start)
                            count += memory.read(stop - start).count(needle)
                        except (OSError, ValueError, OverflowError):
                            pass
            return count
        """,
        predict="print('FOUND', found() > 1, flush=True)",
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
    from dataclasses import replace

    limits = replace(LIMITS, predict_wall=1.5)
    slow = bench.run(tracker(predict="time.sleep(0.4)"), limits=limits).result
    assert slow.verdict is Verdict.SCORED, slow.message
    assert sum(slow.event_seconds.values()) > 1.5
    late = bench.run(tracker(predict="time.sleep(60)"), limits=limits).result
    assert late.verdict is Verdict.WALL_LIMIT
    assert late.message == "predict valid/3 took more than the 1.5 s of wall-clock time allowed"
    assert late.event_seconds == {}


def test_a_fold_that_asks_and_never_listens_runs_into_its_own_limit(bench: EventBench) -> None:
    from dataclasses import replace

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
    from hepchallenge.run.warden import descendants

    bench.run(tracker(top=COUNT_ON, fit="threading.Thread(target=count, daemon=True).start()"))
    deadline = time.monotonic() + 20
    while descendants(bench.runner._zygote.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert descendants(bench.runner._zygote.pid) == []

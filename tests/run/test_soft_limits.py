"""A fold at a limit of time is first asked to end; whatever it makes of that, the verdict stands."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_kit import LIMITS, Bench, classifier

from hepchallenge.records import Verdict

AT = {
    "wall": ("SIGTERM", {"fit_wall": 0.7}, Verdict.WALL_LIMIT, "fit took more than the 0.7 s of wall-clock"),
    "cpu": ("SIGXCPU", {"fit_cpu": 0.3}, Verdict.CPU_LIMIT, "s are allowed"),
}
WAIT = {"wall": "time.sleep(90)", "cpu": "while True: pass"}

# What a fold does in the handler of the signal.
ANSWERS = {
    "raise": "raise ValueError('mine')",
    "exit": "sys.exit(0)",
    "exit at once": "os._exit(0)",
    "go on": "pass",
    "close the channel": "os.closerange(3, 100)",
    "forge an answer": "import socket, struct\n    for f in range(3, 64):\n"
    "        try: socket.socket(fileno=os.dup(f)).sendall(struct.pack('<4sIIQ', b'HCF1', 17, 2, 0) + b'{}')\n"
    "        except OSError: pass",
}


def _handler(signal: str, answer: str) -> str:
    return (
        f"def asked(*_):\n    os.write(1, b'asked by {signal}, ')\n    {answer}\n"
        f"signal.signal(signal.{signal}, asked)"
    )


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("limit", AT)
def test_no_answer_to_the_signal_changes_the_verdict(bench: Bench, limit: str, answer: str) -> None:
    signal, limits, verdict, words = AT[limit]
    code = classifier(fit=f"{_handler(signal, answer)}\n{WAIT[limit]}")
    result = bench.run(code, replace(LIMITS, **limits))
    assert (result.verdict, words in result.message) == (verdict, True), result.message
    assert result.log.count(b"asked by") == 1
    assert result.predictions == {}


def test_the_whole_tree_is_asked_and_what_it_says_is_kept(bench: Bench) -> None:
    child = f"""
        for detached in (False, True):
            if not os.fork():
                if detached:
                    os.setsid()
                {_handler("SIGTERM", "os._exit(0)").replace(chr(10), chr(10) + " " * 16)}
                time.sleep(90)
                os._exit(1)
        time.sleep(0.5)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(90)
    """
    result = bench.run(classifier(fit=child), replace(LIMITS, fit_wall=2))
    assert result.verdict is Verdict.WALL_LIMIT, result.message
    assert result.log.count(b"asked by SIGTERM") == 2


def test_the_grace_counts_and_has_limits_of_its_own(bench: Bench) -> None:
    greedy = "def asked(*_):\n    held = [bytearray(os.urandom(1 << 20)) * 32 for _ in range(64)]\n"
    code = classifier(fit=f"{greedy}signal.signal(signal.SIGTERM, asked)\ntime.sleep(90)")
    result = bench.run(code, replace(LIMITS, fit_wall=1, memory_bytes=300 << 20))
    assert result.verdict is Verdict.WALL_LIMIT, result.message
    assert result.peak_memory_bytes < 900 << 20
    again = bench.run(
        classifier(fit=f"{_handler('SIGTERM', 'pass')}\ntime.sleep(0.7)\ntime.sleep(90)"),
        replace(LIMITS, fit_wall=0.5),
    )
    assert again.wall_seconds > 0.9, "the grace is part of what a fold took"

"""A fold at a limit of time is first asked to end; whatever it makes of that, the verdict stands."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from levels import need
from small_kit import LIMITS, Bench, classifier, open_bench

from hepchallenge.records import Verdict
from hepchallenge.run.isolation import Isolation

AT = {
    "wall": ("SIGTERM", {"fit_wall": 2.5}, Verdict.WALL_LIMIT, "fit took more than the 2.5 s of wall-clock"),
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


@pytest.fixture(scope="module", params=list(Isolation))
def broad(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """For all answers at once."""
    folder = tmp_path_factory.mktemp("broad")
    with open_bench(folder, need(request.param), jobs=len(ANSWERS)) as opened:
        yield opened


@pytest.mark.parametrize("limit", AT)
def test_no_answer_to_the_signal_changes_the_verdict(
    broad: Bench, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal, limits, verdict, words = AT[limit]
    codes = [classifier(fit=f"{_handler(signal, answer)}\n{WAIT[limit]}") for answer in ANSWERS.values()]
    monkeypatch.setattr(broad.runner, "limits", replace(LIMITS, **limits))
    with ThreadPoolExecutor(len(ANSWERS)) as pool:
        results = list(pool.map(broad.runner.run_fold, map(broad.job, codes)))
    for answer, result in zip(ANSWERS, results, strict=True):
        assert (result.verdict, words in result.message) == (verdict, True), (answer, result.message)
        assert result.log.count(b"asked by") == 1, answer
        assert result.predictions == {}, answer


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
        classifier(fit=f"{_handler('SIGTERM', 'pass')}\ntime.sleep(1.7)\ntime.sleep(90)"),
        replace(LIMITS, fit_wall=1.5),
    )
    assert again.wall_seconds > 1.9, "the grace is part of what a fold took"

"""How exactly the CPU time of a fold is counted: known burns against what the runner reports.

Every line is one way of burning CPU time inside a fold, measured by the burning processes themselves with
their own process clocks, and the ratio of the counted to the burned time, per kind of accounting. 1.00 is
exact; `cgroup` and `sampled` are meant to stay within 5 % where processes live longer than a sample.

    python benchmarks/bench_accounting.py [SECONDS]

A second table does the same for memory: pages of a known number that a fold, or two children of it, touch and
hold for a moment.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "run"))

from small_kit import classifier, open_bench

from hepchallenge.records import Verdict
from hepchallenge.run.accounting import Accounting, choose_accounting
from hepchallenge.run.isolation import choose_isolation

BURN = """
def burn(seconds):
    start = time.process_time()
    while time.process_time() - start < seconds:
        sum(range(1000))

def fork_to(burn_seconds):
    pid = os.fork()
    if not pid:
        burn(burn_seconds)
        os._exit(0)
    return pid
"""

WAYS = {
    "one process": "burn({s})",
    "two children, waited for": "[os.waitpid(p, 0) for p in [fork_to({s} / 2) for _ in range(2)]]",
    "two children, not waited for": (
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n[fork_to({s} / 2) for _ in range(2)]\n"
        "try:\n    os.wait()\nexcept ChildProcessError:\n    pass"
    ),
    "twenty short children in a row": "[os.waitpid(fork_to({s} / 20), 0) for _ in range(20)]",
}


HOLD = """
def hold(size):
    block = bytearray(size)
    block[::4096] = b"x" * len(block[::4096])
    time.sleep(0.5)

def fork_to(size):
    pid = os.fork()
    if not pid:
        hold(size)
        os._exit(0)
    return pid
"""

HELD = {
    "one process": "hold({n})",
    "two children": "[os.waitpid(p, 0) for p in [fork_to({n} // 2) for _ in range(2)]]",
}


def memory(megabytes: int) -> None:
    """Print the table of memory."""
    kinds = [kind for kind in Accounting if kind is Accounting.SAMPLED or choose_accounting() is kind]
    level = choose_isolation(None)
    print(f"counted / touched memory of {megabytes} MB, isolation {level}")
    print(f"{'':32}" + "".join(f"{kind:>10}" for kind in kinds))
    for way, code in HELD.items():
        ratios = []
        for kind in kinds:
            with tempfile.TemporaryDirectory() as folder, open_bench(Path(folder), level, kind) as bench:
                idle = bench.run(classifier(fit="time.sleep(0.5)", top=HOLD))
                result = bench.run(classifier(fit=code.format(n=megabytes * 1_000_000), top=HOLD))
            assert result.verdict is Verdict.SCORED, result.message
            used = result.peak_memory_bytes - idle.peak_memory_bytes
            ratios.append(used / (megabytes * 1_000_000))
        print(f"{way:32}" + "".join(f"{ratio:>10.3f}" for ratio in ratios), flush=True)


def main(seconds: float) -> None:
    """Print the table of CPU time."""
    kinds = [kind for kind in Accounting if kind is Accounting.SAMPLED or choose_accounting() is kind]
    level = choose_isolation(None)
    print(f"counted / burned CPU time of {seconds:g} s, isolation {level}")
    print(f"{'':32}" + "".join(f"{kind:>10}" for kind in kinds))
    for way, code in WAYS.items():
        ratios = []
        for kind in kinds:
            with tempfile.TemporaryDirectory() as folder, open_bench(Path(folder), level, kind) as bench:
                idle = bench.run(classifier(top=BURN))
                result = bench.run(classifier(fit=code.format(s=seconds), top=BURN))
            assert result.verdict is Verdict.SCORED, result.message
            ratios.append((result.phases[0].cpu_seconds - idle.phases[0].cpu_seconds) / seconds)
        print(f"{way:32}" + "".join(f"{ratio:>10.3f}" for ratio in ratios), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 4.0)
    memory(400)

"""Timing of commands side by side: alternating rounds in one run, medians, one ratio."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

__all__ = ["alternate", "command"]


def command(
    words: Sequence[str], environment: Mapping[str, str] | None = None, cwd: str | None = None
) -> Callable[[], None]:
    """Return an action that runs a command to its end and fails if the command does."""
    full = {**os.environ, **(environment or {})}
    # With it set, imports would compile every module anew, on both sides but not to equal shares.
    full.pop("PYTHONDONTWRITEBYTECODE", None)

    def action() -> None:
        done = subprocess.run(words, env=full, cwd=cwd, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")

    return action


def alternate(
    ours: Callable[[], None],
    theirs: Callable[[], None],
    *,
    names: tuple[str, str],
    rounds: int,
    aim: float,
    before: Callable[[], None] = lambda: None,
) -> float:
    """Time two actions in turn, after one warm-up round each; print the medians and return their ratio."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for action, kept in zip((ours, theirs), seconds, strict=True):
            before()
            start = time.perf_counter()
            action()
            if number:
                kept.append(time.perf_counter() - start)
    medians = [statistics.median(kept) for kept in seconds]
    for name, median, kept in zip(names, medians, seconds, strict=True):
        print(f"{name:<40} {median:9.3f} s   ({min(kept):.3f} to {max(kept):.3f}, {rounds} rounds)")
    ratio = medians[0] / medians[1]
    print(f"{'ratio':<40} {ratio:9.3f}     (aim: at most {aim})")
    return ratio

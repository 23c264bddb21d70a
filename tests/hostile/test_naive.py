"""Each attack succeeds against a naive runner: what hepchallenge withstands is sharp."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from corpus import Case, cases, run_naively

SHARP = [case for case in cases() if case.evidence]
ENDING = [case for case in SHARP if case.evidence != "timeout"]
ENDLESS = [case for case in SHARP if case.evidence == "timeout"]


def _run(case: Case) -> str:
    """Return what is wrong with an attack, or an empty string."""
    # Short, since the path of a socket lies in it.
    root = Path(tempfile.mkdtemp(prefix="hostile-"))
    found, words = run_naively(case, root)
    if case.evidence in found:
        return ""
    return f"{case.name}: expected {case.evidence}, found {found or 'nothing'}:\n{words}"


@pytest.mark.parametrize("case", ENDING, ids=[case.name for case in ENDING])
def test_an_attack_succeeds_against_a_naive_runner(case: Case) -> None:
    assert not (fault := _run(case)), fault


def test_endless_attacks_hang_a_naive_runner() -> None:
    """All at once: most of them only wait."""
    assert len(ENDLESS) > 8
    with ThreadPoolExecutor(len(ENDLESS)) as pool:
        faults = [fault for fault in pool.map(_run, ENDLESS) if fault]
    assert not faults, "\n".join(faults)

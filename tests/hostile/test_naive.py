"""Each attack succeeds against a naive runner: what hepchallenge withstands is sharp."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from corpus import Case, cases, run_naively

SHARP = [case for case in cases() if case.evidence]


@pytest.mark.parametrize("case", SHARP, ids=[case.name for case in SHARP])
def test_an_attack_succeeds_against_a_naive_runner(case: Case) -> None:
    # Short, since the path of a socket lies in it.
    root = Path(tempfile.mkdtemp(prefix="hostile-"))
    found, words = run_naively(case, root)
    assert case.evidence in found, f"expected {case.evidence}, found {found or 'nothing'}:\n{words}"

"""The whole corpus at every isolation level that this host offers, as root and as an ordinary user.

Every submission must end in its verdict, and none may show evidence of success.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import make_table
import pytest
from corpus import GROUPS, HERE, Case, cases, skipped
from levels import need
from ordinary import USER, run_as_user, why_not

from hepchallenge.run.isolation import Isolation

LEVELS = [level for level in Isolation if level is not Isolation.NONE]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that every user can reach, which a test's own folder is not."""
    path = Path(tempfile.mkdtemp(prefix="hostile-"))
    yield path
    subprocess.run(["rm", "-rf", str(path)], check=True)


def run_batch(level: Isolation, user: str, folder: Path, *names: str) -> dict[str, Any]:
    """Run the corpus in a process of this user."""
    report = folder / "report.json"
    words = [sys.executable, str(HERE / "batch.py"), level, str(folder / "w"), str(report), *names]
    environment = {"HOME": str(folder), "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    if user == "ordinary user" and os.getuid() == 0:
        os.chown(folder, USER, USER)
        done = run_as_user(words, folder, environment)
    else:
        full = {"PATH": os.environ["PATH"], **environment}
        done = subprocess.run(words, cwd=folder, env=full, capture_output=True, text=True, check=False)
    assert report.exists(), done.stdout[-2000:] + done.stderr[-4000:]
    outcome: dict[str, Any] = json.loads(report.read_text())
    return outcome


def wrong(case: Case, result: dict[str, Any]) -> str:
    """Return what is wrong with the run of a case, or an empty string."""
    faults = []
    if result["verdict"] not in case.verdicts:
        faults.append(f"expected {' or '.join(case.verdicts)}, got {result['verdict']}")
    faults += result["evidence"]
    if not faults:
        return ""
    details = "\n    ".join([result["message"][:500], "; ".join(result["used"]), result["log"][-300:]])
    return f"{case.name}: {'; '.join(faults)}\n    {details}"


@pytest.mark.parametrize("user", ["root", "ordinary user"])
@pytest.mark.parametrize("level", LEVELS)
def test_every_attack_ends_in_its_verdict_and_without_success(
    level: Isolation, user: str, folder: Path
) -> None:
    need(level)
    if user == "root" and os.getuid():
        pytest.skip("this run is one of an ordinary user")
    if user == "ordinary user" and os.getuid() == 0 and (reason := why_not()):
        pytest.skip(reason)
    outcome = run_batch(level, user, folder)
    faults = [text for case in cases() if (text := wrong(case, outcome["cases"][case.name]))]
    assert not faults, "\n".join(faults)
    for what in ("survivors", "changed", "leftovers"):
        assert outcome[what] == [], what
    assert not outcome["datagram"]
    make_table.record(level, user, {name: result["verdict"] for name, result in outcome["cases"].items()})


def test_without_isolation_the_same_attacks_leave_evidence(folder: Path) -> None:
    """What the corpus looks for would be seen."""
    expected = {
        "labels_on_readable_path": ["perfect", "stolen"],
        "shared_memory_leftovers": ["perfect", "stolen"],
        "network_out": ["did"],
        "write_into_kit": [],
    }
    outcome = run_batch(Isolation.NONE, "any", folder, *expected)
    assert {name: outcome["cases"][name]["evidence"] for name in expected} == expected
    assert any(path.endswith("written") for path in outcome["changed"])
    assert outcome["cases"]["honest"]["evidence"] == []


def test_every_case_of_the_catalogue_is_run_or_listed_with_the_reason_why_not() -> None:
    run = {case.number for case in cases()}
    left = {entry["number"] for entry in skipped()}
    assert run & left == set()
    # 0 are the honest controls; what lies above concerns the board.
    assert run | left == set(range(71))
    assert all(len(entry["reason"]) > 20 for entry in skipped())


def test_every_case_has_a_folder_and_every_folder_a_case() -> None:
    folders = {path.name for path in HERE.iterdir() if path.is_dir() and not path.name.startswith("_")}
    names = [case.name for case in cases()]
    assert sorted(names) == sorted(folders)
    assert {case.group for case in cases() if case.number} == set(GROUPS)


def test_the_table_in_the_documents_is_what_was_recorded() -> None:
    text = make_table.DOCUMENT.read_text()
    assert make_table.with_table(text) == text, "run `python tests/hostile/make_table.py`"


def test_results_are_recorded_for_every_case_and_fit_what_is_expected() -> None:
    recorded = make_table.results()
    assert recorded, "run the corpus with HOSTILE_RECORD=1"
    for run, verdicts in recorded.items():
        for case in cases():
            assert verdicts.get(case.name) in case.verdicts, f"{case.name} at {run}"

"""The small kit of the run room's tests, scored from the outside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_kit import write_kit


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    return write_kit(tmp_path / "a kit ü")


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees or leaves anything in the user's cache or workspace."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("HEPCHALLENGE_WORKSPACE", "HEPCHALLENGE_DATABASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `hepchallenge score` with a workspace in `tmp_path`; what still runs afterwards is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: object, workspace: str = "workspace", **options: Any) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "hepchallenge", "score", *map(str, words), "--workspace", workspace]
        process = subprocess.Popen(
            line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run(command: Callable[..., subprocess.Popen[str]]) -> Callable[..., tuple[int, Any, str]]:
    """Run `hepchallenge score --json` to its end; return exit code, document and stderr."""

    def run(*words: object, **options: Any) -> tuple[int, Any, str]:
        process = command(*words, "--json", **options)
        out, err = process.communicate(timeout=300)
        # One document and nothing else.
        return process.returncode, json.loads(out) if out else None, err

    return run

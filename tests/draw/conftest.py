"""A workspace with scored and failed submissions, and nothing of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("HEPCHALLENGE_WORKSPACE", "HEPCHALLENGE_DATABASE", "HEPCHALLENGE_CACHE"):
        monkeypatch.delenv(name, raising=False)

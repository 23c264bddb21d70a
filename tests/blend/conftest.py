"""What tests of blends share: nothing of theirs reaches the user's own folders."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("HEPCHALLENGE_WORKSPACE", "HEPCHALLENGE_DATABASE", "HEPCHALLENGE_CACHE"):
        monkeypatch.delenv(name, raising=False)

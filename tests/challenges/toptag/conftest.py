"""Published tables of a few made-up jets, and published outputs where they are at hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from toptag_tables import make_frame

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "toptag"


@pytest.fixture
def frames() -> dict[str, pd.DataFrame]:
    """The three tables."""
    return {
        role: make_frame(n, seed)
        for seed, (role, n) in enumerate({"train": 30, "val": 9, "test": 12}.items())
    }


@pytest.fixture
def published(frames: dict[str, pd.DataFrame], tmp_path: Path) -> Path:
    """A folder with the three tables as Parquet."""
    folder = tmp_path / "published"
    folder.mkdir()
    for role, frame in frames.items():
        frame.to_parquet(folder / f"{role}.parquet")
    return folder


@pytest.fixture(scope="session")
def outputs_file() -> Path:
    """Labels and outputs of four taggers on the published test jets."""
    file = SHARED / "published_scores_test404k.npz"
    if not file.is_file():
        pytest.skip("no ../shared/data/toptag: published outputs of taggers")
    return file

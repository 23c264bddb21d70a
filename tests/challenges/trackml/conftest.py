"""Published events for the tests: made up ones and real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_events import make_detectors, make_event

from hepchallenge.challenges.trackml.published import write_detectors, write_event

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "trackml"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Eight events in a folder, and the detector."""
    folder = tmp_path / "published"
    for event_id in range(1000, 1008):
        write_event(folder, event_id, **make_event(event_id))
    write_detectors(folder / "detectors.csv", make_detectors())
    return folder


@pytest.fixture(scope="session")
def real() -> Path:
    """Pieces of the published data set."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data/trackml: pieces of the published events")
    return SHARED

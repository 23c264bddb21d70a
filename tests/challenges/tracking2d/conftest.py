"""The published reduced files, a small toy, and what gives a kit's labels for whole tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tracking2d_kits import SHARED, Predict, start_kit

from hepchallenge.challenges.tracking2d import data, problem
from hepchallenge.data.prepared import prepare_toy


@pytest.fixture(scope="session")
def tracking2d_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tracking2d_cache: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEPCHALLENGE_CACHE", str(tracking2d_cache))
        patch.delenv("RAMP_TEST_MODE", raising=False)
        yield


@pytest.fixture(scope="session")
def real() -> Path:
    folder = SHARED / "data" / "tracking2d"
    if not folder.is_dir():
        pytest.skip(f"no published files in {folder}")
    return folder


@pytest.fixture(scope="session")
def vectors() -> Path:
    folder = SHARED / "vectors"
    if not folder.is_dir():
        pytest.skip(f"no reference values in {folder}")
    return folder


@pytest.fixture(scope="module")
def toy() -> Path:
    return prepare_toy("tracking2d", data.make_toy_data, seed=3, events=80)


@pytest.fixture
def predict(toy: Path) -> Predict:
    """Train a kit on toy events and return what it predicts, by the workflow of the challenge."""

    def run(kit: str, X: NDArray[np.float64]) -> NDArray[np.int64]:
        clusterer = start_kit(kit)
        clusterer.fit(*problem.get_train_data(toy))
        labels: NDArray[np.int64] = problem.workflow.test_submission(clusterer, X)
        return labels

    return run

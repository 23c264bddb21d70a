"""A small toy, the published correlation sample, and what trains a kit on all training events at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import threadpoolctl
from tau3mu_kits import Train

from hepchallenge.challenges.tau3mu import data, problem
from hepchallenge.data import find_published, read_csv
from hepchallenge.data.prepared import prepare_toy

ROOT = Path(__file__).parents[3]
KITS = ROOT / "starting_kits" / "tau3mu"


@pytest.fixture(scope="session")
def tau3mu_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tau3mu_cache: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEPCHALLENGE_CACHE", str(tau3mu_cache))
        patch.delenv("RAMP_TEST_MODE", raising=False)
        yield


@pytest.fixture(scope="module")
def toy_folder() -> Path:
    return prepare_toy("tau3mu", data.make_toy_data, seed=0, events=70_000)


@pytest.fixture(scope="module")
def small_folder() -> Path:
    return prepare_toy("tau3mu", data.make_toy_data, seed=3, events=4_000)


@pytest.fixture(scope="session")
def published() -> pd.DataFrame:
    """The published correlation sample."""
    folder = ROOT.parent / "shared" / "data" / "flavours"
    if not folder.is_dir():
        pytest.skip(f"no published files in {folder}")
    found = find_published(folder, "check_correlation.csv")
    assert found is not None
    frame: pd.DataFrame = read_csv(found, data.CORRELATION_SCHEMA).to_pandas()
    return frame


@pytest.fixture
def train(toy_folder: Path) -> Train:
    """Train a submission on a third of the toy's training events, by the workflow of the challenge."""

    def run(submission: Path | str) -> object:
        folder = KITS / submission if isinstance(submission, str) else submission
        X, y = problem.get_train_data(toy_folder)
        # Threads that wait for each other on a busy machine take longer than one.
        with threadpoolctl.threadpool_limits(1):
            return problem.workflow.train_submission(str(folder), X, y, np.arange(10_000))

    return run

"""A runner with the small kit at every isolation level that this host offers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from levels import need
from small_kit import Bench, open_bench

from hepchallenge.run.isolation import Isolation


@pytest.fixture(scope="module", params=list(Isolation))
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with open_bench(tmp_path_factory.mktemp("bench"), need(request.param)) as opened:
        yield opened


@pytest.fixture(scope="module", params=[level for level in Isolation if level is not Isolation.NONE])
def walled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """At every level that is a wall."""
    with open_bench(tmp_path_factory.mktemp("walled"), need(request.param)) as opened:
        yield opened


@pytest.fixture(scope="module")
def contained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with open_bench(tmp_path_factory.mktemp("contained"), need(Isolation.NAMESPACES)) as opened:
        yield opened


@pytest.fixture(scope="module")
def landlocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with open_bench(tmp_path_factory.mktemp("landlocked"), need(Isolation.LANDLOCK)) as opened:
        yield opened


@pytest.fixture(name="need")
def needed() -> Callable[[Isolation], Isolation]:
    """Give `need` to tests."""
    return need

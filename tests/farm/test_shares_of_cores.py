"""How many of a host's cores a worker takes."""

from __future__ import annotations

import pytest

from hepchallenge.farm.nodes import CoreShares, Greeting


def worker(cores: int, host: str = "h") -> Greeting:
    about = {"node": "n", "host": host, "pid": 1, "versions": {}, "offers": [], "accounting": "sampled"}
    return Greeting(**about, cpu="c", cores=cores, slots=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(("cores", "workers", "share"), [(8, 1, 8), (8, 3, 2), (2, 2, 1), (1, 4, 1)])
def test_the_workers_of_a_host_share_its_cores(cores: int, workers: int, share: int) -> None:
    there = [worker(cores) for _ in range(workers)] + [worker(64, "another")]
    assert CoreShares().of(there[0], there) == share


def test_a_worker_that_comes_back_alone_takes_no_more_than_it_had() -> None:
    shares, two = CoreShares(), [worker(8), worker(8)]
    assert shares.of(two[0], two) == 4
    assert shares.of(two[0], two[:1]) == 4
    assert shares.of(worker(8, "another"), [*two, worker(8, "another")]) == 8

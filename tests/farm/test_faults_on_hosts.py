"""Scheduler, organiser and two nodes on hosts of their own, with links that are cut while folds run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from farm_processes import Farm, Process, wait_for
from hosts import Host, Network, open_network
from trial import Trial


@dataclass
class Site:
    """Four hosts on a switch: the organiser's desk, the head node with the scheduler, and two nodes."""

    farm: Farm
    trial: Trial
    desk: Host
    nodes: tuple[Host, Host]

    def start(self) -> Process:
        """Start the command, and wait until a job runs on each node."""
        organiser = self.trial.start(self.farm, host=self.desk)
        names = {node.name for node in self.nodes}
        wait_for(lambda: names == {mark.host for mark in self.trial.marks()}, "a job on each node", organiser)
        return organiser

    def finish(self, organiser: Process) -> None:
        """Let all jobs go on, and check what has become of them."""
        self.trial.let_go()
        self.trial.check_whole(*organiser.communicate())


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with open_network() as network:
        yield network


@pytest.fixture
def settings() -> dict[str, str]:
    """Settings of Dask."""
    return {}


# When a scheduler gives up a worker that is silent, and a connection ends that does; else after minutes, and
# eleven seconds.
SOON = pytest.mark.parametrize("settings", [{"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "4s"}], ids=["soon"])
LATE = pytest.mark.parametrize("settings", [{"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "100s"}], ids=["late"])


@pytest.fixture
def site(network: Network, tmp_path: Path, settings: dict[str, str]) -> Iterator[Site]:
    desk, head, *nodes = (network.add(name) for name in ("desk", "head", "node-a", "node-b"))
    try:
        with Farm(tmp_path / "farm", settings) as farm:
            farm.start_scheduler(head)
            for node in nodes:
                farm.start_worker(node.name, node)
            yield Site(farm, Trial(tmp_path / "trial"), desk, (nodes[0], nodes[1]))
    finally:
        for host in (desk, head, *nodes):
            host.close()


@LATE
def test_a_link_that_is_cut_and_healed_soon_costs_nothing(site: Site) -> None:
    organiser = site.start()
    site.nodes[0].cut()
    site.trial.let_go()
    wait_for(lambda: site.trial.rows("SELECT 1 FROM folds"), "a result of the other node", organiser)
    site.nodes[0].heal()
    site.finish(organiser)
    assert site.trial.failures() == []


@SOON
def test_what_a_node_ran_that_is_cut_off_for_long_runs_elsewhere_and_counts_once(site: Site) -> None:
    organiser = site.start()
    lost = site.nodes[0]
    lost.lose_silently()
    wait_for(site.trial.failures, "failed try on record", organiser)
    lost.heal()
    # What it ran may come to its end there, too.
    site.finish(organiser)
    assert len(site.trial.failures()) == 1


@SOON
def test_a_host_without_power_is_lost_and_harms_nobody(site: Site) -> None:
    organiser = site.start()
    site.nodes[0].switch_off()
    wait_for(site.trial.failures, "failed try on record", organiser)
    site.finish(organiser)
    assert len(site.trial.failures()) == 1


def test_an_organiser_that_is_cut_off_goes_on_when_its_link_is_back(site: Site) -> None:
    organiser = site.start()
    site.desk.lose_silently()
    wait_for(lambda: "lost the scheduler" in organiser.log_text(), "loss of the scheduler", organiser)
    site.desk.heal()
    wait_for(lambda: "again" in organiser.log_text(), "new connection", organiser)
    site.finish(organiser)
    assert site.trial.failures() == []

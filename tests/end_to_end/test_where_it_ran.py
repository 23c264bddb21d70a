"""Fair clocks from end to end: what is recorded of a host, what is said before, what the board ranks then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import hepchallenge
from hepchallenge.cli.leaderboard import load_board
from hepchallenge.contract import read_rules
from hepchallenge.progress import Silent
from hepchallenge.run import cores
from hepchallenge.run.host import cpu_model


class Heard(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(autouse=True)
def own_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Other commands on this host have no say in this."""
    folder = tmp_path / "cores"
    monkeypatch.setattr(cores, "core_folder", lambda: folder)
    return folder


def rules(folder: Path, text: str) -> Path:
    (folder / "rules.toml").write_text(f"[board]\n{text}\n")
    return folder / "rules.toml"


def test_a_fair_run_is_recorded_as_such_and_ranked(kit: Path, tmp_path: Path) -> None:
    wanted = read_rules(rules(tmp_path, f"exclusive_cores = true\nhost_class = {cpu_model()!r}"))
    heard = Heard()
    document = hepchallenge.score(kit, workspace=tmp_path / "w", jobs=1, rules=wanted, progress=heard)
    hosts = [fold["host"] for fold in document.to_dict()["submissions"][0]["folds"]]
    assert {(one["cpu"], one["exclusive"]) for one in hosts} == {(cpu_model(), True)}
    assert not [said for said in heard.said if "rank" in said]
    board = load_board(kit, tmp_path / "w", rules=wanted)
    assert [row.rank for row in board.rows] == [1]
    assert board.notes == (f"All ranked runs were on {cpu_model()} and had their cores for themselves.",)


def test_shared_cores_are_told_before_the_run_and_not_ranked_after_it(
    kit: Path, tmp_path: Path, own_cores: Path
) -> None:
    wanted = read_rules(rules(tmp_path, "exclusive_cores = true"))
    heard = Heard()
    lease = cores.lease_cores(1, sorted(os.sched_getaffinity(0)), own_cores)
    hepchallenge.score(kit, workspace=tmp_path / "w", rules=wanted, progress=heard)
    lease.close()
    assert "what is run now will have no rank: cores were not exclusive" in heard.said
    (row,) = load_board(kit, tmp_path / "w", rules=wanted).rows
    assert (row.rank, row.reason) == (None, "cores were not exclusive")
    assert [row.rank for row in load_board(kit, tmp_path / "w").rows] == [1]
    # Once nobody else is there, the same command with rerun mends it.
    hepchallenge.score(kit, workspace=tmp_path / "w", jobs=1, rules=wanted, rerun=True)
    assert [row.rank for row in load_board(kit, tmp_path / "w", rules=wanted).rows] == [1]


def test_a_run_on_another_class_than_the_board_has_by_now_is_told(
    kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = read_rules(rules(tmp_path, 'host_class = "one"'))
    hepchallenge.score(kit, workspace=tmp_path / "w", rules=wanted)
    here = cpu_model()
    monkeypatch.setattr("hepchallenge.run.host.cpu_model", lambda: "Another Processor")
    heard = Heard()
    hepchallenge.score(kit, workspace=tmp_path / "w", rules=wanted, progress=heard)
    told = f"what is run now will have no rank: ran on Another Processor, the board takes {here}"
    assert told in heard.said

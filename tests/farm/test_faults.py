"""Workers, schedulers and organisers are killed: every result is on record once, and nobody is blamed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm_processes import Farm, Process, wait_for, worker_below
from trial import FOLDS, Trial

from hepchallenge.contract.rules import BoardRules, Phase
from hepchallenge.reception import admissions
from hepchallenge.store import open_workspace


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path / "trial")


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    with Farm(tmp_path / "farm") as farm:
        farm.start_scheduler()
        yield farm


def _busy(trial: Trial, worker: Process) -> bool:
    return any(mark.runs_below(worker) for mark in trial.marks())


def test_a_killed_worker_costs_nobody_anything(farm: Farm, trial: Trial) -> None:
    first, second = farm.start_worker("first"), farm.start_worker("second")
    organiser = trial.start(farm)
    wait_for(lambda: _busy(trial, first) and _busy(trial, second), "a job on each worker", organiser)
    first.kill()
    wait_for(trial.failures, "failed try on record", organiser)
    trial.let_go()
    trial.check_whole(*organiser.communicate())
    (failure,) = trial.failures()
    assert "ended or was lost" in failure


def test_a_worker_that_its_nanny_starts_again_is_used_again(farm: Farm, trial: Trial) -> None:
    nanny = farm.start_worker("only", nanny=True)
    organiser = trial.start(farm)
    trial.wait_for_marks(1, organiser)
    worker = worker_below(nanny)
    assert worker is not None
    worker.kill()
    trial.wait_for_marks(2, organiser)
    trial.let_go()
    trial.check_whole(*organiser.communicate())
    assert len(trial.failures()) == 1


def test_a_scheduler_that_is_started_again_with_new_workers_goes_on(farm: Farm, trial: Trial) -> None:
    farm.start_worker("first")
    farm.start_worker("second")
    organiser = trial.start(farm, trial.write_at_once(), *trial.submissions)
    trial.wait_for_marks(2, organiser)
    wait_for(lambda: len(trial.rows("SELECT 1 FROM folds")) == FOLDS, "recorded folds", organiser)
    before = trial.recorded()
    farm.scheduler.kill()
    farm.start_scheduler()
    # Workers do not survive their scheduler; a batch system starts others.
    farm.start_worker("third")
    trial.wait_for_marks(3, organiser)
    trial.let_go()
    trial.check_whole(*organiser.communicate(), "at once")
    trial.check_kept(before)
    assert trial.failures() == []


def test_a_killed_command_goes_on_while_its_old_jobs_still_run(farm: Farm, trial: Trial) -> None:
    farm.start_worker("first")
    farm.start_worker("second")
    words = (trial.write_at_once(), *trial.submissions)
    killed = trial.start(farm, *words)
    trial.wait_for_marks(2, killed)
    wait_for(lambda: len(trial.rows("SELECT 1 FROM folds")) == FOLDS, "recorded folds", killed)
    before = trial.recorded()
    killed.kill()
    organiser = trial.start(farm, *words)
    # The old ones are ended for the new ones' sake: nobody has let them go.
    trial.wait_for_marks(4, organiser)
    trial.let_go()
    trial.check_whole(*organiser.communicate(), "at once")
    trial.check_kept(before)
    assert trial.failures() == []


def test_a_second_command_waits_for_workers_until_the_first_has_ended(
    farm: Farm, trial: Trial, tmp_path: Path
) -> None:
    farm.start_worker("first")
    farm.start_worker("second")
    other = Trial(tmp_path / "other")
    other.let_go()
    first = trial.start(farm)
    trial.wait_for_marks(2, first)
    second = other.start(farm)
    wait_for(lambda: "serves another command" in second.log_text(), "remark", first, second)
    trial.let_go()
    trial.check_whole(*first.communicate())
    other.check_whole(*second.communicate())
    assert trial.failures() + other.failures() == []


def test_what_kills_its_workers_is_stopped_and_harms_nobody_else(farm: Farm, trial: Trial) -> None:
    workers = [farm.start_worker(name, nanny=True) for name in ("first", "second")]
    trial.let_go()
    killer = trial.write_killer()
    code, out = trial.start(farm, killer, *trial.submissions).communicate()
    entries = {entry["name"]: entry for entry in json.loads(out)["submissions"]}
    assert code == 3
    assert {name: entry["verdict"] for name, entry in entries.items()} == {
        "killer": "infrastructure",
        "near": "scored",
        "far": "scored",
    }
    assert "workers ended or were lost while they ran a job of it" in entries["killer"]["message"]
    restarts = sum(worker.log_text().count("was killed by signal") for worker in workers)
    assert 4 <= restarts <= 4 * FOLDS
    assert trial.rows("SELECT verdict FROM folds WHERE verdict != 'scored'") == []
    with open_workspace(trial.workspace) as store:
        received = store.received("kit")
    said = admissions(received, BoardRules(phases=(Phase(name="only", submissions=2),)))
    counted = {one.submission.name for one in received if said[one.id].counts}
    # What ended workers costs its team no submission.
    assert counted == {"near", "far"}


def test_without_workers_a_command_gives_up_in_the_end_and_can_be_repeated(farm: Farm, trial: Trial) -> None:
    words = (trial.write_at_once(), *trial.submissions)
    worker = farm.start_worker("first")
    organiser = trial.start(farm, *words, patience=3)
    trial.wait_for_marks(1, organiser)
    worker.kill()
    assert organiser.communicate() == (3, "")
    assert "no worker" in organiser.log_text()
    before = trial.recorded()
    trial.let_go()
    farm.start_worker("second")
    trial.check_whole(*trial.start(farm, *words).communicate(), "at once")
    trial.check_kept(before)

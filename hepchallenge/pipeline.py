"""The one way through: stage -> run -> score, recorded in the workspace, ready for the board."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hepchallenge.exceptions import UnknownName, UsageError
from hepchallenge.progress import Progress, Silent
from hepchallenge.records import DataInfo, Document, Limits, RunKey, fold_and_training

if TYPE_CHECKING:
    from hepchallenge.contract import BoardRules, Challenge, ChallengeFolder, HostDemands
    from hepchallenge.farm.cluster import FarmSettings
    from hepchallenge.judge import Judge, Work
    from hepchallenge.run.backend import Backend, QueuedJob
    from hepchallenge.run.local import LocalBackend
    from hepchallenge.stage.stage import Staged
    from hepchallenge.store import Store

__all__ = ["data_for", "score"]


def _sources(folder: ChallengeFolder, submissions: Sequence[str | os.PathLike[str]]) -> list[Path]:
    if submissions:
        return [Path(source) for source in submissions]
    kits = list(folder.kits)
    if not kits:
        raise UsageError(
            f"{folder.name} has no starting kits in {folder.kits_folder}; name a submission folder"
        )
    return kits


def _copies(folder: ChallengeFolder, workspace: str | os.PathLike[str] | None) -> list[Path]:
    """Return the workspace's copies of what was received and has no verdict of its own anywhere yet."""
    from hepchallenge.store import open_workspace

    with open_workspace(workspace, must_exist=True) as store:
        known = store.received(folder.name)
        if not known:
            raise UsageError(
                f"{store.workspace}: nothing was received for {folder.name}; "
                f"try: hepchallenge receive {folder.name} SUBMISSION"
            )
        copies = store.workspace / "submissions"
        return [copies / one.submission.digest for one in known if one.state != "own"]


def _receive_all(
    challenge: Challenge, sources: Sequence[Path], store: Store, rules: BoardRules, heard: Progress
) -> tuple[list[Work], list[str]]:
    """Take submissions in and record their receipt; return those to run, and names of those over quota."""
    from hepchallenge.judge import Work
    from hepchallenge.reception import admissions, take_in_all

    arrivals = take_in_all(challenge, sources, store)
    numbers = store.add_submissions(challenge.name, [arrival.record for arrival in arrivals])
    # As it was received first, and with the team that the organiser knows.
    recorded = store.submissions(numbers)
    works = [
        Work(number, record, arrival.taken, arrival.refusal, received_at)
        for number, arrival, (record, received_at) in zip(numbers, arrivals, recorded, strict=True)
    ]
    if not rules.phases:
        return works, []
    said = admissions(store.received(challenge.name), rules)
    to_run, over_quota = [], []
    for work in works:
        if said[work.id].over_quota:
            over_quota.append(work.record.name)
            heard.say(f"{work.record.name}: not run: {said[work.id].refusal}")
        else:
            to_run.append(work)
    return to_run, over_quota


def _received_before(challenge: Challenge, store: Store, rules: BoardRules, heard: Progress) -> list[Work]:
    """Return what the workspace has received and the quotas admit."""
    from hepchallenge.judge import Work
    from hepchallenge.reception import admissions

    received = store.received(challenge.name)
    said = admissions(received, rules)
    works, n_over = [], 0
    for one in received:
        if said[one.id].over_quota:
            n_over += 1
        else:
            works.append(Work(one.id, one.submission, None, "", one.received_at))
    if n_over:
        # Each was named with its reason when it was received.
        heard.say(f"{n_over} received over quota: not run")
    return works


def _without_verdict(works: Sequence[Work], judge: Judge, store: Store, heard: Progress) -> list[Work]:
    """Return the received submissions that are still to be run, with their copies."""
    from hepchallenge.reception import arrived_before

    waiting = judge.unsettled(works)
    heard.say(f"{len(waiting)} of {len(works)} received to run on these data with these limits")
    for work in waiting:
        arrival = arrived_before(store, work.record)
        work.taken, work.refusal = arrival.taken, arrival.refusal
    return waiting


def data_for(challenge: Challenge, data: str | os.PathLike[str] | None) -> tuple[Path, DataInfo | None]:
    """Return what the data functions are called with, and kind and digest if they are known."""
    from hepchallenge.data import current, has_own_data, read_manifest, resolve

    if data is not None and not Path(data).exists():
        raise UsageError(f"{data}: no such data folder")
    path = current(challenge) if data is None else resolve(challenge, data)
    if has_own_data(challenge):
        return path.resolve(), None
    manifest = read_manifest(path)
    return path, DataInfo(kind=manifest.kind, digest=manifest.digest)


def _check_gpus(gpus: int, limits: Mapping[str, float | int | None]) -> None:
    """Refuse numbers of GPUs and limits on GPUs that could not mean anything."""
    if gpus < 0:
        raise UsageError(f"gpus: expected a number from 0, found {gpus}")
    for name in ("gpu_seconds", "gpu_memory_bytes"):
        if not gpus and limits.get(name) is not None:
            raise UsageError(f"a limit {name} needs GPUs: say how many a fold gets with --gpus")


def _demands(challenge: Challenge, store: Store, staged: Staged, rules: BoardRules) -> HostDemands:
    """Return what the board demands of hosts; where any one class will do, the one that it has by now."""
    from hepchallenge.board.hosts import settled_by
    from hepchallenge.contract import demands

    asked = demands(rules)
    if not asked.wants_one_class:
        return asked
    return settled_by(store.entries(challenge.name, data_digest=staged.data.digest), rules)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What the jobs of a command need of the place where they run."""

    folder: ChallengeFolder
    sources: Sequence[Path]
    isolation: str | None
    limits: Limits
    jobs: int | None
    gpus: int
    seed: int
    quick: bool
    heard: Progress

    @property
    def modules(self) -> list[str]:
        """Installed modules that submissions will import."""
        from hepchallenge.stage.imports import warm_modules

        return warm_modules(source for source in self.sources if source.is_dir())

    def started(self, job: QueuedJob, host: str) -> None:
        """Tell that a job starts."""
        self.heard.job_started(job.label, *fold_and_training(job.number), host)


def _open_local(wanted: _Wanted) -> LocalBackend:
    """Return this host as the place where jobs run."""
    from hepchallenge.run.accounting import choose_accounting
    from hepchallenge.run.isolation import Isolation, choose_isolation
    from hepchallenge.run.local import LocalBackend
    from hepchallenge.run.runner import Runner

    level = choose_isolation(wanted.isolation)
    heard, cores, n_cores = wanted.heard, wanted.limits.cores, len(os.sched_getaffinity(0))
    if level is Isolation.NONE:
        heard.say("isolation none: submissions can read your files; run only code that you trust")
    if cores is not None and cores > n_cores:
        heard.say(f"{wanted.folder.name} gives each fold {cores} cores, of which this host has {n_cores}")
    pool, parallel = None, wanted.jobs or n_cores
    if wanted.gpus:
        from hepchallenge.run.gpu import GpuPool, open_devices

        pool = GpuPool(wanted.gpus, open_devices())
        parallel = min(parallel, pool.most_leases)
    with contextlib.ExitStack() as stack:
        if pool is not None:
            stack.callback(pool.close)
        runner = Runner(
            challenge_folder=wanted.folder.folder,
            isolation=level,
            accounting=choose_accounting(),
            limits=wanted.limits,
            jobs=parallel,
            seed=wanted.seed,
            warm_modules=wanted.modules,
            test_mode=wanted.quick,
            gpus=pool,
        )
        return LocalBackend(runner, heard=wanted.started, afterwards=stack.pop_all().close)


def _say_if_unranked(asked: HostDemands, place: LocalBackend, heard: Progress) -> None:
    """Say before anything is run that the board would not rank it, for want of a fair clock."""
    from hepchallenge.run.host import cpu_model

    if why := asked.refuses(cpu_model(), place.has_own_cores):
        heard.say(f"what is run now will have no rank: {why}")


def _open_farm(wanted: _Wanted, settings: FarmSettings, asked: HostDemands) -> Backend:
    """Return a farm, of whose nodes those are used that the board ranks, as the place where jobs run."""
    from hepchallenge.farm.backend import FarmBackend, FarmJobs
    from hepchallenge.run.isolation import Isolation

    common = FarmJobs(
        challenge_folder=wanted.folder.folder,
        limits=wanted.limits,
        seed=wanted.seed,
        modules=wanted.modules,
        test_mode=wanted.quick,
        gpus=wanted.gpus,
        isolation=None if wanted.isolation is None else Isolation(wanted.isolation),
        demands=asked,
    )
    return FarmBackend(settings, common, heard=wanted.started, say=wanted.heard.say)


def _farm_settings(
    backend: str,
    scheduler: str | None,
    cluster: str | os.PathLike[str] | None,
    jobs: int | None,
) -> FarmSettings | None:
    """Return which farm is meant; None for this host."""
    if backend not in ("local", "dask"):
        raise UnknownName("backend", backend, ("local", "dask"))
    if backend == "local":
        for word, value in (("scheduler", scheduler), ("cluster", cluster)):
            if value is not None:
                raise UsageError(f"--{word} names a farm: say --backend dask, too")
        return None
    from hepchallenge.farm.cluster import FarmSettings, read_cluster_file

    if jobs is not None:
        raise UsageError("--jobs is for this host; a farm runs as many at once as its workers have threads")
    if (scheduler is None) == (cluster is None):
        found = "neither" if scheduler is None else "both"
        raise UsageError(
            f"--backend dask needs --scheduler ADDRESS (a running cluster) or --cluster FILE (one to start); "
            f"found {found}"
        )
    return (
        FarmSettings(scheduler=scheduler) if scheduler is not None else read_cluster_file(Path(cluster or ""))
    )


def score(
    challenge: str | os.PathLike[str],
    submissions: Sequence[str | os.PathLike[str]] = (),
    *,
    data: str | os.PathLike[str] | None = None,
    workspace: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    isolation: str | None = None,
    limits: Mapping[str, float | int | None] | None = None,
    gpus: int = 0,
    seed: int = 0,
    trainings: int | None = None,
    quick: bool = False,
    rerun: bool = False,
    received: bool = False,
    data_label: str | None = None,
    rules: BoardRules | None = None,
    backend: str = "local",
    scheduler: str | None = None,
    cluster: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Document:
    """Run and score submissions to a challenge.

    Parameters
    ----------
    challenge
        Name of a built-in challenge, or a folder with `problem.py` (any RAMP kit).
    submissions
        Submission folders, archives of them, or prediction files; none means the shipped starting kits.
    data
        Folder with the published files, or with prepared data; by default the data chosen with
        `hepchallenge data`, else toy data. For a RAMP kit, the folder that holds its `data/`.
    workspace
        Where everything is recorded; by default `hepchallenge-workspace` in the current folder.
    jobs
        Folds run at the same time on this host; by default the number of usable cores.
    isolation
        The isolation level to run at; by default the strongest that this host, or every node, offers.
    limits
        Changes to the challenge's limits, by the names of `Limits`.
    gpus
        Whole GPUs that each fold has for itself; with 0 it finds none.
    seed
        Seeds the global generators of every fold.
    trainings
        How often every fold is trained, the seed being one larger each time; by default as often as the
        challenge says.
    quick
        First fold only, trained once, with `RAMP_TEST_MODE=1`.
    rerun
        Run again what is recorded already.
    received
        Score, instead of `submissions`, all that the workspace has received and that has no verdict yet on
        these data with these limits, from the workspace's copies. Several may have one name.
    data_label
        For RAMP kits whose data functions take it.
    rules
        Rules of the board instead of the challenge's own. What is over quota is received but not run.
    backend
        `local`, or `dask` for the workers of a Dask cluster.
    scheduler
        Address of a running cluster's scheduler.
    cluster
        File that describes a cluster, which is started for this command and ends with it.
    progress
        Hears how far things are.

    Returns
    -------
    Document
        The same record that `hepchallenge score --json` prints.

    Raises
    ------
    UsageError, OrganiserError, InfrastructureError
        If nothing could be run at all. What goes wrong with one submission is its verdict.
    """
    from hepchallenge.contract import find_challenge, load_challenge
    from hepchallenge.contract.config import MOST_TRAININGS
    from hepchallenge.run.host import library_versions

    heard = progress or Silent()
    if received and submissions:
        raise UsageError(
            "what was received is scored from the workspace: name no submissions with --received"
        )
    farm = _farm_settings(backend, scheduler, cluster, jobs)
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs: expected a number from 1, found {jobs}")
    _check_gpus(gpus, limits or {})
    folder = find_challenge(challenge)
    board_rules = folder.config.rules if rules is None else rules
    sources = _copies(folder, workspace) if received else _sources(folder, submissions)
    try:
        chosen = folder.config.limits.with_changes(**(limits or {}))
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from None

    if trainings is not None and not 1 <= trainings <= MOST_TRAININGS:
        raise UsageError(f"trainings: expected a number from 1 to {MOST_TRAININGS}, found {trainings}")
    times = 1 if quick else trainings or folder.config.trainings

    wanted = _Wanted(
        folder=folder,
        sources=sources,
        isolation=isolation,
        limits=chosen,
        jobs=jobs,
        gpus=gpus,
        seed=seed,
        quick=quick,
        heard=heard,
    )
    with contextlib.ExitStack() as stack:
        local = None
        if farm is None:
            # First of all: its warm interpreter imports while this process imports and reads data.
            local = _open_local(wanted)
            stack.callback(local.close)
        from hepchallenge.judge import Conditions, Judge, label_all
        from hepchallenge.scorer.scorer import new_scorer
        from hepchallenge.stage.stage import ramp_test_mode, stage
        from hepchallenge.store import open_workspace

        store = stack.enter_context(open_workspace(workspace))
        with ramp_test_mode(quick):
            loaded = load_challenge(folder.folder)
        over_quota: list[str] = []
        if received:
            works = _received_before(loaded, store, board_rules, heard)
        else:
            works, over_quota = _receive_all(loaded, sources, store, board_rules, heard)
        path, info = data_for(loaded, data)
        staged = stage(
            loaded,
            path,
            info,
            store.workspace / "inputs",
            secret=store.secret(),
            quick=quick,
            data_label=data_label,
        )
        if staged.data.kind == "toy":
            heard.say(f"{loaded.name}: toy data (simulated); for real ones see: hepchallenge data --help")
        scorer = new_scorer(loaded, staged.truth, staged.data.digest, board_rules.replicas, store.save_array)
        asked = _demands(loaded, store, staged, board_rules)
        place: Backend
        if local is not None:
            place = local
            _say_if_unranked(asked, local, heard)
        else:
            assert farm is not None
            place = _open_farm(wanted, farm, asked)
            stack.callback(place.close)
        key = RunKey(
            challenge=loaded.name,
            challenge_version=loaded.version,
            submission_digest="",
            data_digest=staged.data.digest,
            limits=chosen,
            gpus=gpus,
            seed=seed,
            quick=quick,
            trainings=times,
        )
        conditions = Conditions(str(place.isolation), str(place.accounting), library_versions(), rerun)
        judge = Judge(loaded, staged, store, place, scorer, heard, key, conditions)
        if received:
            works = _without_verdict(works, judge, store, heard)
        label_all(works)
        entries = judge.judge(works)
    return Document(
        challenge=loaded.name,
        data=staged.data,
        isolation=conditions.isolation,
        accounting=conditions.accounting,
        submissions=tuple(entries),
        over_quota=tuple(over_quota),
    )

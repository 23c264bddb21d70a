"""The one way through: stage -> run -> score, recorded in the workspace, ready for the board."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hepchallenge.exceptions import UsageError
from hepchallenge.progress import Progress, Silent
from hepchallenge.records import DataInfo, Document, RunKey, fold_and_training

if TYPE_CHECKING:
    from hepchallenge.contract import BoardRules, Challenge, ChallengeFolder
    from hepchallenge.judge import Judge, Work
    from hepchallenge.run.backend import QueuedJob
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
        Folds run at the same time; by default the number of usable cores.
    isolation
        Lowest isolation level to accept; by default the strongest that this host offers.
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
    from hepchallenge.run.accounting import choose_accounting
    from hepchallenge.run.host import library_versions
    from hepchallenge.run.isolation import Isolation, choose_isolation
    from hepchallenge.stage.imports import warm_modules

    heard = progress or Silent()
    if received and submissions:
        raise UsageError(
            "what was received is scored from the workspace: name no submissions with --received"
        )
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs: expected a number from 1, found {jobs}")
    _check_gpus(gpus, limits or {})
    folder = find_challenge(challenge)
    board_rules = folder.config.rules if rules is None else rules
    sources = _copies(folder, workspace) if received else _sources(folder, submissions)
    level = choose_isolation(isolation)
    accounting = choose_accounting()
    if level is Isolation.NONE:
        heard.say("isolation none: submissions can read your files; run only code that you trust")
    try:
        chosen = folder.config.limits.with_changes(**(limits or {}))
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from None

    if trainings is not None and not 1 <= trainings <= MOST_TRAININGS:
        raise UsageError(f"trainings: expected a number from 1 to {MOST_TRAININGS}, found {trainings}")
    times = 1 if quick else trainings or folder.config.trainings

    from hepchallenge.run.local import LocalBackend
    from hepchallenge.run.runner import Runner

    def started(job: QueuedJob, host: str) -> None:
        heard.job_started(job.label, *fold_and_training(job.number), host)

    with contextlib.ExitStack() as stack:
        pool = None
        parallel = jobs or len(os.sched_getaffinity(0))
        if gpus:
            from hepchallenge.run.gpu import GpuPool, open_devices

            pool = GpuPool(gpus, open_devices())
            stack.callback(pool.close)
            parallel = min(parallel, pool.most_leases)
        if chosen.cores is not None and chosen.cores > len(os.sched_getaffinity(0)):
            found = len(os.sched_getaffinity(0))
            heard.say(f"{folder.name} gives each fold {chosen.cores} cores, of which this host has {found}")
        # First of all the warm interpreter: it imports while this process imports and reads data.
        runner = stack.enter_context(
            Runner(
                challenge_folder=folder.folder,
                isolation=level,
                accounting=accounting,
                limits=chosen,
                jobs=parallel,
                seed=seed,
                warm_modules=warm_modules(s for s in sources if s.is_dir()),
                test_mode=quick,
                gpus=pool,
            )
        )
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
        backend = LocalBackend(runner, times_events=staged.events is not None, heard=started)
        stack.callback(backend.close)
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
        conditions = Conditions(str(level), str(accounting), library_versions(), rerun)
        judge = Judge(loaded, staged, store, backend, scorer, heard, key, conditions)
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

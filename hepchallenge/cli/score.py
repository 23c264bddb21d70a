"""`hepchallenge score`."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hepchallenge.cli.options import rules_option, workspace_option
from hepchallenge.records import parse_bytes

if TYPE_CHECKING:
    from hepchallenge.contract import BoardRules

__all__ = ["command"]


_SECONDS = click.FloatRange(min=0, min_open=True)


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return the bytes that a size such as 4GiB means."""
    try:
        return None if value is None else parse_bytes(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("score")
@click.argument("challenge")
@click.argument("submissions", nargs=-1, metavar="[SUBMISSION]...")
@click.option(
    "--data",
    type=click.Path(),
    metavar="DIR",
    help="Published or prepared data; for a RAMP kit the folder that holds its data/.",
)
@workspace_option
@click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="Folds run at once; default: all cores."
)
@click.option(
    "--backend",
    type=click.Choice(["local", "dask"]),
    default="local",
    show_default=True,
    help="Where folds run: on this host, or on the workers of a Dask cluster (hepchallenge[farm]).",
)
@click.option("--scheduler", metavar="ADDRESS", help="A Dask cluster that runs already; with --backend dask.")
@click.option(
    "--cluster",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A TOML file that says which Dask cluster to use or to start; with --backend dask.",
)
@click.option(
    "--isolation",
    type=click.Choice(["namespaces", "landlock", "none"]),
    help="Run at this level or not at all; default: the strongest that this host, or every node, offers.",
)
@click.option("--fit-wall", type=_SECONDS, metavar="S", help="Wall-clock seconds for fit.")
@click.option("--fit-cpu", type=_SECONDS, metavar="S", help="CPU seconds for fit, over all processes.")
@click.option(
    "--predict-wall", type=_SECONDS, metavar="S", help="Wall-clock seconds for predict, or for each event."
)
@click.option(
    "--predict-cpu",
    type=_SECONDS,
    metavar="S",
    help="CPU seconds for predict or each event, over all processes.",
)
@click.option("--memory", callback=_size, metavar="BYTES|4GiB", help="Memory of a fold's process tree.")
@click.option(
    "--cores", type=click.IntRange(min=1), metavar="N", help="Cores that every fold has for itself."
)
@click.option("--scratch", callback=_size, metavar="BYTES|1GiB", help="What a fold may keep in /tmp.")
@click.option(
    "--gpus",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Whole GPUs for every fold; default: none.",
)
@click.option(
    "--gpu-seconds", type=_SECONDS, metavar="S", help="GPUs times wall-clock seconds for fit and predict."
)
@click.option(
    "--gpu-memory", callback=_size, metavar="BYTES|8GiB", help="GPU memory of a fold's process tree."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of every fold.")
@click.option(
    "--trainings",
    type=click.IntRange(min=1, max=1000),
    metavar="N",
    help="How often every fold is trained, with seeds one apart; default: the challenge's own number.",
)
@click.option("--quick", is_flag=True, help="First fold only, with RAMP_TEST_MODE=1: a quick look.")
@click.option("--rerun", is_flag=True, help="Run again what is recorded already.")
@click.option(
    "--received", is_flag=True, help="Score what was received and has no verdict yet; name no SUBMISSION."
)
@click.option("--data-label", metavar="NAME", help="For RAMP kits with several data sets.")
@rules_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def command(
    challenge: str,
    submissions: tuple[str, ...],
    data: str | None,
    workspace: str | None,
    jobs: int | None,
    backend: str,
    scheduler: str | None,
    cluster: Path | None,
    isolation: str | None,
    fit_wall: float | None,
    fit_cpu: float | None,
    predict_wall: float | None,
    predict_cpu: float | None,
    memory: int | None,
    cores: int | None,
    scratch: int | None,
    gpus: int,
    gpu_seconds: float | None,
    gpu_memory: int | None,
    seed: int,
    trainings: int | None,
    quick: bool,
    rerun: bool,
    received: bool,
    data_label: str | None,
    rules: BoardRules | None,
    as_json: bool,
) -> int:
    """Run submissions to CHALLENGE apart from the labels, score them, print the leaderboard.

    CHALLENGE is a name from `hepchallenge list` or a folder with problem.py (any RAMP kit). A SUBMISSION
    is a folder of code, an archive of one (zip, tar, tar.gz), or a prediction file; without one the shipped
    starting kits are scored. What is recorded already is not run again.

    Limits that are not given are the challenge's own (`hepchallenge info CHALLENGE`). Where a challenge has
    events, the limits of predict are for each event.

    The receipt of every submission is recorded; those over a quota of their team are not run. With
    --received all that `hepchallenge receive` took in is scored, from the copies in the workspace; what is
    over quota was said then, and does not change the exit code.

    With --backend dask the folds run on other hosts, under the same isolation; labels stay here. What a
    worker was running that is lost runs again on another one.

    Exit code: 0 all scored, 1 some submission was not, 2 wrong usage, 3 the infrastructure failed.
    """
    from hepchallenge.cli.progress import progress_for
    from hepchallenge.pipeline import score

    limits = {
        "fit_wall": fit_wall,
        "fit_cpu": fit_cpu,
        "predict_wall": predict_wall,
        "predict_cpu": predict_cpu,
        "memory_bytes": memory,
        "cores": cores,
        "gpu_seconds": gpu_seconds,
        "gpu_memory_bytes": gpu_memory,
        "scratch_bytes": scratch,
    }
    # What a kit or a library prints while it is imported must not mix with the answer.
    with contextlib.redirect_stdout(sys.stderr), progress_for(as_json) as progress:
        document = score(
            challenge,
            submissions,
            data=data,
            workspace=workspace,
            jobs=jobs,
            isolation=isolation,
            limits=limits,
            gpus=gpus,
            seed=seed,
            trainings=trainings,
            quick=quick,
            rerun=rerun,
            received=received,
            data_label=data_label,
            rules=rules,
            backend=backend,
            scheduler=scheduler,
            cluster=cluster,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(document.to_dict(), allow_nan=False))
    elif document.submissions:
        from hepchallenge.cli.leaderboard import load_board, show_board

        show_board(load_board(challenge, workspace, data_digest=document.data.digest, rules=rules))
    return document.exit_code

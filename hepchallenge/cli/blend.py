"""`hepchallenge blend`."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hepchallenge.cli.options import rules_option, workspace_option
from hepchallenge.cli.progress import progress_for

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from hepchallenge.blend import Blend
    from hepchallenge.contract import BoardRules
    from hepchallenge.records import Scoring

__all__ = ["command", "export", "to_csv", "to_terminal"]

_TOY = "toy data (simulated)"


def _table(blend: Blend, title: str, left: list[str], right: list[str]) -> Table:
    from rich import box
    from rich.table import Table

    whole = f"{title} — {_TOY}" if blend.data.kind == "toy" else title
    table = Table(title=whole, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for head in left:
        table.add_column(head, overflow="fold")
    for head in right:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _add(table: Table, cells: list[str], *, bold: bool = False) -> None:
    from rich.text import Text

    # Text, not str: rich would read a stranger's [brackets] as markup.
    table.add_row(*(Text(cell, style="bold" if bold else "") for cell in cells))


def to_terminal(blend: Blend, console: Console) -> None:
    """Print who contributes how much, and the blend's scores beside those of the best single submission."""
    from rich.text import Text

    from hepchallenge.records import Verdict
    from hepchallenge.text import clean, safe_message

    precision = {metric.name: metric.precision for metric in blend.metrics}
    metric = clean(blend.metric)
    heads = [f"{metric} valid", "contributivity", "taken by fold"]
    table = _table(blend, f"{clean(blend.challenge)}: contributivity", ["submission", "team"], heads)
    for member in sorted(blend.members, key=lambda one: -one.contributivity):
        taken = [f"{count}/{len(picks)}" for count, picks in zip(member.taken, blend.picks, strict=True)]
        _add(
            table,
            [
                clean(member.submission.name),
                clean(member.submission.team),
                f"{member.valid:.{precision[blend.metric]}f}",
                f"{member.contributivity:.0f} %",
                " ".join(taken),
            ],
        )
    console.print(table)

    columns: dict[str, Scoring] = {
        "blend": blend.blended,
        "best of each fold": blend.foldwise_best,
        f"best single: {clean(blend.best.submission.name, 30)}": blend.best_scoring,
    }
    table = _table(
        blend, f"Blended by {metric}, beside the best single one", ["metric", "part"], list(columns)
    )
    for name, part in _rows(blend):
        values = [scoring.scores.get(name, {}).get(part) for scoring in columns.values()]
        cells = ["" if value is None else f"{value:.{precision[name]}f}" for value in values]
        _add(table, [clean(name), part.replace("_", " "), *cells], bold=name == blend.metric)
    console.print(table)
    for name, scoring in columns.items():
        if scoring.verdict is not Verdict.SCORED:
            message = safe_message(scoring.message)
            console.print(Text(f"{name}: {scoring.verdict.value}: {message}", style="red"))
    for gate, found in blend.blended.gates.items():
        word = "passes" if found["passed"] else "fails"
        limits = f"{found['statistic']:.6g}, must be below {found['threshold']:g}"
        console.print(Text(f"the blend {word} the gate {clean(gate)}: {limits}"))
    for note in blend.notes:
        console.print(Text(note, style="yellow"))


def _rows(blend: Blend) -> list[tuple[str, str]]:
    """Return metrics and parts in the order in which they are shown; nobody cares for training rows here."""
    have = [blend.blended.scores, blend.best_scoring.scores]
    return [
        (metric.name, part)
        for metric in blend.metrics
        for part in blend.parts
        if part != "train" and any(part in scores.get(metric.name, {}) for scores in have)
    ]


def to_csv(blend: Blend) -> str:
    """Return the contributivities as CSV: a line a submission, a column a fold with its share in percent."""
    from hepchallenge.board.text import csv_cell
    from hepchallenge.text import clean

    stream = io.StringIO()
    writer = csv.writer(stream)
    folds = range(len(blend.picks))
    heads = [
        "submission",
        "team",
        "digest",
        "data",
        f"{csv_cell(clean(blend.metric))} valid",
        "contributivity",
    ]
    writer.writerow([*heads, *(f"fold {fold}" for fold in folds)])
    for member in blend.members:
        shares = [100 * count / len(picks) for count, picks in zip(member.taken, blend.picks, strict=True)]
        submission = member.submission
        words = (submission.name, submission.team, submission.digest)
        names = [csv_cell(clean(text, 100)) for text in words]
        writer.writerow([*names, blend.data.kind, member.valid, member.contributivity, *shares])
    return stream.getvalue()


def export(blend: Blend, folder: Path) -> list[Path]:
    """Write `<challenge>-blend[-toy].csv` and `.json`, which hold what the audience of `--part` may see."""
    from hepchallenge.board.text import file_stem
    from hepchallenge.store import write_atomically

    toy = "-toy" if blend.data.kind == "toy" else ""
    texts = {"csv": to_csv(blend), "json": json.dumps(blend.to_dict(), indent=2, allow_nan=False) + "\n"}
    stem = f"{file_stem(blend.challenge)}-blend{toy}"
    return [
        write_atomically(folder / f"{stem}.{suffix}", text.encode("utf-8")) for suffix, text in texts.items()
    ]


@click.command("blend")
@click.argument("challenge")
@click.argument("submissions", nargs=-1, metavar="[SUBMISSION]...")
@click.option("--data", type=click.Path(), metavar="DIR", help="The data that were scored, as for `score`.")
@workspace_option
@click.option("--data-label", metavar="NAME", help="For RAMP kits with several data sets.")
@click.option(
    "--part",
    type=click.Choice(["public", "private", "cv"]),
    help="Show scores of no part that is more secret; default: public, without a test set cv.",
)
@rules_option
@click.option("--metric", metavar="NAME", help="The metric to improve; default: the official one.")
@click.option(
    "--min-improvement",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="X",
    help="Take a submission only if the score gets better by more than this.",
)
@click.option(
    "--export", "directory", type=click.Path(file_okay=False), metavar="DIR", help="Also write csv and json."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def command(
    challenge: str,
    submissions: tuple[str, ...],
    data: str | None,
    workspace: str | None,
    data_label: str | None,
    part: str | None,
    rules: BoardRules | None,
    metric: str | None,
    min_improvement: float,
    directory: str | None,
    as_json: bool,
) -> int:
    """Blend scored submissions to CHALLENGE and show who contributes how much.

    On the validation rows of every fold an ensemble is selected greedily, with replacement, as `ramp-blend`
    does it; the ensembles are then scored like a submission, which includes its gates. Nothing is run again
    and nothing is recorded. A SUBMISSION is its name on the board, its digest, or its folder; without one all
    can be taken that were scored on all folds. What the rules do not rank - late, early, over quota - cannot.

    Exit code: 0 the blend has scores, 1 it has another verdict, 2 wrong usage.
    """
    from hepchallenge.blend import blend

    # What a kit or a library prints while it is imported must not mix with the answer.
    with contextlib.redirect_stdout(sys.stderr), progress_for(as_json) as progress:
        found = blend(
            challenge,
            submissions,
            data=data,
            workspace=workspace,
            data_label=data_label,
            part=part,
            metric=metric,
            min_improvement=min_improvement,
            rules=rules,
            progress=progress,
            on_step=progress.step,
        )
    if directory is not None:
        for path in export(found, Path(directory)):
            click.echo(f"wrote {path}", err=True)
    if as_json:
        click.echo(json.dumps(found.to_dict(), allow_nan=False))
    else:
        from rich.console import Console

        to_terminal(found, Console(highlight=False))
    return found.exit_code

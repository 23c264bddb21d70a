"""`hepchallenge info`: everything a challenge says about itself, and which data it would use."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from hepchallenge.contract import BoardRules, Challenge


def _grid(*headings: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=bool(headings))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _size(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    for unit in ("KiB", "MiB", "GiB"):
        if count < 1024**2 or unit == "GiB":
            return f"{count / 1024:.4g} {unit}"
        count //= 1024
    raise AssertionError


def _metrics(challenge: Challenge) -> Table:
    table = _grid("metric", "better", "decimals", "")
    for score_type in challenge.problem.score_types:
        direction = "lower" if score_type.is_lower_the_better else "higher"
        official = "official" if score_type.name == challenge.official_metric else ""
        table.add_row(score_type.name, direction, str(int(score_type.precision)), official)
    return table


def _limits(challenge: Challenge) -> Table:
    limits = challenge.config.limits
    table = _grid()
    for phase in ("fit", "predict"):
        wall, cpu = getattr(limits, f"{phase}_wall"), getattr(limits, f"{phase}_cpu")
        each = "each event: " if phase == "predict" and challenge.problem.has_events else ""
        table.add_row(phase, f"{each}{wall:g} s wall clock, {cpu:g} s CPU (whole process tree)")
    table.add_row("memory", _size(limits.memory_bytes))
    table.add_row("output", _size(limits.output_bytes))
    table.add_row("scratch", f"{_size(limits.scratch_bytes)} in /tmp")
    table.add_row("log", f"{_size(limits.log_bytes)} kept")
    table.add_row("processes", str(limits.processes))
    if challenge.config.trainings > 1:
        table.add_row("trainings", f"{challenge.config.trainings} of every fold, with seeds one apart")
    if limits.cores is not None:
        table.add_row("cores", str(limits.cores))
    if limits.gpu_seconds is not None:
        table.add_row("GPU time", f"{limits.gpu_seconds:g} s (devices times wall clock)")
    if limits.gpu_memory_bytes is not None:
        table.add_row("GPU memory", _size(limits.gpu_memory_bytes))
    return table


_STANDS = {
    "best": "its best by the public board",
    "last": "its last",
    "chosen": "the best of up to {most} that it chose",
    "all": "all",
}


def _rules(rules: BoardRules) -> Table:
    from rich.markup import escape

    from hepchallenge.contract.rules import duration

    table = _grid()
    table.add_row("ranked of a team", _STANDS[rules.entry].format(most=rules.most_chosen))
    if rules.ladder:
        step = "parameter-free" if rules.ladder_step is None else f"with step {rules.ladder_step:g}"
        table.add_row("public board", f"the Ladder, {step}")
    if rules.reveal is not None:
        table.add_row("private part", f"revealed {_moment(rules.reveal)}")
    for phase in rules.phases:
        span = [
            *([f"from {_moment(phase.start)}"] if phase.start else []),
            *([f"until {_moment(phase.end)}"] if phase.end else []),
        ]
        quotas = [
            *([f"{phase.submissions} of a team"] if phase.submissions else []),
            *([f"{phase.per_day} a day (UTC)"] if phase.per_day else []),
            *([f"{duration(phase.interval)} between two"] if phase.interval else []),
        ]
        words = ", ".join(filter(None, (" ".join(span), *quotas)))
        table.add_row(escape(f"phase {phase.name}"), words or "no limits")
    return table


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _sources(challenge: Challenge) -> str:
    lines = []
    for source in challenge.config.sources:
        checksums = source.checksums
        pinned = next(
            (f"{name} {checksums[name][:12]}" for name in checksums), "checksum of the first download"
        )
        if source.kind == "kaggle":
            origin, pinned = f"https://www.kaggle.com/c/{source.location}/data (login needed)", ""
        else:
            origin = f"https://doi.org/{source.location}" if source.kind == "doi" else source.location
        details = ", ".join(filter(None, (_size(source.size) if source.size else "", pinned)))
        lines.append(f"{source.filename} ({details})" if details else source.filename)
        lines.append(f"  {origin}")
        lines.append(f"  licence: {source.licence or 'not stated'}")
    return "\n".join(lines)


def _references(challenge: Challenge) -> Table:
    table = _grid("published score", "metric", "part", "value", "source")
    for reference in challenge.config.references:
        value = f"{reference.value:g}" if reference.confirmed else f"{reference.value:g} (unconfirmed)"
        table.add_row(reference.name, reference.metric, reference.part, value, reference.source)
    return table


def _kit_title(kit: Path) -> str:
    try:
        title = tomllib.loads((kit / "submission.toml").read_text(encoding="utf-8")).get("title", "")
    except (OSError, ValueError):
        return ""
    return title if isinstance(title, str) else ""


def _data_line(challenge: Challenge) -> str:
    from hepchallenge.data import chosen

    choice = chosen(challenge)
    if choice.kind == "own":
        return f"read by the challenge itself from {choice.source}"
    if choice.kind == "path":
        return f"{choice.source} (selected; prepared in {choice.prepared})"
    defaults = challenge.config.toy
    seed = defaults.seed if choice.seed is None else choice.seed
    events = choice.events or defaults.events
    how_many = f", {events} events" if events else ""
    return f"toy data, simulated with seed {seed}{how_many}"


@click.command("info")
@click.argument("challenge")
def command(challenge: str) -> None:
    """Show what CHALLENGE asks for: metrics, data, limits, kits and published scores.

    CHALLENGE is a name from `hepchallenge list` or a folder with a problem.py.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.text import Text

    from hepchallenge.contract import BoardRules, load_challenge

    loaded = load_challenge(challenge)
    config = loaded.config
    kits = _grid()
    for kit in loaded.kits:
        kits.add_row(escape(kit.name), escape(_kit_title(kit)))
    sections: list[tuple[str, Table | str]] = [("Metrics", _metrics(loaded))]
    if config.sources:
        sections.append(("Data sources", _sources(loaded)))
    if config.licence or config.citation:
        sections.append(("Licence and citation", "\n".join(filter(None, (config.licence, config.citation)))))
    sections.append(("Data used without --data", _data_line(loaded)))
    sections.append(("Limits of one fold", _limits(loaded)))
    if config.rules != BoardRules():
        sections.append(("Rules of the board", _rules(config.rules)))
    if loaded.kits:
        sections.append(("Starting kits", kits))
    if config.prediction_file:
        columns = ", ".join(f"{name} ({kind})" for name, kind in config.prediction_file.columns.items())
        sections.append(("Columns of submission.csv", columns))
    if config.references:
        sections.append(("Published scores", _references(loaded)))
    console = Console(highlight=False)
    console.print(Text(f"{loaded.name}: {loaded.title}", style="bold"))
    if config.summary:
        console.print(Text(config.summary))
    for heading, body in sections:
        content = Text(body) if isinstance(body, str) else body
        console.print(Text(f"\n{heading}", style="bold"))
        # Lines of text are not broken, so that addresses can be copied.
        console.print(content, soft_wrap=isinstance(body, str))

"""`hepchallenge list`: the built-in challenges, read from their `challenge.toml` only."""

from __future__ import annotations

import click


@click.command("list")
def command() -> None:
    """List the built-in challenges and their starting kits."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from hepchallenge.contract import list_challenges

    table = Table(box=None, pad_edge=False)
    for heading in ("challenge", "what it is", "starting kits"):
        table.add_column(heading, overflow="fold")
    for challenge in list_challenges():
        about = challenge.config.title or challenge.name
        if challenge.config.summary:
            about = f"{about}: {challenge.config.summary}"
        kits = "\n".join(kit.name for kit in challenge.kits)
        table.add_row(challenge.name, escape(about), escape(kits) or "none")
    console = Console()
    if table.row_count:
        console.print(table)
    else:
        console.print("no built-in challenges are installed")

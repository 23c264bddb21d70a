"""`hepchallenge doctor`."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command("doctor")
@click.option(
    "--workspace",
    type=click.Path(file_okay=False),
    envvar="HEPCHALLENGE_WORKSPACE",
    metavar="DIR",
    help="Where everything would be recorded; default: hepchallenge-workspace.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def command(workspace: str | None, as_json: bool) -> int:
    """Say whether strangers' code can be run safely on this host, and what would mend what is missing.

    Exit code: 0 if it can (an isolation level apart from `none` works and no other check fails), else 1.
    """
    import json
    from pathlib import Path

    from hepchallenge.cli.findings import show_findings
    from hepchallenge.data import cache_root
    from hepchallenge.run.doctor import Host, examine, report
    from hepchallenge.store.database import DEFAULT_WORKSPACE

    host = Host(workspace=Path(workspace or DEFAULT_WORKSPACE), cache=cache_root())
    findings = examine(host)
    answer = report(findings)
    if as_json:
        click.echo(json.dumps(answer))
    else:
        show_findings(findings)
        can = "can" if answer["safe"] else "cannot"
        click.echo(f"\nStrangers' code {can} be run safely on this host.")
    return 0 if answer["safe"] else 1

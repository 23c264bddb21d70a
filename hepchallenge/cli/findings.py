"""How commands that look for trouble show what they found."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hepchallenge.findings import Finding, Status

__all__ = ["show_findings"]

_COLOURS = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red"}


def show_findings(findings: Sequence[Finding]) -> None:
    """Print one line a finding on stdout, and below it what would mend it."""
    width = max((len(finding.check) for finding in findings), default=0)
    for finding in findings:
        status = click.style(f"{finding.status.value:4}", fg=_COLOURS[finding.status])
        click.echo(f"{status}  {finding.check:{width}}  {finding.fact}")
        if finding.mend:
            click.echo(f"{'':{width + 6}}  mend: {finding.mend}")

"""`hepchallenge audit`."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING

import click

from hepchallenge.cli.options import rules_option, workspace_option

if TYPE_CHECKING:
    from hepchallenge.contract import BoardRules, Challenge
    from hepchallenge.findings import Finding

__all__ = ["command"]


@click.command("audit")
@click.argument("challenge")
@click.option("--data", type=click.Path(), metavar="DIR", help="Which data to look at, as for `score`.")
@click.option("--data-label", metavar="NAME", help="For RAMP kits with several data sets.")
@workspace_option
@rules_option
@click.option(
    "--kits", is_flag=True, help="Score the first starting kit three times and compare its predictions."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def command(
    challenge: str,
    data: str | None,
    data_label: str | None,
    workspace: str | None,
    rules: BoardRules | None,
    kits: bool,
    as_json: bool,
) -> int:
    """Look for leaks in the data of CHALLENGE, mistakes in its metrics, and secrets in its public export.

    Labels that follow from row order, ids, weights, single features, missing values or repeated rows; parts
    that are not alike; metrics that depend on the order of rows, take NaN or point the wrong way; private
    scores, paths and names in what `board --export` writes for the public.

    Exit code: 0 if no check fails, else 1. Warnings are for you to judge.
    """
    from hepchallenge.audit import audit
    from hepchallenge.cli.findings import show_findings
    from hepchallenge.cli.progress import progress_for
    from hepchallenge.contract import load_challenge
    from hepchallenge.findings import none_failed

    # What a kit or a library prints while it is imported must not mix with the answer.
    with contextlib.redirect_stdout(sys.stderr), progress_for(as_json) as progress:
        loaded = load_challenge(challenge)
        found = audit(loaded, data=data, data_label=data_label, with_kits=kits, progress=progress)
        findings = [*found.findings, *_of_export(loaded, challenge, workspace, rules)]
    passed = none_failed(findings)
    if as_json:
        answer = {
            **found.to_dict(),
            "passed": passed,
            "checks": [finding.to_dict() for finding in findings],
        }
        click.echo(json.dumps(answer))
    else:
        show_findings(findings)
        kind = "toy data (simulated)" if found.data == "toy" else f"{found.data} data"
        counts = {status: sum(f.status.value == status for f in findings) for status in ("warn", "fail")}
        warnings, failures = counts["warn"], counts["fail"]
        click.echo(
            f"\n{loaded.name}, {kind}: {len(findings)} checks, {warnings} to judge, {failures} failed."
        )
    return 0 if passed else 1


def _of_export(
    loaded: Challenge, challenge: str, workspace: str | None, rules: BoardRules | None
) -> tuple[Finding, ...]:
    """Look into the public export of what the workspace holds, if it holds anything."""
    from hepchallenge.audit import export_findings
    from hepchallenge.cli.leaderboard import load_board
    from hepchallenge.data import cache_root
    from hepchallenge.exceptions import UsageError
    from hepchallenge.findings import Finding, Status
    from hepchallenge.store import open_workspace

    try:
        opened = open_workspace(workspace, must_exist=True)
    except UsageError:
        return (Finding("export", Status.OK, "there is no workspace yet"),)
    with opened as store:
        if not (recorded := store.entries(loaded.name)):
            fact = f"nothing is scored yet in {store.workspace.name}"
            return (Finding("export", Status.OK, fact),)
        digest = recorded[-1].data.digest
        entries = store.entries(loaded.name, data_digest=digest)
        parts = {part for entry in entries for p in entry.scoring.scores.values() for part in p}
        shown = "public" if parts & {"public", "test"} else None
        board = load_board(challenge, workspace, shown, rules=rules)
        places = {
            "workspace": store.workspace,
            "cache": cache_root(),
            **({} if loaded.builtin else {"challenge": loaded.folder}),
        }
        return export_findings(board, entries, places)

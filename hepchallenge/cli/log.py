"""`hepchallenge log`."""

from __future__ import annotations

import click

from hepchallenge.cli.options import workspace_option

__all__ = ["command"]


@click.command("log")
@click.argument("challenge")
@click.argument("submission")
@click.option("--fold", type=click.IntRange(min=0), metavar="N", help="This fold only; default: all folds.")
@workspace_option
@click.option("--html", "as_html", is_flag=True, help="Print a fragment of HTML, safe to put into a page.")
def command(challenge: str, submission: str, fold: int | None, workspace: str | None, as_html: bool) -> None:
    """Show what the latest run of SUBMISSION to CHALLENGE printed, fold by fold, and why a fold failed.

    SUBMISSION is its name on the board, its digest, or its folder. Of a fold that still runs, or whose
    command was killed, the log so far is shown. Characters that could act on a terminal are replaced.
    """
    import html
    from pathlib import Path

    from hepchallenge.contract import find_challenge
    from hepchallenge.exceptions import InvalidSubmission, UnknownName, UsageError
    from hepchallenge.records import Verdict
    from hepchallenge.run.logs import read_live_log
    from hepchallenge.store import open_workspace
    from hepchallenge.text import html_text, safe_text

    name = find_challenge(challenge).name
    sections: list[tuple[str, str | bytes]] = []
    with open_workspace(workspace, must_exist=True) as store:
        try:
            run = store.latest_run(name, submission)
        except UnknownName:
            if not Path(submission).exists():
                raise
            from hepchallenge.stage.submission import submission_name

            try:
                known_as = submission_name(Path(submission))
            except InvalidSubmission as error:
                raise UsageError(str(error)) from None
            run = store.latest_run(name, known_as)
        settled = store.fold_outcomes(run)
        outcomes = {**store.infrastructure_failures(run), **settled}
        live = {
            int(path.stem.rpartition("-")[2]): path
            for path in store.live_log(run, 0).parent.glob(f"{run.key_digest}-*.log")
        }
        scoring = store.latest_scoring(run)
        # Of a submission that was refused, or whose predictions the scorer refused.
        reason = safe_text(scoring.message) if scoring is not None else ""
        for number in sorted({*outcomes, *live}):
            if fold not in (None, number):
                continue
            if number in live and number not in settled:
                sections.append((f"fold {number}: not finished", read_live_log(live[number])))
                continue
            outcome = outcomes[number]
            text: str | bytes = store.load_log(outcome.log) if outcome.log else b""
            if outcome.verdict is not Verdict.SCORED:
                text = f"{safe_text(text).rstrip()}\n{outcome.message.rstrip()}\n".lstrip("\n")
            sections.append((f"fold {number}: {outcome.verdict.value}", text))
    if fold is not None and not sections:
        raise UsageError(f"fold {fold} of {submission} has not been run")
    for heading, text in sections:
        if as_html:
            click.echo(f"<h3>{html.escape(heading)}</h3>\n<pre>{html_text(text)}</pre>")
        else:
            safe = safe_text(text)
            click.echo(f"== {heading} ==\n{safe}", nl=safe[-1:] not in ("", "\n"))
    if not sections:
        click.echo(reason or "no fold of this submission has been run", err=True)

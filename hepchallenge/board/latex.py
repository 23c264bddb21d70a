"""A board as a LaTeX table, as a paper would print it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

from hepchallenge.board.hosts import host_note
from hepchallenge.board.ranking import Board, RankedRow
from hepchallenge.board.text import LARGE, large
from hepchallenge.text import clean

__all__ = ["latex_text", "rounded", "to_latex"]

_MOST_ROWS = 100
"""A table has to fit on a page or two."""
_MORE_DIGITS = 6
"""Than a metric's own decimals, at most."""

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    # These would join to other signs, or begin a ligature or an optional argument.
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": r"{-}",
    "[": r"{[}",
    "]": r"{]}",
    "*": r"{*}",
    "±": r"$\pm$",
    "→": r"$\to$",
    "…": r"\ldots{}",
    "\N{REPLACEMENT CHARACTER}": r"\textbf{?}",
}


def latex_text(text: str, limit: int = 60) -> str:
    """Return a stranger's text as LaTeX that prints it and does nothing else.

    Text is cleaned as by `hepchallenge.text.clean`; every sign that means something to TeX is written out.
    Letters beyond ASCII stay as they are: LuaLaTeX and XeLaTeX print them, pdfLaTeX those it has fonts for.
    """
    return re.sub(
        r"[^A-Za-z0-9 ]", lambda match: _SPECIAL.get(match.group(0), match.group(0)), clean(text, limit)
    )


def _decimals(error: float) -> int:
    """Return the decimals that an error above 0 is given with; below 0 those are places before the point.

    The rule of the Particle Data Group (Review of Particle Physics, Introduction, "Rounding"): of the three
    highest digits of the error, 100 to 354 are rounded to two digits, 355 to 949 to one, and 950 to 999 to
    1000, of which two are kept.
    """
    exponent = math.floor(math.log10(error))
    highest_three = round(error / 10.0 ** (exponent - 2))
    return 1 - exponent if highest_three <= 354 else -exponent


def rounded(value: float, errors: Iterable[float | None], precision: int) -> list[str]:
    """Return a value and its errors as text, rounded as the Particle Data Group rounds.

    The smallest error above 0 decides how many decimals all of them get; without one, `precision` does.
    Errors that are missing or not finite are left out; those of less than a millionth of the last digit of
    `precision` decide nothing. From 1e15 on numbers are written with a power of ten.

    Examples
    --------
    >>> rounded(0.82714, [0.119, None], 3)
    ['0.83', '0.12']
    >>> rounded(0.82714, [0.3671], 3)
    ['0.8', '0.4']
    >>> rounded(1298.4957, [86.2], 1)
    ['1300', '90']
    """
    known = [error for error in errors if error is not None and math.isfinite(error)]
    # What is far below the digits that are shown is noise of rounding.
    positive = [error for error in known if error > 10.0 ** -(precision + _MORE_DIGITS)]
    decimals = _decimals(min(positive)) if positive else precision

    def text(number: float) -> str:
        if abs(number) >= LARGE:
            mantissa, _, exponent = large(number).partition("e")
            return rf"{mantissa} \times 10^{{{int(exponent)}}}"
        exact = Decimal(repr(float(number))).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN)
        return f"{exact:.{max(decimals, 0)}f}"

    return [text(number) for number in (value, *known)]


def _score(board: Board, row: RankedRow, metric: str) -> str:
    """Return the score on the part that ranks, with each error that is known and what it comes from."""
    part = board.part
    value = row.entry.scoring.scores.get(metric, {}).get(part)
    if value is None or not math.isfinite(value):
        return "--"
    errors = row.uncertainties(metric, part)
    known = {name: error for name, error in errors.items() if error is not None and math.isfinite(error)}
    shown, *widths = rounded(value, known.values(), board.metric_info(metric).precision)
    apart = [rf" \pm {width}_\mathrm{{{name}}}" for name, width in zip(known, widths, strict=True)]
    return f"${shown}{''.join(apart)}$"


def _rank(row: RankedRow) -> str:
    if row.rank is None or row.rank_interval is None:
        return "" if row.rank is None else str(row.rank)
    first, last = row.rank_interval
    return f"{row.rank} ({first}--{last})" if first < last else str(row.rank)


def _published(board: Board, metrics: list[str]) -> list[str]:
    """Return a line for each published name that has one of these metrics on the part that ranks."""
    found: dict[str, dict[str, str]] = {}
    for reference in board.references:
        # What was published for the whole test set is what a private part stands for here.
        if reference.metric in metrics and reference.part in (board.part, "test"):
            precision = board.metric_info(reference.metric).precision
            doubt = "" if reference.confirmed else r"\,?"
            found.setdefault(reference.name, {})[reference.metric] = (
                f"${reference.value:.{precision}f}${doubt}"
            )
    return [
        " & ".join(["--", latex_text(name, 80), "published", *(values.get(m, "--") for m in metrics)])
        for name, values in found.items()
    ]


def to_latex(board: Board) -> str:
    """Return the ranked rows as a table for `booktabs`: scores with errors, rounded as in a paper.

    Each score stands with the errors that are known: of the test sample, over folds, over trainings. Ranks
    are followed by the interval that the test sample allows. Published scores follow below a line; a
    question mark follows one that is not confirmed. Of many rows the first 100 are printed.
    """
    metrics = [name for name, part in board.columns() if part == board.part]
    teams = any(row.entry.submission.team for row in board.ranked)
    heads = ["Rank", "Submission", *(["Team"] if teams else []), *(latex_text(name) for name in metrics)]
    lines = []
    for row in board.ranked[:_MOST_ROWS]:
        submission = row.entry.submission
        name = f"{latex_text(submission.name) or '(no name)'}{' (quick)' if row.entry.run_key.quick else ''}"
        team = [latex_text(submission.team)] if teams else []
        lines.append(" & ".join([_rank(row), name, *team, *(_score(board, row, m) for m in metrics)]))
    published = _published(board, metrics)
    if not teams:
        published = [line.replace(" & published & ", " (published) & ", 1) for line in published]
    toy = "These are toy data (simulated), not results of the challenge. " if board.is_toy else ""
    caption = (
        f"{latex_text(board.title or board.challenge, 100)}. {toy}"
        f"Ranked by {latex_text(board.metric)} on the part {latex_text(board.part)}."
    )
    if any(r"\pm" in line for line in lines):
        caption += " Errors by their origin, kept apart."
    if any(row.rank_interval for row in board.ranked):
        caption += " In brackets: ranks that the test sample allows."
    if hosts := host_note((row.entry for row in board.ranked), board.rules):
        caption += f" {latex_text(hosts, 300)}"
    body = [f"{line} \\\\" for line in lines]
    if (more := len(board.ranked) - len(lines)) > 0:
        body.append(f"% {more} more are ranked; the CSV export has them.")
    if published:
        body += [r"\midrule", *(f"{line} \\\\" for line in published)]
    label = re.sub(r"[^a-z0-9]+", "-", board.challenge.lower()).strip("-") or "board"
    return "\n".join(
        [
            "% Needs \\usepackage{booktabs,textcomp}; names beyond ASCII may need LuaLaTeX or XeLaTeX.",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{label}-{board.part}}}",
            rf"\begin{{tabular}}{{rl{'l' if teams else ''}{'r' * len(metrics)}}}",
            r"\toprule",
            f"{' & '.join(heads)} \\\\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )

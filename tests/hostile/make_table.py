"""Write the table of the corpus into docs/security.md: `python tests/hostile/make_table.py`.

It is made of `cases.toml` and of `results.json`, to which the corpus adds the verdicts of a faultless run if
`HOSTILE_RECORD=1` is set.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from corpus import GROUPS, HERE, Case, cases, skipped

DOCUMENT = HERE.parents[1] / "docs/security.md"
RESULTS = HERE / "results.json"
BEGIN, END = "<!-- corpus: begin -->", "<!-- corpus: end -->"
EVIDENCE = {
    "stolen": "labels read",
    "perfect": "perfect score",
    "did": "done unhindered",
    "accepted": "scored",
    "default": "scored as 0",
    "timeout": "hangs",
    "crash": "runner falls",
    "file": "code runs outside",
    "changed": "files changed",
    "survivor": "process survives",
    "left": "files left",
    "flood": "all of it kept",
    "escape": "reaches the terminal",
    "untimed": "takes no time",
    "infinite": "infinite score",
    "bomb": "unpacked",
    "": "",
}


def results() -> dict[str, dict[str, str]]:
    """Return the recorded verdicts: run (level and user), then case."""
    recorded: dict[str, dict[str, str]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return recorded


def record(level: str, user: str, verdicts: dict[str, str]) -> None:
    """Add the verdicts of a run without faults, if asked for."""
    if os.environ.get("HOSTILE_RECORD") != "1":
        return
    recorded = results() | {f"{level}, {user}": dict(sorted(verdicts.items()))}
    RESULTS.write_text(json.dumps(dict(sorted(recorded.items())), indent=1) + "\n")


def _verdict(case: Case, recorded: dict[str, dict[str, str]], level: str) -> str:
    """Return the verdicts of a case at a level: one, or one for each user."""
    found = {run.partition(", ")[2]: verdicts for run, verdicts in recorded.items() if run.startswith(level)}
    words = {user: verdicts[case.name] for user, verdicts in found.items() if case.name in verdicts}
    if len(set(words.values())) == 1:
        return f"`{next(iter(words.values()))}`"
    return "<br>".join(f"`{word}` ({user})" for user, word in words.items()) or "not run"


def table() -> str:
    """Return the section between the markers."""
    recorded = results()
    levels = list(dict.fromkeys(run.partition(",")[0] for run in sorted(recorded, reverse=True)))
    attacks = [case for case in cases() if case.number]
    lines = [
        f"{len(attacks)} attacks and {len(cases()) - len(attacks)} honest controls, run as: "
        f"{'; '.join(sorted(recorded, reverse=True))}. None of these runs shows any evidence of success.",
        "",
        "`scored` says that an attack had no effect: its predictions, no better than chance, were",
        "scored as they are. *Naive* is what the same attack does to a runner that imports submissions",
        "into its own process; where it is empty, the case is allowed or fails everywhere.",
    ]
    for group, title in GROUPS.items():
        lines += ["", f"### {group}. {title}", ""]
        lines += ["| no. | case | tries | naive | " + " | ".join(f"`{level}`" for level in levels) + " |"]
        lines += ["|---" * (4 + len(levels)) + "|"]
        for case in attacks:
            if case.group == group:
                number = f"{case.number}+" if case.own else str(case.number)
                cells = [number, f"`{case.name}`", case.tries, EVIDENCE[case.evidence]]
                cells += [_verdict(case, recorded, level) for level in levels]
                lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "A number with + marks attacks of our own of that kind.", "", "### Not in the corpus", ""]
    lines += ["| no. | case | why |", "|---|---|---|"]
    lines += [f"| {entry['number']} | `{entry['name']}` | {entry['reason']} |" for entry in skipped()]
    return "\n".join(lines)


def with_table(text: str) -> str:
    """Return a document with the section between the markers made anew."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text()))

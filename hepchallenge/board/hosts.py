"""Fair clocks: which runs were on hosts that the rules of a board take. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from hepchallenge.contract import BoardRules, HostDemands, demands
from hepchallenge.exceptions import OrganiserError
from hepchallenge.records import BoardEntry, Verdict
from hepchallenge.run.host import host_class
from hepchallenge.text import clean

__all__ = ["classes_of", "clock_of", "host_note", "host_refusals", "settled_by"]


def classes_of(entry: BoardEntry) -> tuple[str, ...]:
    """Return the classes of the hosts of an entry's folds, as far as they are recorded."""
    return tuple(sorted({host_class(fold.host) for fold in entry.folds if fold.host is not None}))


def clock_of(entry: BoardEntry) -> tuple[bool, float] | None:
    """Return whether all folds had their cores for themselves, and the median of their reference seconds.

    None if nothing is recorded.
    """
    hosts = [fold.host for fold in entry.folds if fold.host is not None]
    if not hosts:
        return None
    return all(host.exclusive for host in hosts), median(host.reference_seconds for host in hosts)


def _refusal(entry: BoardEntry, asked: HostDemands) -> str:
    """Say why a run was not on hosts such as are demanded, or on several; empty if it was."""
    hosts = [fold.host for fold in entry.folds if fold.host is not None]
    if not hosts or len(hosts) < len(entry.folds):
        return "host not recorded"
    for host in hosts:
        if why := asked.refuses(host.cpu, host.exclusive):
            return why
    if asked.host_class and len(classes := classes_of(entry)) > 1:
        return f"ran on several classes of host: {'; '.join(classes)}"
    return ""


def _counted(counts: Counter[str]) -> str:
    return "; ".join(f"{name} ({count})" for name, count in counts.most_common())


def host_refusals(entries: Sequence[BoardEntry], rules: BoardRules) -> list[str]:
    """Say of every entry why the hosts that it ran on keep it from being ranked.

    Parameters
    ----------
    entries
        Those that might be ranked as far as everything else goes.
    rules
        Whose `host_class` and `exclusive_cores` are applied.

    Returns
    -------
    list of str
        One for each entry, empty if it may be ranked.

    Raises
    ------
    OrganiserError
        If ranked runs must be on one class of host and these are on several, or if they must be on a certain
        one and all that are recorded were on others.
    """
    asked = demands(rules)
    if not asked:
        return [""] * len(entries)
    refusals = [_refusal(entry, asked) for entry in entries]
    counts = Counter(name for entry in entries for name in classes_of(entry))
    if asked.wants_one_class:
        fit = zip(entries, refusals, strict=True)
        counts = Counter(name for entry, refusal in fit if not refusal for name in classes_of(entry))
        if len(counts) > 1:
            first = counts.most_common(1)[0][0]
            raise OrganiserError(
                f"the board ranks runs on one class of host, and there are runs on {_counted(counts)}: "
                f"write which one it takes, such as host_class = {clean(first, 200)!r} in [board], or run "
                "the others again there"
            )
    elif asked.host_class and counts and asked.host_class not in counts:
        raise OrganiserError(
            f"the board takes runs on {asked.host_class!r} only, and all runs were on others: "
            f"{_counted(counts)}; host_class must be written as one of these"
        )
    return refusals


def settled_by(entries: Iterable[BoardEntry], rules: BoardRules) -> HostDemands:
    """Return what a run must have had to be ranked among entries, of which the first settles the class."""
    asked = demands(rules)
    if asked.wants_one_class:
        for entry in entries:
            if entry.scoring.verdict is Verdict.SCORED and not _refusal(entry, asked):
                return asked.settled(classes_of(entry)[0])
    return asked


def host_note(ranked: Iterable[BoardEntry], rules: BoardRules) -> str:
    """Say on what hosts all ranked runs were; empty if that does not matter, or nothing is ranked."""
    asked = demands(rules)
    if not asked:
        return ""
    classes = {name for entry in ranked for name in classes_of(entry)}
    if not classes:
        return ""
    told = [f"were on {classes.pop()}"] if asked.host_class else []
    if asked.exclusive_cores:
        told.append("had their cores for themselves")
    return f"All ranked runs {' and '.join(told)}."

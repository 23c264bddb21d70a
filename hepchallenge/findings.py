"""What commands that look for trouble tell: a list of findings, each with one fact and one mend."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

__all__ = ["Answer", "Finding", "Status", "fine", "none_failed"]


class Status(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """What one check found: the fact in one line and, unless all is well, what would mend it."""

    check: str
    status: Status
    fact: str
    mend: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the finding as `--json` prints it."""
        return {**asdict(self), "status": self.status.value}


Answer = tuple[Status, str, str]
"""Status, fact and mend."""


def fine(fact: str) -> Answer:
    """Return the answer of a check that found nothing to mend."""
    return Status.OK, fact, ""


def none_failed(findings: Iterable[Finding]) -> bool:
    """Whether no check has failed."""
    return all(finding.status is not Status.FAIL for finding in findings)

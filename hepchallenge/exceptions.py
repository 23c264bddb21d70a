"""Every error of the framework, sorted by whose fault it is.

A participant's fault ends in a verdict and costs an entry; an organiser's fault stops the command
before anything runs; the infrastructure's fault never costs a participant anything. Each class
carries the exit code of a command that it ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "ContractError",
    "DataError",
    "HepChallengeError",
    "InfrastructureError",
    "InvalidSubmission",
    "IsolationUnavailable",
    "OrganiserError",
    "ParticipantError",
    "StoreError",
    "UnknownName",
    "UsageError",
]


class HepChallengeError(Exception):
    """Base of every error that the framework raises on purpose."""

    exit_code = 3


class UsageError(HepChallengeError):
    """A command or function was called with words that it cannot take."""

    exit_code = 2


class UnknownName(UsageError):
    """A name stands for nothing; the message lists the known ones and the nearest."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        listed = ", ".join(names) if names else "none"
        super().__init__(f"no {what} is called {name!r}{hint} (known: {listed})")


class OrganiserError(HepChallengeError):
    """The challenge or its data are at fault, not a submission."""

    exit_code = 2


class _Located(OrganiserError):
    """An error that names the place, what was expected there and what was found."""

    def __init__(self, file: object, where: str, expected: str, found: str) -> None:
        self.file = str(file)
        self.where = where
        self.expected = expected
        self.found = found
        super().__init__(f"{self.file}: {where}: expected {expected}, found {found}")


class ContractError(_Located):
    """`problem.py` or `challenge.toml` breaks the challenge contract at a named key."""


class DataError(_Located):
    """A data file is truncated, malformed or physically impossible at a named place."""


class ParticipantError(HepChallengeError):
    """A submission is at fault; the message may be shown to its author."""

    exit_code = 1


class InvalidSubmission(ParticipantError):
    """A submission's files or predictions are not what the challenge takes."""


class InfrastructureError(HepChallengeError):
    """The host, the store or the framework failed; no participant is to blame."""


class IsolationUnavailable(InfrastructureError):
    """The host does not offer the isolation level that was demanded."""


class StoreError(InfrastructureError):
    """The workspace or its database cannot be read or written."""

"""Isolation levels for tests."""

from __future__ import annotations

import pytest

from hepchallenge.run.isolation import Isolation, probe

__all__ = ["need"]


def need(level: Isolation) -> Isolation:
    """Return a level, or skip the test with the reason why the host does not offer it."""
    if reason := probe(level):
        pytest.skip(f"isolation {level}: {reason}")
    return level

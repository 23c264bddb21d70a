"""What tests need and a host may lack: without it they skip, or fail where somebody relies on them."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str, reason: str) -> NoReturn:
    """Skip a test or a module for want of `what`; fail if `HEPCHALLENGE_TEST_REQUIRE` (words) names it."""
    if what in os.environ.get("HEPCHALLENGE_TEST_REQUIRE", "").split():
        pytest.fail(f"{reason}, and HEPCHALLENGE_TEST_REQUIRE names {what}", pytrace=False)
    pytest.skip(reason, allow_module_level=True)

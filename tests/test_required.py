"""A test for which something is missing skips, and fails where that is relied on."""

from __future__ import annotations

import pytest
from required import missing


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("", pytest.skip.Exception),
        ("other postgresql-server", pytest.skip.Exception),
        ("other postgresql", pytest.fail.Exception),
    ],
    ids=["nothing", "something else", "named"],
)
def test_what_is_missing_fails_where_it_is_relied_on(
    words: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEPCHALLENGE_TEST_REQUIRE", words)
    with pytest.raises(outcome, match="no server"):
        missing("postgresql", "no server")

"""A participant can neither stand in for another at the desk nor write on the organiser's terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from small_kit import GOOD, write_kit, write_submission

from hepchallenge.cli import main
from hepchallenge.contract import BoardRules
from hepchallenge.exceptions import UsageError
from hepchallenge.reception import choose, receive

MORNING = datetime(2026, 5, 4, 9, tzinfo=UTC)
CHOSEN = BoardRules(entry="chosen")


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HEPCHALLENGE_RULES", "HEPCHALLENGE_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HEPCHALLENGE_WORKSPACE", str(tmp_path / "workspace"))
    return write_kit(tmp_path / "small")


def mine(folder: Path, number: int = 0) -> Path:
    return write_submission(folder, f"{GOOD}\n# {number}\n")


@pytest.mark.parametrize("digits", [8, 64])
def test_a_name_like_the_digest_of_another_team_does_not_catch_its_choice(kit: Path, digits: int) -> None:
    (ours,) = receive(kit, [mine(kit / "ours" / "good")], team="us")
    digest = ours.received.submission.digest[:digits]
    receive(kit, [mine(kit / "theirs" / digest, 1)], team="them")
    with pytest.raises(UsageError, match="could be any of"):
        choose(kit, [digest], rules=CHOSEN)
    (chosen,) = choose(kit, [digest], team="us", rules=CHOSEN).submissions
    assert chosen.name == "good"


def test_what_a_team_sent_under_two_names_is_chosen_by_its_digest(kit: Path) -> None:
    for name in ("one", "copy"):
        (told,) = receive(kit, [mine(kit / name / name)], team="us")
    digest = told.received.submission.digest
    (chosen,) = choose(kit, [digest], rules=CHOSEN).submissions
    assert chosen.digest == digest


@pytest.mark.parametrize("hours", [14, -12])
def test_a_time_that_no_calendar_holds_is_wrong_usage(kit: Path, hours: int) -> None:
    at = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=hours)))
    with pytest.raises(UsageError, match="is before 1970"):
        receive(kit, [mine(kit / "one")], at=at)


def test_a_name_in_an_error_does_not_act_on_the_terminal(
    kit: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["hepchallenge", "choose", str(kit), "x", "--rules", "\x1b[2Jrules\u202e"]
    )
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert "[2Jrules" in said
    assert "\x1b" not in said
    assert "\u202e" not in said

"""`hepchallenge receive` and `choose`: who sent what when, and what stands for a team."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from small_kit import GOOD, write_kit, write_submission

from hepchallenge import pipeline
from hepchallenge.cli import choose as choose_command
from hepchallenge.cli import receive as receive_command
from hepchallenge.cli import score as score_command
from hepchallenge.contract import BoardRules, Phase
from hepchallenge.exceptions import HepChallengeError, StoreError, UnknownName, UsageError
from hepchallenge.progress import Silent
from hepchallenge.reception import choose, receive
from hepchallenge.records import BoardEntry, Document, Verdict
from hepchallenge.store import Store

MORNING = datetime(2026, 5, 4, 9, tzinfo=UTC)
CHOSEN = BoardRules(entry="chosen", reveal=MORNING + timedelta(days=1))


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("HEPCHALLENGE_RULES", "HEPCHALLENGE_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEPCHALLENGE_WORKSPACE", str(tmp_path / "workspace"))
    return write_kit(tmp_path / "small")


def mine(folder: Path, number: int = 0, team: str = "") -> Path:
    """Write a submission that differs from others by its number."""
    written = write_submission(folder, f"{GOOD}\n# {number}\n")
    if team:
        (written / "submission.toml").write_text(f'team = "{team}"\n')
    return written


def run(command: Any, *words: object) -> Result:
    return CliRunner().invoke(command.command, [str(word) for word in words], standalone_mode=False)


def test_the_first_receipt_counts_and_the_same_code_scores_later(kit: Path) -> None:
    source = mine(kit / "late_at_night")
    (first,) = receive(kit, [source], at=MORNING, team="us")
    assert first.is_new
    assert first.received.state == "waiting"
    with zipfile.ZipFile("late_at_night.zip", "w") as archive:
        archive.write(source / "classifier.py", "late_at_night/classifier.py")
    (again,) = receive(kit, ["late_at_night.zip"])
    assert not again.is_new
    assert again.received == first.received
    document = pipeline.score(kit, [source], isolation="none")
    (entry,) = document.submissions
    assert entry.received_at == MORNING.isoformat(timespec="microseconds")
    assert entry.submission.team == "us"
    with Store("workspace") as store:
        assert [one.submission.team for one in store.entries("small")] == ["us"]
        assert store.received("small")[0].state == "own"


def test_the_organisers_word_on_a_team_beats_the_submissions_own(kit: Path) -> None:
    source = mine(kit / "one", team="the winners")
    assert receive(kit, [source])[0].received.submission.team == "the winners"
    (told,) = receive(kit, [source], team="us")
    assert (told.received.submission.team, told.received.assigned) == ("us", True)
    assert receive(kit, [source])[0].received.submission.team == "us"


def test_what_one_team_sent_is_not_given_to_another_unless_it_is_a_correction(kit: Path) -> None:
    source, other = mine(kit / "one"), mine(kit / "two", 2)
    receive(kit, [source], team="us")
    with pytest.raises(
        UsageError, match=r"one: these files were received under this name from team us at .*--re"
    ):
        receive(kit, [other, source], team="them")
    with Store("workspace") as store:
        assert [one.submission.name for one in store.received("small")] == ["one"]
    receive(kit, [source], team="US")
    (told,) = receive(kit, [source], team="them", reassign=True)
    assert told.received.submission.team == "them"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"at": datetime(2026, 1, 1)}, "has no offset"),
        ({"at": datetime.now(UTC) + timedelta(days=1)}, "has not come yet"),
        ({"team": "\u200b"}, "no character that can be seen"),
        ({"reassign": True}, "--reassign needs --team"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(kit: Path, more: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        receive(kit, [mine(kit / "one")], **more)
    assert not Path("workspace").exists()


def test_what_is_refused_is_received_and_counts_when_it_is_scored(kit: Path) -> None:
    (kit / "empty").mkdir()
    (told,) = receive(kit, [kit / "empty"], team="us", at=MORNING)
    assert told.refusal == "the folder holds no file"
    (entry,) = pipeline.score(kit, [kit / "empty"], isolation="none").submissions
    assert entry.scoring.verdict is Verdict.INVALID_SUBMISSION
    assert entry.received_at.startswith("2026-05-04T09:00")


def test_what_is_over_quota_is_told_and_received_and_not_run(
    kit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = BoardRules(phases=(Phase(name="day", interval=timedelta(minutes=10)),))
    folders = [mine(kit / name, number) for number, name in enumerate(("a", "b", "c"))]
    for folder, minutes in zip(folders, (0, 5, 10), strict=True):
        receive(kit, [folder], team="us", at=MORNING + timedelta(minutes=minutes), rules=rules)
    said: list[str] = []

    class Heard(pipeline.Silent):
        def say(self, text: str) -> None:
            said.append(text)

    document = pipeline.score(kit, folders, isolation="none", rules=rules, progress=Heard())
    assert [entry.submission.name for entry in document.submissions] == ["a", "c"]
    assert document.over_quota == ("b",)
    assert document.exit_code == 1
    assert "over_quota" not in document.to_dict()
    (line,) = [line for line in said if "not run" in line]
    assert line.startswith(
        "b: not run: over quota in phase 'day': at least 10 min between two of a team; the next"
    )
    with Store("workspace") as store:
        assert {one.submission.name: one.state for one in store.received("small")} == {
            "a": "own",
            "b": "waiting",
            "c": "own",
        }
    assert pipeline.score(kit, folders[1:2], isolation="none").exit_code == 0


def test_a_line_is_printed_for_each_with_nothing_hostile_in_it(kit: Path) -> None:
    (kit / "challenge.toml").write_text(
        '[[phase]]\nname = "day"\nstart = 2026-05-04T00:00:00Z\nend = 2026-05-05T00:00:00Z\nsubmissions = 1\n'
    )
    words = [
        mine(kit / "one\u202e"),
        mine(kit / "two", 2),
        "--team",
        "u\u001b[31ms",
        "--at",
        "2026-05-04T11:00:00+02:00",
    ]
    result = run(receive_command, kit, *words)
    first, second = result.output.splitlines()
    assert first.startswith("one\ufffd (")
    assert first.endswith("): received 2026-05-04 09:00:00 UTC, team u\ufffd[31ms")
    assert second.endswith("over quota in phase 'day': at most 1 of a team; no more in this phase")
    assert result.return_value == 1
    assert run(receive_command, kit, kit / "one\u202e").return_value == 0


def test_who_sends_again_what_was_refused_is_told_what_helps(kit: Path) -> None:
    (kit / "challenge.toml").write_text('[[phase]]\nname = "day"\nsubmissions = 1\n')
    one, two = mine(kit / "one"), mine(kit / "two", 2)

    def told(source: Path, hour: int) -> bool:
        moment = f"2026-05-04T{hour:02}:00:00Z"
        output = run(receive_command, kit, source, "--team", "us", "--at", moment).output
        return "the first receipt counts; the same files can come again under another name" in output

    assert [told(one, 9), told(one, 9)] == [False, False]
    assert told(one, 10)
    assert [told(two, 10), told(two, 10)] == [False, True]


@pytest.mark.parametrize("moment", ["yesterday", "2026-05-04", "2026-05-04T10:00:00"])
def test_a_time_without_offset_is_wrong_usage(kit: Path, moment: str) -> None:
    result = run(receive_command, kit, mine(kit / "one"), "--at", moment)
    assert "with offset" in str(result.exception)


# Choices


@pytest.fixture
def received(kit: Path) -> Path:
    """Two teams with submissions; both called one of theirs `same`."""
    for team, folder in (("us", kit / "ours"), ("them", kit / "theirs")):
        for number, name in enumerate(("same", f"{team}2", f"{team}3")):
            receive(kit, [mine(folder / name, number + 10 * len(team))], team=team, at=MORNING)
    return kit


def digest(name: str, team: str) -> str:
    with Store("workspace") as store:
        return next(
            one.submission.digest
            for one in store.received("small")
            if (one.submission.name, one.submission.team) == (name, team)
        )


def test_the_last_choice_of_a_team_counts(received: Path) -> None:
    now = MORNING + timedelta(hours=1)
    assert choose(received, ["us2", "us3"], rules=CHOSEN, now=now).team == "us"
    choice = choose(received, ["us3"], team=" US", rules=CHOSEN, now=now)
    assert [one.name for one in choice.submissions] == ["us3"]
    with Store("workspace") as store:
        assert store.choices("small") == {"us": (digest("us3", "us"),)}


def test_a_submission_is_named_by_digest_or_folder_too(received: Path) -> None:
    now = MORNING + timedelta(hours=1)
    wanted = digest("same", "us")
    for words in ([wanted], [wanted[:8]], [wanted, wanted[:8]], [str(received / "ours" / "us2"), wanted]):
        choice = choose(received, words, rules=CHOSEN, now=now)
        assert wanted in {one.digest for one in choice.submissions}
    assert choose(received, ["same"], team="us", rules=CHOSEN, now=now).submissions[0].digest == wanted


@pytest.mark.parametrize(
    ("words", "more", "message"),
    [
        (["same"], {}, r"same could be any of \w{8} of team us, \w{8} of team them: give the digest"),
        (["us2", "them2"], {}, "submissions of several teams: them, us"),
        (["us2"], {"team": "them"}, "submissions of team us, not of them"),
        (["us2", "us3", "same"], {"team": "us"}, "a team may choose 2, found 3"),
        (["us2"], {"now": MORNING + timedelta(days=1)}, "was revealed at .*: nothing can be chosen"),
        (
            ["us2"],
            {"rules": BoardRules(entry="best")},
            'by choice but entry = "best"; see .* or give --rules',
        ),
        (
            ["us2"],
            {
                "rules": BoardRules(
                    entry="chosen", phases=(Phase(name="later", start=MORNING + timedelta(hours=1)),)
                )
            },
            "us2: early: received before the start of phase 'later'",
        ),
    ],
)
def test_a_choice_that_cannot_stand_is_refused(
    received: Path, words: list[str], more: dict[str, Any], message: str
) -> None:
    arguments = {"rules": CHOSEN, "now": MORNING, **more}
    with pytest.raises(UsageError, match=message):
        choose(received, words, **arguments)
    with Store("workspace") as store:
        assert store.choices("small") == {}


def test_an_unknown_submission_offers_the_nearest(received: Path) -> None:
    with pytest.raises(UnknownName, match="us2"):
        choose(received, ["uss2"], rules=CHOSEN, now=MORNING)


def test_choosing_by_the_command_reaches_the_board(received: Path) -> None:
    Path("rules.toml").write_text('[board]\nentry = "chosen"\nmost_chosen = 1\n')
    folders = [received / "ours" / name for name in ("same", "us2", "us3")]
    pipeline.score(received, folders, isolation="none")
    result = run(choose_command, received, "us3", "--rules", "rules.toml")
    assert result.stderr == ""
    assert result.stdout == f"team us chose us3 ({digest('us3', 'us')[:8]})\n"
    from hepchallenge.cli import board

    shown = run(board, received, "--rules", "rules.toml", "--export", "out", "--format", "csv")
    assert shown.exception is None
    lines = Path("out", "small-test.csv").read_text().splitlines()
    assert [line.split(",")[:3] for line in lines[1:]] == [["1", "us3", "us"]]


def test_a_choice_of_what_has_no_score_is_recorded_with_a_warning(kit: Path) -> None:
    Path("rules.toml").write_text('[board]\nentry = "chosen"\nmost_chosen = 3\n')
    broken = write_submission(kit / "broken", "1 / 0")
    receive(kit, [mine(kit / "good", 1), broken], team="  The \uff37inners", at=MORNING)
    words = (kit, "good", "broken", "--team", "the winners", "--rules", "rules.toml")
    result = run(choose_command, *words)
    assert result.stdout.startswith("team The \uff37inners chose good (")
    assert result.stderr.splitlines() == [
        "warning: good has no score so far",
        "warning: broken has no score so far",
    ]
    pipeline.score(kit, received=True, isolation="none")
    receive(kit, [mine(kit / "new", 2)], team="The Winners", at=MORNING)
    result = run(choose_command, *words, "new")
    assert result.stderr.splitlines() == [
        "warning: broken has no score: its verdict is runtime_error",
        "warning: new has no score so far",
    ]
    with Store("workspace") as store:
        assert list(store.choices("small")) == ["the winners"]
    with pytest.raises(UsageError, match="these are submissions of team The \uff37inners, not of them"):
        choose(kit, ["good"], team="them", rules=CHOSEN, now=MORNING)


def test_rules_can_be_named_once_for_all_commands(received: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    day = '[[phase]]\nname = "day"\nend = 2026-01-01T00:00:00Z\n'
    Path("rules.toml").write_text(f'[board]\nentry = "chosen"\n{day}')
    monkeypatch.setenv("HEPCHALLENGE_RULES", "rules.toml")
    assert "late: received after" in run(receive_command, received, mine(received / "new", 9)).output
    assert "us2: late" in str(run(choose_command, received, "us2").exception)


def test_rules_that_are_not_understood_are_an_error_of_the_command(received: Path) -> None:
    Path("rules.toml").write_text("[bord]\n")
    for command, words in ((receive_command, [received / "ours" / "us2"]), (choose_command, ["us2"])):
        result = run(command, received, *words, "--rules", "rules.toml")
        assert isinstance(result.exception, HepChallengeError)
        assert "did you mean board" in str(result.exception)


def test_what_a_killed_command_left_of_a_copy_is_removed_when_more_is_received(kit: Path) -> None:
    left = Path("workspace/submissions/.incoming-left")
    left.mkdir(parents=True)
    os.utime(left, (1e9, 1e9))
    receive(kit, [mine(kit / "one")])
    assert not left.exists()


# Scoring what was received


class Labels(Silent):
    """Remembers what was said, and what submissions were called that have ended."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.done: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def submission_done(self, entry: BoardEntry) -> None:
        self.done.append(entry.submission.name)


def score_received(kit: Path, **more: Any) -> tuple[Document, Labels]:
    heard = Labels()
    return pipeline.score(kit, received=True, isolation="none", progress=heard, **more), heard


def test_all_that_was_received_is_scored_from_its_copies_once(received: Path) -> None:
    for folder in ("ours", "theirs"):
        shutil.rmtree(received / folder)
    document, heard = score_received(received)
    names = [entry.submission.name for entry in document.submissions]
    assert sorted(names) == ["same", "same", "them2", "them3", "us2", "us3"]
    assert {entry.submission.team for entry in document.submissions} == {"us", "them"}
    assert {entry.scoring.verdict for entry in document.submissions} == {Verdict.SCORED}
    same = {f"same ({digest('same', team)[:8]})" for team in ("us", "them")}
    assert set(heard.done) == same | {"us2", "us3", "them2", "them3"}
    again, heard = score_received(received)
    assert (again.submissions, again.exit_code) == ((), 0)
    assert heard.said[-1] == "0 of 6 received to run on these data with these limits"
    assert len(score_received(received, limits={"fit_wall": 77})[0].submissions) == 6


def test_what_came_since_and_what_the_host_failed_are_run(received: Path) -> None:
    score_received(received)
    receive(received, [mine(received / "new", 99)], team="us")
    with Store("workspace") as store:
        entry = next(one for one in store.entries("small") if one.submission.name == "us2")
        run_again = store.open_run(
            replace(entry.run_key, seed=5),
            store.run_of(entry).submission_id,
            entry.data,
            entry.isolation,
            entry.accounting,
            entry.versions,
        )
        store.record_scoring(run_again, replace(entry.scoring, verdict=Verdict.INFRASTRUCTURE))
    document, _ = score_received(received)
    assert [one.submission.name for one in document.submissions] == ["new"]
    document, _ = score_received(received, seed=5)
    assert len(document.submissions) == 7


def test_what_was_refused_and_what_is_over_quota_is_told_from_the_workspace(kit: Path) -> None:
    rules = BoardRules(phases=(Phase(name="day", submissions=1),))
    (kit / "empty").mkdir()
    receive(kit, [kit / "empty"], team="us", at=MORNING, rules=rules)
    receive(kit, [mine(kit / "more")], team="us", at=MORNING + timedelta(hours=1), rules=rules)
    shutil.rmtree(kit / "empty")
    document, heard = score_received(kit, rules=rules)
    (entry,) = document.submissions
    assert entry.scoring.verdict is Verdict.INVALID_SUBMISSION
    assert entry.scoring.message == "the folder holds no file"
    assert "1 received over quota: not run" in heard.said
    assert score_received(kit, rules=rules)[0].exit_code == 0


def test_names_made_to_look_like_labels_are_run_like_all_others(received: Path) -> None:
    odd = f"same ({digest('same', 'us')[:8]})"
    receive(received, [mine(received / "odd" / odd, 99)], team="odd")
    document, heard = score_received(received)
    assert len(document.submissions) == len(set(heard.done)) == 7


def test_a_copy_that_is_gone_is_named(received: Path) -> None:
    for copy in Path("workspace", "submissions").iterdir():
        copy.rename(copy.with_name(f"{copy.name}-gone"))
    with pytest.raises(StoreError, match=r"expected the copy of same, found none; receive it again"):
        score_received(received)


def test_received_alone_says_what_to_score(kit: Path) -> None:
    with pytest.raises(UsageError, match="no workspace here"):
        score_received(kit)
    receive(kit, [mine(kit / "one")])
    result = run(score_command, kit, kit / "one", "--received")
    assert "name no submissions with --received" in str(result.exception)
    result = run(score_command, kit, "--received", "--isolation", "none", "--json")
    assert json.loads(result.stdout)["submissions"][0]["name"] == "one"
    assert result.return_value == 0
    (kit / "other").mkdir()
    other = write_kit(kit / "other" / "kit")
    with pytest.raises(UsageError, match="nothing was received for kit; try: hepchallenge receive kit"):
        score_received(other)

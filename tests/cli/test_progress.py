"""What people and programs see of a command's progress, in a terminal and elsewhere."""

from __future__ import annotations

import io
import json
import threading
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from rich.cells import cell_len
from rich.console import Console

import hepchallenge.cli.progress as module
from hepchallenge.blend import Step
from hepchallenge.cli.progress import JsonProgress, ShownProgress, progress_for
from hepchallenge.cli.tally import Row, Totals
from hepchallenge.cli.view import bar, lines, most_rows, summary
from hepchallenge.records import (
    BoardEntry,
    DataInfo,
    FoldOutcome,
    Limits,
    RunKey,
    Scoring,
    Submission,
    Verdict,
)

HOSTILE = 'evil\x1b[2J\u202e[red]\n{"event": "submission"}'
SCHEMA = json.loads((resources.files("hepchallenge.cli") / "schemas" / "progress-1.schema.json").read_text())
TOTALS = Totals(
    jobs=8000, recorded=40, done=75, failed=3, dropped=5, running=16, failed_tries=2, submissions=1000,
    submissions_done=31,
)  # fmt: skip


def outcome(fold: int, verdict: Verdict = Verdict.SCORED, training: int = 0) -> FoldOutcome:
    message = "" if verdict is Verdict.SCORED else "it ended\nwhen it should not"
    return FoldOutcome(
        fold=fold, training=training, verdict=verdict, message=message, wall_seconds=1.5, cpu_seconds=0.5
    )


def entry(name: str, verdict: Verdict = Verdict.SCORED, message: str = "") -> BoardEntry:
    key = RunKey(
        challenge="c", challenge_version="v", submission_digest="00", data_digest="d", limits=Limits(), seed=0
    )
    return BoardEntry(
        submission=Submission(name=name, digest="00", kind="code"),
        run_key=key,
        data=DataInfo(kind="kit", digest="d"),
        isolation="none",
        accounting="sampled",
        received_at="",
        run_at="",
        versions={},
        scoring=Scoring(verdict=verdict, message=message),
        folds=(),
    )


def tell(progress: ShownProgress | JsonProgress, names: list[str]) -> None:
    """Tell of submissions, of which the first is resumed and the last fails."""
    progress.say("a remark")
    progress.begin({**dict.fromkeys(names, 2), names[0]: 3})
    progress.taken_over(names[0], 1)
    for name in names[:-1]:
        progress.job_started(name, 1, 0, "farm-01")
        progress.event_done(name, 1, 2, 9)
        progress.try_failed(name, outcome(1, Verdict.INFRASTRUCTURE))
        progress.job_started(name, 1, 0, "farm-02")
        progress.fold_done(name, outcome(1))
        progress.fold_done(name, outcome(2, training=1))
        progress.submission_done(entry(name))
    progress.job_started(names[-1], 0, 0, "")
    progress.fold_done(names[-1], outcome(0, Verdict.RUNTIME_ERROR))
    progress.job_dropped(names[-1], 1, 0)
    progress.submission_done(entry(names[-1], Verdict.RUNTIME_ERROR, "fold 0: fit failed\nValueError: no"))


# The view


@pytest.mark.parametrize("width", [8, 20, 39, 79, 200])
def test_no_line_of_the_view_is_wider_than_the_terminal(width: int) -> None:
    rows = [
        Row(name=name, settled=3, total=8, running=2, hosts=("farm-01", HOSTILE), seconds=71.0,
            failed_tries=1, events=(12, 500))
        for name in ("good", "例え" * 30, HOSTILE)
    ]  # fmt: skip
    drawn = lines(TOTALS, 250.0, rows, 7, width)
    assert len(drawn) == 6
    for line in drawn:
        assert cell_len(line.plain) <= width
        assert line.plain.isprintable()
    assert "…" in drawn[3].plain


def test_a_wide_terminal_shows_all_and_a_narrow_one_what_matters_most() -> None:
    row = Row(name="good", settled=3, total=8, running=2, hosts=("one", "two"), seconds=71.0, failed_tries=1,
              events=(12, 500))  # fmt: skip
    wide = [line.plain for line in lines(TOTALS, 250.0, [row], 0, 119)]
    assert wide == [
        "┄" * 40 + " 120/8000 jobs, about 4 min left",
        "16 running, 3 failed, 2 failed tries, 31 of 1000 submissions done, 5 not needed, 40 on record "
        "before",
        "good  3/8  2 running 1 min, 1 failed try, 12 of 500 events, on one two",
    ]
    narrow = [line.plain for line in lines(TOTALS, None, [row], 0, 39)]
    assert narrow == [
        "┄" * 11 + " 120/8000 jobs, time left: ?",
        "16 running, 3 failed, 2 failed tries",
        "good  3/8  2 running 1 min",
    ]


def test_a_bar_is_full_only_when_all_is_done() -> None:
    assert [bar(done, 3000, 10, ascii_only=True).plain for done in (0, 2999, 3000)] == [
        "----------",
        "#########-",
        "##########",
    ]
    assert bar(0, 0, 2).plain == "━━"


def test_rows_leave_room_in_the_smallest_terminal() -> None:
    assert [most_rows(height) for height in (2, 10, 24)] == [0, 3, 17]


# A terminal


class _Terminal(ShownProgress):
    """Shows progress on a terminal of a size, of which all bytes are kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, width: int, height: int) -> None:
        self.file = io.StringIO()

        def console(**options: Any) -> Console:
            return Console(
                file=self.file, force_terminal=True, width=width, height=height, color_system=None, **{
                    name: value for name, value in options.items() if name != "stderr"
                }
            )  # fmt: skip

        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(module, "Console", console)
        super().__init__()


def test_a_terminal_has_rows_for_what_runs_and_lines_for_what_has_a_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with _Terminal(monkeypatch, 60, 12) as progress:
        progress.begin(dict.fromkeys("abcdefgh", 2))
        for name in "abcdefgh":
            progress.job_started(name, 0, 0, "")
        progress.submission_done(entry("a", Verdict.WALL_LIMIT, "fold 0: too slow"))
        progress._live.refresh()  # type: ignore[union-attr]
        shown = progress.file.getvalue().rpartition("jobs")[2]
        assert [row in shown for row in ("b  0/2", "f  0/2", "g  0/2", "and 2 more")] == [
            True,
            True,
            False,
            True,
        ]
    assert "a: wall_limit: fold 0: too slow\n" in progress.file.getvalue()
    # The cursor is shown again, and the eight lines that were drawn are taken back.
    assert progress.file.getvalue().rpartition("\x1b[?25h")[2].strip() == 8 * "\x1b[1A\x1b[2K"


def test_a_terminal_shows_nothing_before_there_are_jobs_and_after_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console = Console(width=60, height=12)
    progress = _Terminal(monkeypatch, 60, 12)
    assert console.render_lines(progress, pad=False) in ([], [[]])
    progress.begin({"a": 1})
    assert "0/1 jobs" in str(console.render_lines(progress))
    progress.submission_done(entry("a"))
    assert console.render_lines(progress, pad=False) in ([], [[]])
    progress.step(Step(fold=1, n_folds=4, taken=5, score=0.25, done=False))
    assert "fold 1: 5 taken, 0.25" in str(console.render_lines(progress))


def test_hostile_names_do_nothing_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with _Terminal(monkeypatch, 80, 24) as progress:
        progress.begin({HOSTILE: 1})
        progress.job_started(HOSTILE, 0, 0, HOSTILE)
        progress._live.refresh()  # type: ignore[union-attr]
        progress.submission_done(entry(HOSTILE))
    written = progress.file.getvalue()
    assert "evil\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}[red]" in written
    assert "\u202e" not in written
    assert "\x1b[2J" not in written


def test_a_terminal_that_cannot_take_back_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert ShownProgress()._live is None


# Lines


def test_few_submissions_have_a_line_a_fold(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_for(False) as progress:
        tell(progress, ["one", "two"])
    out, err = capsys.readouterr()
    assert out == ""
    told = [line.partition("] ")[2] or line for line in err.splitlines()]
    assert told == [
        "a remark",
        "one: 1 job is on record from before",
        "one: fold 1: the host failed it, it is tried again: when it should not",
        "one: fold 1 scored (1.5 s wall, 0.5 s CPU)",
        "one: fold 2, training 1 scored (1.5 s wall, 0.5 s CPU)",
        "one: scored",
        "two: fold 0 runtime_error (1.5 s wall, 0.5 s CPU)",
        "two: runtime_error: ValueError: no",
    ]


def test_many_submissions_have_a_line_each_and_a_summary_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"s{number}" for number in range(51)]
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LINES", float("inf"))
    with progress_for(False) as progress:
        tell(progress, names)
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "a remark",
        *(f"{name}: scored" for name in names[:-1]),
        f"{names[-1]}: runtime_error: ValueError: no",
    ]
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LINES", 0.0)
    with progress_for(False) as progress:
        tell(progress, names)
    told = capsys.readouterr().err.splitlines()
    assert told[-1].partition("] ")[2] == (
        "103/103 jobs, 0 running, 1 failed, 50 failed tries, 51 of 51 submissions done, 1 not needed, "
        "1 on record before"
    )
    assert "fold" not in "".join(told[:-2])


def test_a_summary_says_when_nothing_is_known() -> None:
    assert summary(Totals(jobs=1, submissions=1), None) == (
        "0/1 jobs, 0 running, 0 of 1 submission done, time left: ?"
    )


# Programs


def objects(text: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    for one in found:
        Draft202012Validator(SCHEMA).validate(one)
    return found


def test_programs_get_an_object_an_event(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_OBJECTS", float("inf"))
    with progress_for(True) as progress:
        tell(progress, [HOSTILE, "last"])
    out, err = capsys.readouterr()
    assert (out, err.isascii()) == ("", True)
    found = objects(err)
    assert [one["event"] for one in found] == [
        "remark", "begin", "progress", "taken_over", "job_started", "try_failed", "job_started", "job_done",
        "job_done", "submission", "job_started", "job_done", "job_dropped", "submission", "progress",
    ]  # fmt: skip
    assert {one["submission"] for one in found if "submission" in one} == {HOSTILE, "last"}
    assert found[1]["submissions"] == {HOSTILE: 3, "last": 2}
    del found[-1]["seconds"]
    assert found[-1] == {
        "event": "progress", "jobs": 5, "recorded": 1, "done": 3, "failed": 1, "dropped": 1, "running": 0,
        "failed_tries": 1, "submissions": 2, "submissions_done": 2, "waiting": 0, "seconds_left": 0.0,
    }  # fmt: skip
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_OBJECTS", 0.0)
    with progress_for(True) as progress:
        tell(progress, ["a", "b"])
        progress.step(Step(fold=0, n_folds=2, taken=1, score=float("nan"), done=True))
    more = {one["event"] for one in objects(capsys.readouterr().err)}
    assert more == {branch["$ref"].rpartition("/")[2] for branch in SCHEMA["oneOf"]}


def test_a_command_without_jobs_tells_no_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_for(True) as progress:
        progress.submission_done(entry("rescored"))
    assert [one["event"] for one in objects(capsys.readouterr().err)] == ["submission"]


@pytest.mark.parametrize("as_json", [False, True], ids=["people", "programs"])
def test_lines_of_several_threads_do_not_mix(as_json: bool, capfd: pytest.CaptureFixture[str]) -> None:
    with progress_for(as_json) as progress:

        def work(name: str) -> None:
            for fold in range(200):
                progress.job_started(name, fold, 0, "")
                progress.fold_done(name, outcome(fold))

        progress.begin(dict.fromkeys("abcd", 200))
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    told = capfd.readouterr().err
    if as_json:
        found = [json.loads(line) for line in told.splitlines()]
        assert sum(one["event"] == "job_done" for one in found) == 800
        assert found[-1]["done"] == 800
    else:
        assert sum(line.endswith(" CPU)") for line in told.splitlines()) == 800 == len(told.splitlines())


def test_the_guide_names_every_event() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "organisers.md").read_text()
    missing = [
        name
        for name in (ref["$ref"].rpartition("/")[2] for ref in SCHEMA["oneOf"])
        if f"`{name}`" not in guide
    ]
    assert missing == []

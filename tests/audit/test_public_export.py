"""What a public export must not hold is found in it, in whatever file it stands; our exports hold none."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.audit import export, export_findings
from hepchallenge.board import Board, MetricInfo, make_board
from hepchallenge.contract import BoardRules
from hepchallenge.findings import Status
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

PRIVATE = 0.8172635445362718
PUBLIC = 0.7512345678901234


def entry(name: str = "one", message: str = "", verdict: Verdict = Verdict.SCORED) -> BoardEntry:
    """Return an entry with a public and a private score."""
    scores = {"auc": {"public": PUBLIC, "private": PRIVATE}} if verdict is Verdict.SCORED else {}
    data = DataInfo(kind="toy", digest="70" * 32)
    return BoardEntry(
        submission=Submission(name=name, digest=f"{len(name):02x}" * 32, kind="code"),
        run_key=RunKey(
            challenge="small",
            challenge_version="c1" * 32,
            submission_digest=f"{len(name):02x}" * 32,
            data_digest=data.digest,
            limits=Limits(),
            seed=0,
        ),
        data=data,
        isolation="namespaces",
        accounting="cgroup",
        received_at="2026-01-01T00:00:00.000000+00:00",
        run_at="2026-01-01T00:00:00.000000+00:00",
        versions={},
        scoring=Scoring(verdict=verdict, message=message, scores=scores, fold_scores=(scores,)),
        folds=(FoldOutcome(fold=0, verdict=verdict, wall_seconds=1.25, cpu_seconds=2.5),),
    )


def public_board(entries: list[BoardEntry], part: str = "public") -> Board:
    """Return the board that the public sees."""
    metrics = (MetricInfo(name="auc", lower_is_better=False, precision=3),)
    return make_board(entries, challenge="small", metrics=metrics, official_metric="auc", part=part)  # type: ignore[arg-type]


def look(content: str, secret: float = PRIVATE) -> Status:
    """Return what the search for scores finds in one file."""
    return export.check_scores({"board.md": content.encode()}, [PUBLIC], [secret])[0]


@pytest.mark.parametrize("form", ["{:.17g}", "{!r}", "{:.6f}", "{:.4f}", "{:.8e}", "-0.5,{:.6f};"])
def test_a_private_score_is_found_however_it_is_written(form: str) -> None:
    assert look(f"one | {form.format(PRIVATE)} |") is not Status.OK


@given(st.floats(0.0001, 1e6), st.integers(6, 12))
def test_any_private_score_of_many_digits_is_a_failure(secret: float, decimals: int) -> None:
    written = f"{secret:.{decimals}f}"
    if len(written.strip("0.")) > 7 and len(repr(secret)) > 8:
        assert look(f"<td>{written}</td>", secret) is Status.FAIL


def test_few_digits_that_equal_a_score_are_a_warning_where_chance_explains_them() -> None:
    numbers = " ".join(f"{n / 1e4:.4f}" for n in range(10_000))
    assert look(numbers) is Status.WARN


def test_public_scores_and_other_numbers_are_not_taken_for_private_ones() -> None:
    assert look(f"{PUBLIC!r} {PUBLIC:.4f} 0.8173 1.8172635 0.81726355 10.8172635445362718") is Status.FAIL
    assert look(f"{PUBLIC!r} {PUBLIC:.4f} 1.8172635 0.81726355 10.8172635445362718") is Status.OK


def test_a_number_that_a_public_score_explains_is_no_private_one() -> None:
    near = PUBLIC + 1e-7
    assert export.check_scores({"a.md": b"0.75123"}, [PUBLIC], [near])[0] is Status.OK
    assert export.check_scores({"a.md": b"0.75123"}, [0.1], [near])[0] is Status.FAIL


@pytest.mark.parametrize(
    "content",
    [
        "see /srv/contest/work/logs/1",
        '{"path": "\\/srv\\/contest\\/work"}',
        "run on {host}",
        "Traceback (most recent call last)",
    ],
)
def test_places_of_this_host_and_traces_are_found(content: str) -> None:
    host = platform.node()
    words = export.host_words({"workspace": Path("/srv/contest/work")}) | {"the host's name": host}
    assert export.check_host({"a.html": content.replace("{host}", host).encode()}, words)[0] is Status.FAIL
    assert export.check_host({"a.html": b"see /srv/contest/workshop"}, words)[0] is Status.OK


def test_columns_of_hidden_parts_are_found_by_their_names() -> None:
    files = {"a.csv": b"rank,auc public,auc private\n1,2,3\n"}
    assert export.check_columns(files, ["private"])[0] is Status.FAIL
    assert export.check_columns(files, ["bagged_private"])[0] is Status.OK
    document = b'{"submissions": [{"scores": {"auc": {"private": 1}}}]}'
    assert export.check_columns({"a.json": document}, ["private"])[0] is Status.FAIL


def test_our_own_export_holds_nothing_that_is_not_public(tmp_path: Path) -> None:
    failed = entry("failed", f"{tmp_path}/submission: no such file", Verdict.RUNTIME_ERROR)
    entries = [entry(), failed]
    findings = export_findings(public_board(entries), entries, {"workspace": tmp_path})
    assert [finding.check for finding in findings] == ["export scores", "export host", "export columns"]
    assert [finding for finding in findings if finding.status is not Status.OK] == []
    assert "2 hidden numbers" in findings[0].fact
    assert "auc public" in findings[2].fact


def test_a_board_that_shows_too_much_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [entry()]
    board = public_board(entries)
    private = public_board(entries, "private")
    leaky = replace(board, rows=private.rows, parts=private.parts)
    monkeypatch.setattr(export, "EXPORTERS", {"csv": export.EXPORTERS["csv"]})
    files = export.exported_files(leaky)
    answer = export.check_scores(files, *export.split_scores(entries, board.parts))
    assert answer[0] is Status.FAIL
    assert export.check_columns(files, {"private"})[0] is Status.FAIL


def test_a_score_that_the_ladder_keeps_back_is_found_where_it_stands() -> None:
    entries = [entry()]
    laddered = make_board(
        entries,
        challenge="small",
        metrics=(MetricInfo(name="auc", lower_is_better=False, precision=3),),
        official_metric="auc",
        part="public",
        rules=BoardRules(ladder=True, ladder_step=0.1),
    )
    assert {one.status for one in export_findings(laddered, entries, {})} == {Status.OK}
    told = [row.entry for row in laddered.rows]
    hidden = export.split_scores(entries, laddered.parts, told)
    assert PUBLIC in hidden[1]
    files = {"board.csv": f"name,auc public\none,{PUBLIC!r}\n".encode()}
    assert export.check_scores(files, *hidden)[0] is Status.FAIL
    open_to_all = replace(laddered, rows=public_board(entries).rows)
    assert PUBLIC not in export.split_scores(entries, open_to_all.parts, [open_to_all.rows[0].entry])[1]

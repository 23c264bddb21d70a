"""What the board shows, to whom, and that it survives hostile names."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_entries import METRICS, TOY, board, entry, parts
from rich.console import Console

from hepchallenge.board import (
    EXPORTERS,
    Board,
    export,
    make_board,
    to_csv,
    to_json,
    to_markdown,
    to_terminal,
)
from hepchallenge.contract import Reference
from hepchallenge.exceptions import StoreError, UnknownName
from hepchallenge.records import Verdict

HOSTILE = "\x1b[2J=cmd|'x'!A0\u202e<script>alert(1)</script>\n| [bold]p[/bold] " + "z" * 500


def terminal(shown: Board, width: int = 200) -> str:
    stream = io.StringIO()
    to_terminal(shown, Console(file=stream, width=width, force_terminal=False))
    return stream.getvalue()


RENDERERS = {**EXPORTERS, "terminal": terminal}


def rows_of(shown: Board) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(shown))))


@pytest.mark.parametrize("render", RENDERERS.values(), ids=RENDERERS)
def test_toy_data_are_marked_on_every_output_and_real_data_are_not(render: Any) -> None:
    assert "toy" in render(board(entry("x", 0.5, data=TOY)))
    assert "toy" in render(board(entry("x", verdict=Verdict.WALL_LIMIT, data=TOY)))
    assert "toy" not in render(board(entry("x", 0.5)))


def test_toy_is_marked_on_every_row_and_in_the_file_name(tmp_path: Path) -> None:
    shown = board(entry("a", 0.5, data=TOY), entry("b", verdict=Verdict.WALL_LIMIT, data=TOY))
    assert [row["data"] for row in rows_of(shown)] == ["toy", "toy"]
    assert [path.name for path in export(shown, tmp_path, ["md"])] == ["small-test-toy.md"]


PRIVATE = 0.123456789
WHOLE = 0.987654321


@pytest.mark.parametrize("render", RENDERERS.values(), ids=RENDERERS)
@pytest.mark.parametrize("part", [None, "public", "cv"])
def test_private_scores_are_on_no_board_but_the_private_one(render: Any, part: str | None) -> None:
    secret = parts(
        "train", "valid", "public", private=PRIVATE, test=WHOLE, bagged_private=PRIVATE, bagged_test=WHOLE
    )
    one = entry(
        "x",
        secret,
        spread=secret,
        training_spread=secret,
        errors=secret,
        gates={"mass": {"private": PRIVATE, "public": 0.5}},
        event_seconds={"valid/1": 0.5, "test/0": PRIVATE, "test/1": WHOLE},
    )
    other = entry("y", secret, verdict=Verdict.GATE_FAILED, gates={"mass": {"private": PRIVATE}})
    shown = render(board(one, other, part=part))
    assert not re.search(r"0\.12|0\.99|0\.988|1\.12|1\.99|private", shown.replace(" private part", ""))
    assert "0.12" in render(board(one, other, part="private"))


@pytest.mark.parametrize("render", RENDERERS.values(), ids=RENDERERS)
def test_the_test_set_is_not_on_a_cross_validation_board(render: Any) -> None:
    one = entry("x", parts("train", "valid", test=WHOLE, bagged_test=WHOLE))
    assert not re.search(r"0\.99|0\.988|\btest\b", render(board(one, part="cv")))
    assert re.search(r"0\.98", render(board(one)))


def test_the_official_metric_and_its_ranking_part_come_first() -> None:
    one = entry("x", parts("train", "valid", "test", "bagged_valid", "bagged_test"))
    shown = board(one, metrics=METRICS[::-1])
    order = ("test", "train", "valid", "bagged_valid", "bagged_test")
    assert shown.columns() == [(metric, part) for metric in ("auc", "nll") for part in order]


@pytest.mark.parametrize("render", [terminal, to_markdown], ids=["terminal", "md"])
def test_people_see_rounded_means_with_spread_and_resources(render: Any) -> None:
    scores = {"auc": {"test": 0.123456, "bagged_test": 0.7}, "nll": {"test": 2.0}}
    shown = render(board(entry("x", scores, spread={"auc": {"test": 0.0456}, "nll": {"test": 0.1}})))
    assert "0.123 ± 0.046" in shown
    assert "2.00 ± 0.10" in shown
    assert "0.700 " in shown
    assert "2.5 s" in shown
    assert "7 MiB" in shown
    assert entry("x").submission.digest[:8] in shown
    assert entry("x").submission.digest not in shown


def test_no_text_in_the_csv_export_is_a_formula() -> None:
    one = entry("=1+1", verdict=Verdict.RUNTIME_ERROR, message="@SUM(A1)", team="-2+3")
    (row,) = rows_of(board(one))
    assert (row["name"], row["team"], row["message"]) == ("'=1+1", "'-2+3", "'@SUM(A1)")


@pytest.mark.parametrize("render", [terminal, to_markdown], ids=["terminal", "md"])
def test_three_uncertainties_stand_side_by_side(render: Any) -> None:
    one = entry(
        "x",
        {"auc": {"test": 0.9}, "nll": {"test": 0.5}},
        spread={"auc": {"test": 0.01234}},
        training_spread={"auc": {"test": 0.00456}},
        errors={"auc": {"test": 0.00789}},
        folds=6,
        trainings=3,
    )
    lines = [line for line in render(board(one)).splitlines() if "0.0123" in line]
    assert len(lines) == 1
    assert re.findall(r"0\.\d+", lines[0]) == ["0.9000", "0.0123", "0.0046", "0.0079"]
    assert "over trainings" not in render(board(entry("x", 0.9, spread={"auc": {"test": 0.01234}})))


def _with_replicas() -> Board:
    """Return a board of which the first two rows are tied."""
    entries = [entry(name, score, errors={"auc": {"test": 0.1}}) for name, score in NAMED.items()]
    noise = np.random.default_rng(0).normal(size=(3, 400))
    replicas = dict(zip(NAMED, noise * [[0.1], [0.1], [0.001]], strict=True))
    return make_board(
        entries,
        challenge="small",
        metrics=METRICS,
        official_metric="auc",
        replicas=lambda one, _: replicas[one.submission.name],
    )


NAMED = {"first": 0.9, "second": 0.85, "third": 0.1}


@pytest.mark.parametrize("render", [terminal, to_markdown], ids=["terminal", "md"])
def test_ranks_stand_with_what_the_sample_says_of_them(render: Any) -> None:
    shown = html.unescape(render(_with_replicas()))
    lines = shown[shown.index("Uncertainties of auc on test") :].splitlines()
    cells = [re.sub(r"[\s|\\]+", " ", line).strip() for line in lines]
    (first,), (second,), (third,) = ([c for c in cells if name in c] for name in NAMED)
    assert re.fullmatch(r"1 first 0\.9000 0\.1000 1-2 6\d % a", first)
    assert second == "2 second 0.8500 0.1000 1-2 > 99 % a"
    assert third == "3 third 0.1000 0.1000 3"
    assert "95 % for all rows at once" in shown


def test_programs_get_intervals_of_ranks_as_numbers() -> None:
    one, _, three = rows_of(_with_replicas())
    assert (one["rank_first"], one["rank_last"], one["tie"]) == ("1", "2", "1")
    assert 0.6 < float(one["holds"]) < 0.7
    assert (three["rank_first"], three["rank_last"], three["holds"], three["tie"]) == ("3", "3", "", "")
    first, _, third = json.loads(to_json(_with_replicas()))["submissions"]
    assert (first["rank_interval"], first["tie"]) == ([1, 2], 1)
    assert first["holds"] == float(one["holds"])
    assert (third["rank_interval"], third["holds"], third["tie"]) == ([3, 3], None, None)


def test_trainings_of_one_fold_have_no_spread_over_folds() -> None:
    one = entry("x", 0.5, spread={"auc": {"test": 0.0}}, folds=3, trainings=3)
    assert "±" not in to_markdown(board(one))


PUBLISHED = (
    Reference(name="winner", metric="auc", part="test", value=0.9871, source="a paper", confirmed=True),
    Reference(name="winner", metric="nll", part="test", value=0.25, source="a paper", confirmed=True),
    Reference(name="<b>|", metric="auc", part="private", value=0.5, source="=1+1", confirmed=False),
)


@pytest.mark.parametrize("render", [terminal, to_markdown], ids=["terminal", "md"])
def test_published_scores_stand_apart_and_have_no_rank(render: Any) -> None:
    shown = render(board(entry("x", 0.5), references=PUBLISHED))
    ours, published = shown.split("Published, on the original data; not ranked")
    assert "winner" not in ours
    (line,) = [line for line in published.splitlines() if "winner" in line]
    # A terminal, which is narrow, gets the score that ranks only.
    assert re.findall(r"\d\.\d+", line) == (["0.987", "0.25"] if render is to_markdown else ["0.987"])
    assert "0.500 (unconfirmed)" in published
    assert "Published" not in render(board(entry("x", 0.5)))


def test_programs_get_published_scores_with_their_source() -> None:
    text = to_json(board(entry("x", 0.5), references=PUBLISHED))
    first, _, last = json.loads(text)["published"]
    assert first == {
        "name": "winner",
        "metric": "auc",
        "part": "test",
        "value": 0.9871,
        "source": "a paper",
        "confirmed": True,
    }
    assert not last["confirmed"]
    assert "<b>" not in text


@pytest.mark.parametrize("render", [terminal, to_markdown], ids=["terminal", "md"])
def test_the_number_of_trained_parameters_is_shown_where_some_row_tells_it(render: Any) -> None:
    small = entry("small", 0.5)
    shown = render(board(small, entry("large", 0.6, parameters=123456)))
    assert "123456" in shown
    assert "parameters" in shown
    assert "parameters" not in render(board(small))
    assert [row["parameters"] for row in rows_of(board(small, entry("large", 0.6, parameters=123456)))] == [
        "123456",
        "",
    ]


def test_one_fold_has_no_spread() -> None:
    shown = to_markdown(board(entry("x", 0.5, spread={"auc": {"test": 0.0}}, folds=1)))
    assert "±" not in shown


def test_programs_get_exact_scores() -> None:
    shown = board(entry("x", 0.1 + 0.2))
    assert rows_of(shown)[0]["auc test"] == "0.30000000000000004"
    assert json.loads(to_json(shown))["submissions"][0]["scores"]["auc"]["test"] == 0.1 + 0.2


# A paper's table has what is ranked.
LISTING = {name: render for name, render in RENDERERS.items() if name != "tex"}


@pytest.mark.parametrize("render", LISTING.values(), ids=LISTING)
def test_what_failed_is_listed_apart_with_verdict_and_message(render: Any) -> None:
    failed = entry("bad", verdict=Verdict.RUNTIME_ERROR, message="ValueError: at /home/me/kit.py")
    shown = render(board(entry("good", 0.5), failed))
    assert shown.index("good") < shown.index("bad")
    assert "runtime_error" in shown
    assert "ValueError: at kit.py" in shown
    assert "/home" not in shown


def test_every_csv_row_says_how_it_came_about() -> None:
    (row,) = rows_of(board(entry("x", 0.5)))
    one = entry("x", 0.5)
    assert (row["rank"], row["verdict"], row["message"]) == ("1", "scored", "")
    assert row["digest"] == one.submission.digest
    assert row["data_digest"] == one.data.digest
    assert row["challenge_version"] == one.run_key.challenge_version
    assert (row["scorer_version"], row["versions"]) == ("s1", "numpy 2.0")
    assert (row["isolation"], row["accounting"], row["quick"]) == ("namespaces", "cgroup", "False")


def test_the_json_export_has_the_objects_of_score_json_plus_a_rank() -> None:
    one = entry("x", parts("test"), spread=parts("test"))
    document = json.loads(to_json(board(one)))
    plain = {key: value for key, value in document.items() if key != "submissions"}
    assert plain == {
        "format": 1,
        "challenge": "small",
        "title": "",
        "data": {"kind": "real", "digest": one.data.digest},
        "metric": "auc",
        "lower_is_better": False,
        "part": "test",
        "ladder": False,
        "revealed": False,
        "published": [],
        "notes": [],
    }
    unsaid = {"rank": 1, "rank_interval": None, "holds": None, "tie": None, "moved": None}
    ruled = {"phase": "", "late": False, "entries": 1, "reason": ""}
    assert document["submissions"] == [{**unsaid, **ruled, **json.loads(json.dumps(one.to_dict()))}]


def test_numbers_that_json_lacks_are_null() -> None:
    scores = {"auc": {"test": math.nan, "valid": math.inf}}
    document = json.loads(to_json(board(entry("x", scores))), parse_constant=pytest.fail)
    assert document["submissions"][0]["scores"]["auc"] == {"test": None, "valid": None}


@pytest.mark.parametrize("render", RENDERERS.values(), ids=RENDERERS)
@pytest.mark.parametrize("value", [0.5, None], ids=["ranked", "unranked"])
def test_hostile_names_do_nothing_anywhere(render: Any, value: float | None) -> None:
    one = entry(
        HOSTILE, value, message=HOSTILE, team=HOSTILE, title=HOSTILE, gates={HOSTILE: HOSTILE},
        verdict=Verdict.SCORED if value else Verdict.RUNTIME_ERROR,
    )  # fmt: skip
    shown = render(board(one, entry("honest", 0.1)))
    for character in "\x1b\u202e\r":
        assert character not in shown
    assert "z" * 250 not in shown
    if render in (to_markdown, to_json):
        assert "<script>" not in shown
    if render is to_markdown:
        tables = [line for line in shown.splitlines() if line.startswith("|")]
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in tables}
        heads = {len(re.findall(r"\|", line)) for line in tables if "digest" in line}
        assert widths == heads
    if render is to_csv:
        for row in csv.reader(io.StringIO(shown)):
            assert not any(re.match(r"\s*[=+@]|-[^0-9]", cell) for cell in row)
    if render is terminal:
        assert "[bold]p" in shown.replace("\n", "")


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_number_is_cut_whatever_the_width(width: int) -> None:
    scores = parts("train", "bagged_valid", "bagged_test", test=0.5123, valid=0.4314)
    shown = terminal(board(entry("alpha" * 8, scores, spread=scores), entry("omega", scores)), width)
    assert "…" not in shown
    for number in ("0.512 ± 0.512", "0.431 ± 0.431", "1.51 ± 1.51", "2.5 s", "7 MiB", "omega"):
        assert number in shown
    assert all(len(line) <= width for line in shown.splitlines())


def test_a_quick_run_says_so() -> None:
    shown = board(entry("x", 0.5, quick=True))
    assert "x (quick)" in terminal(shown)
    assert "x (quick)" in to_markdown(shown)


def test_exports_are_written_whole_under_speaking_names(tmp_path: Path) -> None:
    shown = board(entry("x", 0.5))
    paths = export(shown, tmp_path / "new" / "folder", ["csv", "json", "md", "csv"])
    assert [path.name for path in paths] == ["small-test.csv", "small-test.json", "small-test.md"]
    assert [path.read_text() for path in paths] == [to_csv(shown), to_json(shown), to_markdown(shown)]
    assert len(list(paths[0].parent.iterdir())) == 3


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"no export format is called 'xlsx' \(known: csv, html, json, md"):
        export(board(entry("x", 0.5)), tmp_path, ["csv", "xlsx"])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        export(board(entry("x", 0.5)), tmp_path / "file", ["csv"])

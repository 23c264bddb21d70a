"""Fair clocks: which runs a board ranks that demands one class of host, or cores of their own."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from board_entries import board, entry
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hepchallenge.board import Board, to_csv, to_json, to_markdown, to_terminal
from hepchallenge.board.hosts import host_refusals, settled_by
from hepchallenge.board.latex import to_latex
from hepchallenge.board.site.model import site_board
from hepchallenge.contract import BoardRules, HostDemands, demands
from hepchallenge.exceptions import OrganiserError
from hepchallenge.records import BoardEntry, HostFacts, Verdict

FAST = "Fast Processor, family 6 model 1"
SLOW = "Slow Processor, family 6 model 2"
ONE = BoardRules(host_class="one")
ALONE = BoardRules(exclusive_cores=True)
ON_FAST = BoardRules(host_class=FAST)


def host(cpu: str = FAST, exclusive: bool = True, seconds: float = 0.003) -> HostFacts:
    return HostFacts(
        name="secret-node-17", cpu=cpu, cores=2, exclusive=exclusive, load=0.5, reference_seconds=seconds
    )


def ran(name: str, score: float | None, *hosts: HostFacts | None, **more: object) -> BoardEntry:
    made = entry(name, score, folds=len(hosts), **more)  # type: ignore[arg-type]
    return replace(
        made, folds=tuple(replace(fold, host=one) for fold, one in zip(made.folds, hosts, strict=True))
    )


def ranks(shown: Board) -> dict[str, int]:
    return {row.entry.submission.name: row.rank for row in shown.ranked if row.rank is not None}


def reasons(shown: Board) -> dict[str, str]:
    return {row.entry.submission.name: row.reason for row in shown.unranked}


def test_without_demands_it_does_not_matter_where_runs_were() -> None:
    entries = [ran("a", 0.9, host(FAST, False)), ran("b", 0.8, host(SLOW)), entry("c", 0.7)]
    assert ranks(board(*entries)) == {"a": 1, "b": 2, "c": 3}
    assert not demands(BoardRules())


def test_runs_on_another_class_are_shown_with_the_reason_and_not_ranked() -> None:
    shown = board(ran("slow", 0.9, host(), host(SLOW)), ran("fast", 0.8, host()), rules=ON_FAST)
    assert ranks(shown) == {"fast": 1}
    assert reasons(shown) == {"slow": f"ran on {SLOW}, the board takes {FAST}"}
    assert shown.notes == (f"All ranked runs were on {FAST}.",)


def test_one_fold_on_shared_cores_is_enough_not_to_be_ranked() -> None:
    shown = board(ran("shared", 0.9, host(), host(exclusive=False)), ran("own", 0.8, host()), rules=ALONE)
    assert ranks(shown) == {"own": 1}
    assert reasons(shown) == {"shared": "cores were not exclusive"}
    assert shown.notes == ("All ranked runs had their cores for themselves.",)


@pytest.mark.parametrize("rules", [ONE, ALONE, ON_FAST], ids=["one class", "exclusive", "a certain class"])
def test_runs_that_do_not_tell_their_host_are_not_ranked(rules: BoardRules) -> None:
    shown = board(entry("old", 0.9), ran("half", 0.8, host(), None), ran("new", 0.7, host()), rules=rules)
    assert ranks(shown) == {"new": 1}
    assert reasons(shown) == {"old": "host not recorded", "half": "host not recorded"}


def test_what_failed_keeps_its_own_reason() -> None:
    failed = ran("failed", None, host(SLOW), verdict=Verdict.WALL_LIMIT, message="too slow")
    shown = board(failed, ran("fast", 0.7, host()), rules=ON_FAST)
    assert reasons(shown) == {"failed": "too slow"}


def test_whichever_class_is_the_one_if_all_were_on_it() -> None:
    assert ranks(board(ran("a", 0.9, host(SLOW)), ran("b", 0.8, host(SLOW)), rules=ONE)) == {"a": 1, "b": 2}


def test_blanks_make_no_other_class() -> None:
    spaced = host(f" {FAST.replace(' ', '   ')} ")
    assert ranks(board(ran("a", 0.9, spaced), ran("b", 0.8, host()), rules=ONE)) == {"a": 1, "b": 2}
    assert ranks(board(ran("a", 0.9, spaced), rules=ON_FAST)) == {"a": 1}


def test_a_board_of_one_class_refuses_to_mix_and_says_what_to_write() -> None:
    entries = [ran("a", 0.9, host()), ran("b", 0.8, host(SLOW)), ran("c", 0.7, host(SLOW))]
    with pytest.raises(OrganiserError) as caught:
        board(*entries, rules=ONE)
    assert f"{SLOW} (2); {FAST} (1)" in str(caught.value)
    assert f"host_class = '{SLOW}'" in str(caught.value)
    assert ranks(board(*entries, rules=BoardRules(host_class=SLOW))) == {"b": 1, "c": 2}


def test_a_run_over_several_classes_does_not_stop_the_board() -> None:
    shown = board(ran("both", 0.9, host(), host(SLOW)), ran("fast", 0.8, host()), rules=ONE)
    assert ranks(shown) == {"fast": 1}
    assert reasons(shown) == {"both": f"ran on several classes of host: {FAST}; {SLOW}"}


def test_what_shared_its_cores_does_not_make_a_class() -> None:
    both = BoardRules(host_class="one", exclusive_cores=True)
    shown = board(ran("a", 0.9, host(SLOW, exclusive=False)), ran("b", 0.8, host()), rules=both)
    assert ranks(shown) == {"b": 1}
    assert shown.notes == (f"All ranked runs were on {FAST} and had their cores for themselves.",)


def test_a_class_that_no_run_was_on_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(OrganiserError, match=r"Fast Processor, family 6 model 1 \(1\)"):
        board(ran("a", 0.9, host()), rules=BoardRules(host_class="Fast Processor"))


def test_of_a_team_none_stands_that_was_on_another_host() -> None:
    rules = replace(ON_FAST, entry="best")
    entries = [
        ran("better", 0.9, host(SLOW), team="t", received=1),
        ran("worse", 0.8, host(), team="t", received=2),
    ]
    shown = board(*entries, rules=rules)
    assert ranks(shown) == {"worse": 1}
    assert reasons(shown) == {"better": f"ran on {SLOW}, the board takes {FAST}"}


def test_the_ladder_tells_no_score_of_what_was_on_another_host() -> None:
    rules = replace(ON_FAST, ladder=True, ladder_step=0.01)
    entries = [
        ran("slow", None, host(SLOW)),
        ran("fast", None, host()),
    ]
    scored = [
        replace(one, scoring=replace(one.scoring, scores={"auc": {"public": score, "private": score}}))
        for one, score in zip(entries, (0.9, 0.8), strict=True)
    ]
    shown = board(*scored, rules=rules)
    assert ranks(shown) == {"fast": 1}
    assert reasons(shown) == {"slow": f"ran on {SLOW}, the board takes {FAST}"}
    assert "public" not in shown.unranked[0].entry.scoring.scores["auc"]


hosts = st.builds(host, st.sampled_from([FAST, SLOW]), st.booleans()) | st.none()


@given(
    folds=st.lists(st.lists(hosts, min_size=1, max_size=3), min_size=1, max_size=4),
    rules=st.builds(BoardRules, host_class=st.sampled_from(["", "one", FAST]), exclusive_cores=st.booleans()),
)
def test_what_is_ranked_together_was_on_what_is_demanded(
    folds: list[list[HostFacts | None]], rules: BoardRules
) -> None:
    entries = [ran(f"s{number}", 0.5, *some) for number, some in enumerate(folds)]
    try:
        said = host_refusals(entries, rules)
    except OrganiserError:
        known = {fold.host.cpu for one in entries for fold in one.folds if fold.host is not None}
        assert known == {FAST, SLOW} or (rules.host_class == FAST and known == {SLOW})
        return
    taken = [fold.host for one, why in zip(entries, said, strict=True) if not why for fold in one.folds]
    if rules.host_class or rules.exclusive_cores:
        assert None not in taken
        assert not rules.exclusive_cores or all(one.exclusive for one in taken if one)
        assert not rules.host_class or len({one.cpu for one in taken if one}) <= 1
        assert rules.host_class != FAST or {one.cpu for one in taken if one} <= {FAST}
    else:
        assert said == [""] * len(entries)


def test_the_class_of_a_board_is_settled_by_its_first_ranked_run() -> None:
    entries = [ran("both", 0.9, host(), host(SLOW)), ran("slow", 0.8, host(SLOW))]
    assert settled_by(entries, ONE).refuses(FAST, True) == f"ran on {FAST}, the board takes {SLOW}"
    assert settled_by(entries[:1], ONE).refuses(FAST, True) == ""
    assert settled_by(entries, ON_FAST) == HostDemands(host_class=FAST)


def test_exports_tell_the_class_and_the_clock_and_never_the_name_of_a_host() -> None:
    shown = board(ran("a", 0.9, host(seconds=0.002), host(seconds=0.004)), entry("old", 0.1), rules=ON_FAST)
    console = Console(width=200)
    with console.capture() as capture:
        to_terminal(shown, console)
    texts = {
        "csv": to_csv(shown),
        "json": to_json(shown),
        "md": to_markdown(shown),
        "latex": to_latex(shown),
        "terminal": capture.get(),
    }
    site = site_board(shown)
    page = json.dumps([site.notes, site.rows, site.page(0), site.page(1)])
    for kind, text in {**texts, "site": page}.items():
        assert "secret-node" not in text, kind
    lines = list(csv.DictReader(io.StringIO(texts["csv"])))
    told = [[line[key] for key in ("host_class", "exclusive_cores", "reference_seconds")] for line in lines]
    assert told == [[FAST, "True", "0.003"], ["", "", ""]]
    folds = [one["folds"] for one in json.loads(texts["json"])["submissions"]]
    assert folds[0][0]["host"]["cpu"] == FAST
    assert folds[1][0]["host"] is None
    assert f"All ranked runs were on {FAST}." in texts["md"]
    assert "All ranked runs were on Fast Processor, family 6 model 1." in texts["latex"]
    for kind in ("csv", "json", "md", "terminal"):
        assert "host not recorded" in texts[kind], kind
    assert f"All ranked runs were on {FAST}." in texts["terminal"]
    assert FAST in page
    assert "cores of its own; reference work in 3.00 ms" in page

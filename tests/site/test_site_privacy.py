"""Nothing that is not public is in any byte of a site, and names are harmless and told apart."""

from __future__ import annotations

import getpass
import json
import platform
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from site_boards import METRICS, board, made

from hepchallenge.board import FORMATS, MetricInfo, export, make_board
from hepchallenge.board.site import Curve, Curves, Extras, export_site
from hepchallenge.board.site.model import site_board
from hepchallenge.contract import BoardRules
from hepchallenge.records import BoardEntry, HostFacts, Verdict

SECRET = 7.123456789
TRACED = ("plantedcode", "Traceback", "line 31")
TRACE = (
    "it failed\nTraceback (most recent call last):\n"
    '  File "/srv/organiser/workspace/kit/submission.py", line 31, in fit\n    plantedcode(planted_call)\n'
    "OSError: [Errno 2] No such file: '/srv/organiser/workspace/hidden_labels.csv' on plantedhost"
)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def handed_over(folder: Path, name: str) -> Any:
    (file,) = folder.glob(f"site-*/data/{name}.js")
    return json.loads(file.read_text()[len(f'hepchallenge.take("{name.replace("-", " ")}",') : -3])


def planted(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[str]]:
    monkeypatch.setattr(platform, "node", lambda: "plantedhost")
    private = {"ams": {"public": 3.5, "private": SECRET, "test": SECRET + 1, "bagged_private": SECRET + 2}}
    error = {"ams": {"public": 0.25, "private": SECRET + 3}}
    good = made(1, name="good")
    scoring = replace(
        good.scoring,
        scores=private,
        spread=error,
        errors=error,
        training_spread=error,
        fold_scores=(private,) * 3,
        gates={"agreement": {"statistic": 0.1, "private": SECRET + 4}},
    )
    good = replace(good, scoring=scoring)
    bad = made(2, name="bad", verdict=Verdict.RUNTIME_ERROR, message=TRACE)
    shown = make_board([good, bad], challenge="small", metrics=METRICS, official_metric="ams", part="public")
    words = [f"{SECRET + number:.6f}"[:6] for number in range(5)]
    return shown, [
        *words,
        "plantedhost",
        "plantedcode",
        "Traceback",
        "/srv",
        "organiser",
        "private",
        "line 31",
    ]


def test_what_is_planted_is_in_no_exported_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, words = planted(monkeypatch)
    workspace = tmp_path / "their-workspace"
    workspace.mkdir()
    log = Extras(log=lambda _: f"begin\n{TRACE}\n{workspace}/log.txt\n")
    export_site([shown], tmp_path / "out", log)
    # What a library's own file holds is no secret of this host.
    for name, found in content(tmp_path / "out").items():
        # The log was asked for, and its lines stay; where files lie does not.
        hidden = [
            word
            for word in words
            if "pages" not in name or word not in ("plantedcode", "Traceback", "line 31")
        ]
        if name.endswith(("board.js", "board.css")):
            continue
        for word in [*hidden, str(tmp_path), "their-workspace"]:
            assert word.encode() not in found, (name, word)
        if (user := getpass.getuser()) not in ("root", "user"):
            assert user.encode() not in found


def test_a_log_is_shown_only_if_it_is_given(tmp_path: Path) -> None:
    export_site([board()], tmp_path / "without")
    assert handed_over(tmp_path / "without", "pages-public-0")[0]["log"] == []
    export_site(
        [board()], tmp_path / "with", Extras(log=lambda entry: f"hello\x1b[2J\nof {entry.submission.name}")
    )
    assert (
        handed_over(tmp_path / "with", "pages-public-0")[0]["log"][0] == "hello\N{REPLACEMENT CHARACTER}[2J"
    )


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)</script>",
    "=cmd|'/c calc'!A0",
    "**bold** [x](javascript:alert(1))",
    r"\input{/etc/passwd} $x$ %",
    "\u202egnp.exe\u202c",
    "a\u200bb",
    "a\u200cb",
    "../../etc/passwd",
    "x" * 10_000,
    "{{ 7 * 7 }}",
    "line\u2028end",
    "Kit",
    "kit",
]


def test_hostile_names_are_text_in_every_file(tmp_path: Path) -> None:
    some = [
        made(number, name=name, team=name, title=name, description=name, links=(name, f"https://{name}"))
        for number, name in enumerate(HOSTILE)
    ]
    export_site([board(*some)], tmp_path)
    for name, found in content(tmp_path).items():
        text = found.decode("utf-8", "replace")
        if name == "index.html":
            assert len(re.findall("<script", text)) == 3
            assert "<img src=x" not in text
            assert " onerror=" not in re.sub(r"<t[hd].*?</t[hd]>", "", text)
        elif "data/" in name:
            assert not re.search("[<>&\u2028\u2029]", text)
        assert not re.search("[\u200b\u200c\u202a-\u202e\u2028]", text)
        assert "x" * 2001 not in text
    for page in handed_over(tmp_path, "pages-public-0"):
        for _, address in page["links"]:
            assert address == "" or re.fullmatch(r"https://[A-Za-z0-9.-]+(/[!-~]*)?", address)


def test_names_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    names = ["Kit", "kit", "a\u200bb", "a\u200cb", "z" * 100 + "1", "z" * 100 + "2", "alone"]
    site = site_board(board(*(made(number, name=name, team=f"{name}!") for number, name in enumerate(names))))
    keys = [column.key for column in site.columns]
    shown = {tuple(cells[keys.index("name")]) for _, cells in site.rows}
    assert len(shown) == len(names)
    assert ("alone",) in shown
    teams = {cells[keys.index("team")] for _, cells in site.rows}
    # Teams that differ only in case, or in what nobody sees, are one team.
    assert len({team.casefold() for team in teams}) == len(names) - 2


def test_two_names_of_one_digest_have_pages_of_their_own() -> None:
    one = made(1, name="first")
    two = replace(made(1, name="second"), received_at=made(2).received_at)
    keys = [key for key, _ in site_board(board(one, two)).rows]
    assert len(set(keys)) == 2


def secretive(number: float, rules: BoardRules, part: str | None) -> Any:
    """Return a board of submissions whose hidden numbers, and nothing else of them, depend on `number`."""

    def planted(one: BoardEntry, place: int) -> BoardEntry:
        # Also the order of the hidden scores is another.
        secret = dict.fromkeys(("test", "private", "bagged_test", "bagged_private"), number * (5 - place))
        public = dict.fromkeys(("train", "valid", "public", "bagged_public"), 3.0 + 0.1 * place)
        both = {"ams": {**public, **secret}, "nll": {**public, **secret}}
        gates = {"agreement": {"statistic": 0.1, "private": number, "test": {"x": number}}}
        scoring = replace(
            one.scoring, scores=both, errors=both, spread=both, training_spread=both, gates=gates
        )
        seconds = {"test/1": number, "valid/0": 0.5}
        folds = tuple(replace(fold, event_seconds=seconds) for fold in one.folds)
        return replace(one, scoring=replace(scoring, fold_scores=(both,) * 3), folds=folds)

    def replicas(one: BoardEntry, part: str) -> np.ndarray:
        rng = np.random.default_rng(len(one.submission.name))
        hidden = number if part in ("private", "test") else 1.0
        return one.scoring.scores["ams"][part] + hidden * rng.normal(0, 0.1, 200)

    entries = [planted(made(place, name="x" * place, team=f"t{place % 3}"), place) for place in range(1, 6)]
    entries.append(made(6, verdict=Verdict.INVALID_SUBMISSION, message="row 3 is NaN"))
    return make_board(
        entries,
        challenge="small",
        metrics=METRICS,
        official_metric="ams",
        part=part,  # type: ignore[arg-type]
        rules=rules,
        replicas=replicas,
        chosen={"t1": (f"{1:08x}" * 8,)},
    )


@pytest.mark.parametrize(
    ("rules", "part"),
    [
        (BoardRules(), None),
        (BoardRules(), "cv"),
        (BoardRules(entry="best"), "public"),
        (BoardRules(entry="chosen", most_chosen=2), None),
        (BoardRules(entry="best", ladder=True), None),
        (BoardRules(entry="last", ladder=True, ladder_step=0.1), "public"),
    ],
)
def test_no_exported_byte_depends_on_a_hidden_number(
    tmp_path: Path, rules: BoardRules, part: str | None
) -> None:
    for name, number in (("one", 0.25), ("other", -77.125)):
        export(secretive(number, rules, part), tmp_path / name, FORMATS)
    one, other = content(tmp_path / "one"), content(tmp_path / "other")
    assert len(one) > 10
    assert one == other
    private = [export(secretive(n, rules, "private"), tmp_path / str(n), ["csv"]) for n in (0.25, -77.125)]
    assert private[0][0].read_bytes() != private[1][0].read_bytes()


@pytest.mark.parametrize(("entry", "step"), [("all", None), ("best", 0.02)])
def test_of_what_does_not_climb_the_ladder_no_exported_byte_tells_the_score(
    tmp_path: Path, entry: Any, step: float | None
) -> None:
    def laddered(public: float) -> Any:
        entries = []
        for number, value in enumerate((0.7, public, 0.65), start=1):
            parts = {"valid": 0.5, "public": value, "private": 0.4, "bagged_public": value}
            both = {"ams": parts, "nll": parts}
            one = made(number, name=f"s{number}", team=f"t{number // 3}")
            errors = {metric: {part: score / 100 for part, score in parts.items()} for metric in both}
            scoring = replace(one.scoring, scores=both, errors=errors, spread=both, training_spread=both)
            entries.append(replace(one, scoring=replace(scoring, fold_scores=(both,) * 3)))
        rules = BoardRules(entry=entry, ladder=True, ladder_step=step)
        given: Any = {"challenge": "small", "metrics": METRICS, "official_metric": "ams", "rules": rules}
        return make_board(entries, **given)

    for name, public in (("one", 0.1), ("other", 0.6999)):
        export(laddered(public), tmp_path / name, FORMATS)
    assert content(tmp_path / "one") == content(tmp_path / "other")
    (climbed,) = export(laddered(9.0), tmp_path / "more", ["csv"])
    assert climbed.read_bytes() != (tmp_path / "one" / climbed.name).read_bytes()


def test_a_team_counts_once_however_it_is_written() -> None:
    teams = ("Team A", " team  a", "T\uff45am A\u200b", "team b")
    shown = site_board(board(*(made(number, team=team) for number, team in enumerate(teams))))
    assert dict(shown.facts)["Teams"] == "2"


@pytest.mark.parametrize("value", [1e308, -1e308])
def test_one_absurd_score_does_not_stop_a_site(tmp_path: Path, value: float) -> None:
    export_site([board(made(1), made(2, name="absurd", ams=value))], tmp_path)
    assert "1.00000e+308" in (tmp_path / "index.html").read_text()
    assert len(list(tmp_path.glob("site-*/figures/*.svg"))) == 2


def test_names_that_are_half_a_formula_are_drawn_as_they_are(tmp_path: Path) -> None:
    name = "$\\frac{$"
    one = made(1, name=name)
    metric = MetricInfo(name=name, lower_is_better=False, precision=3)
    shown = make_board(
        [replace(one, scoring=replace(one.scoring, scores={name: {"public": 0.5}}))],
        challenge=name,
        title=name,
        metrics=[metric],
        official_metric=name,
    )
    line = Curve(label=name, x=(0.0, 1.0), y=(0.0, 1.0))
    curves = Curves(title=name, description=name, x_label=name, y_label=name, lines=(line,))
    export_site([shown], tmp_path, Extras(curves=(curves,)))
    drawn = [ElementTree.parse(path) for path in tmp_path.glob("site-*/figures/*.svg")]
    assert len(drawn) == 3


def test_spellings_of_one_team_get_one_mark_and_two_teams_that_look_alike_two() -> None:
    long = "x" * 60
    teams = (f"{long} a", f"{long}  A", f"{long} b", "team\u200b", "team\u2060", "\u200b")
    site = site_board(board(*(made(number, team=team) for number, team in enumerate(teams))))
    place = [column.key for column in site.columns].index("team")
    shown = [cells[place] for _, cells in site.rows]
    by_name = {row.entry.submission.team: one for row, one in zip(site.board.rows, shown, strict=True)}
    a, also_a, b, unseen, other_unseen, none = (by_name[team] for team in teams)
    marks = [str(words).rpartition(" #")[2] for words in (a, also_a, b)]
    assert marks[0] == marks[1] != marks[2]
    assert unseen == other_unseen
    assert "#" not in str(unseen)
    assert none is None


def test_no_host_of_a_farm_is_named_in_any_exported_byte(tmp_path: Path) -> None:
    words = ("node17", "farm.example", "10.9.8.7")
    told = "node17.farm.example: CallFailed: no answer from tcp://10.9.8.7:4567"
    facts = HostFacts(
        name="node17.farm.example", cpu="cpu", cores=1, exclusive=True, load=0.5, reference_seconds=0.003
    )
    good = made(1, name="good")
    good = replace(good, folds=tuple(replace(fold, host=facts) for fold in good.folds))
    failed = made(2, name="failed", verdict=Verdict.INFRASTRUCTURE, message=told)
    shown = make_board([good, failed], challenge="small", metrics=METRICS, official_metric="ams")
    export(shown, tmp_path / "out", FORMATS)
    found = content(tmp_path / "out")
    assert any(b"failed on the organiser" in data for data in found.values())
    for name, data in found.items():
        for word in words:
            assert word.encode() not in data, (name, word)

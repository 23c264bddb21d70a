"""Blends of recorded submissions: who can be taken, what is scored, what is shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from event_kit import write_event_kit
from gated_kit import PROBLEM as GATED
from gated_kit import write_gated_kit, write_regressor
from small_kit import PROBLEM, write_kit, write_submission

import hepchallenge
from hepchallenge.blend import blend
from hepchallenge.cli import cli
from hepchallenge.contract import BoardRules, Phase
from hepchallenge.exceptions import UnknownName, UsageError
from hepchallenge.reception import receive
from hepchallenge.records import Verdict

PARTS = (
    "\n\ndef get_test_parts(path='.'):\n    return ['private' if i > 7 else 'public' for i in range(23)]\n"
)

# The labels are all nearly the mean that fit finds; so errors are what is added.
SHIFTED = """
import numpy as np


class Classifier:
    def fit(self, X, y):
        self.mean = y.mean()

    def predict(self, X):
        return np.full(len(X), self.mean) + {shift}
"""


def shifted(folder: Path, shift: str) -> Path:
    return write_submission(folder, SHIFTED.format(shift=shift))


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    return write_kit(tmp_path / "kit", PROBLEM + PARTS)


def _run(*words: object) -> Any:
    return CliRunner().invoke(cli, [str(word) for word in words], standalone_mode=False)


def test_errors_that_cancel_make_a_blend_better_than_the_best(kit: Path, tmp_path: Path) -> None:
    sources = [
        shifted(tmp_path / name, shift) for name, shift in (("up", "3"), ("down", "-2"), ("far", "50"))
    ]
    workspace = tmp_path / "w"
    entries = {
        e.submission.name: e for e in hepchallenge.score(kit, sources, workspace=workspace).submissions
    }
    found = blend(kit, workspace=workspace)
    assert [member.submission.name for member in found.members] == ["up", "down", "far"]
    assert {picks[:2] for picks in found.picks} == {(1, 0)}
    assert sum(member.contributivity for member in found.members) == pytest.approx(100)
    assert found.members[2].taken == (0, 0, 0)
    assert found.best.submission.name == "down"
    # With one training a fold, a single submission is scored here as it was then.
    assert found.best_scoring.scores == entries["down"].scoring.scores
    assert found.best_scoring.fold_scores == entries["down"].scoring.fold_scores
    shares = np.array([[m.taken[f] / len(found.picks[f]) for m in found.members] for f in range(3)])
    errors = np.abs(shares @ [3, -2, 50])
    for part in ("valid", "bagged_valid"):
        assert found.blended.scores["distance"][part] == pytest.approx(errors.mean(), abs=0.1)
        assert found.blended.scores["distance"][part] < found.best_scoring.scores["distance"][part] / 2
    # On the test rows all are off by the same, and the blend by the mean of its members.
    offsets = [entries[name].scoring.fold_scores[0]["distance"]["test"] for name in ("up", "down", "far")]
    assert found.blended.fold_scores[0]["distance"]["test"] == pytest.approx(shares[0] @ offsets)


def test_only_full_scored_code_is_taken_and_what_is_left_out_is_said(kit: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    good = [shifted(tmp_path / "a", "1"), shifted(tmp_path / "b", "-1")]
    copy = shifted(tmp_path / "copy", "1")
    broken = shifted(tmp_path / "broken", "1 // 0")
    hepchallenge.score(kit, [*good, copy, broken], workspace=workspace)
    hepchallenge.score(kit, [shifted(tmp_path / "hasty", "2")], workspace=workspace, quick=True)
    found = blend(kit, workspace=workspace)
    assert [member.submission.name for member in found.members] == ["a", "b"]
    assert {one.name: one.reason for one in found.left_out} == {
        "copy": "it is a copy of a",
        "broken": "its verdict is runtime_error",
        "hasty": "only its quick run is recorded",
    }
    with pytest.raises(UsageError, match="hasty cannot be blended: only its quick run is recorded"):
        blend(kit, ["a", "hasty"], workspace=workspace)
    with pytest.raises(UsageError, match="a blend needs two submissions, found 1"):
        blend(kit, ["a"], workspace=workspace)
    with pytest.raises(UnknownName, match="no submission is called 'z'"):
        blend(kit, ["a", "z"], workspace=workspace)
    with pytest.raises(UnknownName, match="no metric is called 'z'"):
        blend(kit, workspace=workspace, metric="z")


def test_what_the_rules_do_not_rank_is_in_no_blend(kit: Path, tmp_path: Path) -> None:
    workspace, noon = tmp_path / "w", datetime(2026, 5, 4, 12, tzinfo=UTC)
    day = Phase(name="day", start=noon, end=noon + timedelta(hours=6), submissions=1)
    sent = [
        ("early/a", "1", "us", -1),
        ("ours/a", "-1", "us", 1),
        ("second", "2", "us", 2),
        ("copy", "1", "them", 3),
        ("later/copy", "3", "them", 7),
        ("third", "-2", "others", 3),
    ]
    for name, shift, team, hours in sent:
        source = shifted(tmp_path / name, shift)
        receive(kit, [source], team=team, at=noon + timedelta(hours=hours), workspace=workspace)
    hepchallenge.score(kit, received=True, workspace=workspace, isolation="none")
    found = blend(kit, workspace=workspace, rules=BoardRules(phases=(day,)))
    assert [member.submission.name for member in found.members] == ["a", "copy", "third"]
    assert {one.name: one.reason.split(":")[0] for one in found.left_out} == {
        "a": "early",
        "second": "over quota in phase 'day'",
        "copy": "late",
    }
    assert (
        found.members[0].submission.digest != found.left_out[0].digest == found.members[1].submission.digest
    )
    rules = tmp_path / "rules.toml"
    rules.write_text(f'[[phase]]\nname = "day"\nstart = {noon.isoformat()}\n')
    words = ["blend", kit, "--workspace", workspace, "--json"]
    assert "early" in str(json.loads(_run(*words, "--rules", rules).stdout)["left_out"])
    assert "early" not in str(json.loads(_run(*words).stdout)["left_out"])
    # Of two that are meant by one name, that which may be ranked.
    found = blend(kit, ["third", "copy"], workspace=workspace, rules=BoardRules(phases=(day,)))
    assert [member.submission.team for member in found.members] == ["others", "them"]
    with pytest.raises(UsageError, match="second cannot be blended: over quota"):
        blend(kit, ["a", "second"], workspace=workspace, rules=BoardRules(phases=(day,)))


def test_a_prediction_file_is_left_out_and_a_blend_must_pass_the_gates(tmp_path: Path) -> None:
    # Every member is whole on the gate's sample, half of their sum is not.
    check = GATED.replace("prediction.ravel() - truth)", "prediction.ravel() - np.round(prediction.ravel()))")
    assert check != GATED
    kit = write_gated_kit(tmp_path / "kit", check)
    on_gate = "np.where(X['a'].to_numpy() >= 2000, {}, {})"
    sources = [
        write_regressor(tmp_path / "up", on_gate.format(0, 1)),
        write_regressor(tmp_path / "down", on_gate.format(1, -1)),
        tmp_path / "file",
    ]
    rows = [*range(1000, 1031), *range(2000, 2043)]
    sources[2].mkdir()
    (sources[2] / "submission.csv").write_text("\n".join(["id,y", *(f"{row},{2.0 * row}" for row in rows)]))
    workspace = tmp_path / "w"
    document = hepchallenge.score(kit, sources, workspace=workspace)
    assert {entry.scoring.verdict for entry in document.submissions} == {Verdict.SCORED}
    found = blend(kit, workspace=workspace)
    assert [(one.name, one.reason) for one in found.left_out] == [
        ("file", "a prediction file has no validation rows")
    ]
    assert found.picks == ((0, 1), (0, 1))
    assert found.blended.verdict is Verdict.GATE_FAILED
    assert found.blended.gates["mass"]["folds"] == [0.5, 0.5]
    assert found.best_scoring.verdict is found.foldwise_best.verdict is Verdict.SCORED
    result = _run("blend", kit, "--workspace", workspace)
    assert result.return_value == 1
    assert "the blend fails the gate mass: 0.5, must be below 0.5" in result.stdout


def test_trainings_of_a_fold_are_combined_first(kit: Path, tmp_path: Path) -> None:
    sources = [
        shifted(tmp_path / name, f"np.random.normal({shift})") for name, shift in (("a", 2), ("b", -2))
    ]
    workspace = tmp_path / "w"
    document = hepchallenge.score(kit, sources, workspace=workspace, trainings=2)
    found = blend(kit, workspace=workspace)
    best = next(e for e in document.submissions if e.submission.name == found.best.submission.name)
    # A bag of all trainings is the bag of their means.
    for part in ("bagged_valid", "bagged_test"):
        expected = best.scoring.scores["distance"][part]
        assert found.best_scoring.scores["distance"][part] == pytest.approx(expected, rel=1e-12)
    assert len(found.blended.fold_scores) == 3
    assert "combined first" in found.notes[0]


def test_events_are_refused(tmp_path: Path) -> None:
    kit = write_event_kit(tmp_path / "kit")
    with pytest.raises(UsageError, match="two ways to group the hits of an event have no mean"):
        blend(kit, workspace=tmp_path / "w")


def test_only_the_private_part_shows_private_scores(kit: Path, tmp_path: Path) -> None:
    sources = [shifted(tmp_path / "=up\u202e[red]", "3"), shifted(tmp_path / "down", "-2")]
    (sources[0] / "submission.toml").write_text('team = "@team|x"\n')
    workspace = tmp_path / "w"
    hepchallenge.score(kit, sources, workspace=workspace)
    shown = {}
    for part in ("cv", "public", "private"):
        result = _run(
            "blend", kit, "--workspace", workspace, "--part", part, "--json", "--export", tmp_path / part
        )
        assert result.return_value == 0, result.output
        document = json.loads(result.stdout)
        assert document == json.loads((tmp_path / part / "kit-blend.json").read_text())
        for key in ("blended", "foldwise_best", "best_single"):
            assert set(document[key]["scores"]["distance"]) >= {"valid", "bagged_valid"}
        shown[part] = set(document["blended"]["scores"]["distance"])
        assert not [path for path in (tmp_path / part).iterdir() if path.suffix not in (".csv", ".json")]
    assert shown["cv"] == {"train", "valid", "bagged_valid"}
    assert shown["public"] == shown["cv"] | {"public", "bagged_public"}
    assert shown["private"] == shown["public"] | {"test", "private", "bagged_test", "bagged_private"}
    private = json.loads((tmp_path / "private" / "kit-blend.json").read_text())
    secrets = {
        repr(private[key]["scores"]["distance"][part])
        for key in ("blended", "best_single")
        for part in ("private", "test", "bagged_private", "bagged_test")
    }
    for file in [*(tmp_path / "public").iterdir(), *(tmp_path / "cv").iterdir()]:
        assert not [secret for secret in secrets if secret in file.read_text()]

    lines = (tmp_path / "public" / "kit-blend.csv").read_text().splitlines()
    assert lines[0].startswith(
        "submission,team,digest,data,distance valid,contributivity,fold 0,fold 1,fold 2"
    )
    assert lines[1].startswith("'=up\ufffd[red],'@team|x,")
    printed = _run("blend", kit, "--workspace", workspace).stdout
    assert "=up\ufffd[red]" in printed
    assert "\u202e" not in printed
    assert "private" not in printed


def test_what_the_ladder_hides_is_in_no_blend_but_the_private_one(kit: Path, tmp_path: Path) -> None:
    workspace, rules = tmp_path / "w", tmp_path / "rules.toml"
    sources = [shifted(tmp_path / "up", "3"), shifted(tmp_path / "down", "-2")]
    hepchallenge.score(kit, sources, workspace=workspace)
    rules.write_text("[board]\nladder = true\n")

    def told(*words: object) -> set[str]:
        document = json.loads(_run("blend", kit, "--workspace", workspace, "--json", *words).stdout)
        parts = {
            part
            for key in ("blended", "foldwise_best", "best_single")
            for part in document[key]["scores"]["distance"]
        }
        assert any("Ladder hides" in note for note in document["notes"]) == ("private" not in parts)
        return parts

    validation = {"train", "valid", "bagged_valid"}
    assert told("--rules", rules) == told("--rules", rules, "--part", "public") == validation
    assert told("--rules", rules, "--part", "private") > {*validation, "public", "private", "test"}
    (kit / "challenge.toml").write_text(rules.read_text())
    assert told() == validation

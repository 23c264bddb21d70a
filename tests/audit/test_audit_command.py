"""`hepchallenge audit` as an organiser calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from audit_kit import write_audit_kit
from click.testing import CliRunner, Result
from gated_kit import write_gated_kit, write_regressor

from hepchallenge import contract
from hepchallenge.audit import audit, auditor
from hepchallenge.cli import cli
from hepchallenge.data import toy
from hepchallenge.findings import Status

CLASSIFIER = """
import numpy as np

class Classifier:
    def fit(self, X, y):
        pass

    def predict_proba(self, X):
        p = {draw}
        return np.column_stack([1 - p, p])
"""


def run(*words: str | Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(cli, ["audit", *map(str, words)], standalone_mode=False)


def test_a_challenge_without_a_flaw_ends_with_0_and_one_line_a_check(tmp_path: Path) -> None:
    done = run(write_audit_kit(tmp_path / "kit"), "--workspace", tmp_path / "none")
    assert done.return_value == 0, done.output
    lines = done.stdout.splitlines()
    assert "0 to judge, 0 failed" in lines[-1]
    assert all(line.startswith("ok    ") for line in lines[:-2])
    assert not (tmp_path / "none").exists()


def test_a_leak_ends_with_1_and_says_what_would_mend_it(tmp_path: Path) -> None:
    kit = write_audit_kit(tmp_path / "kit", "X['d'] = 3 - 2.5 * y")
    done = run(kit, "--workspace", tmp_path / "none")
    assert done.return_value == 1
    lines = done.stdout.splitlines()
    (place,) = [number for number, line in enumerate(lines) if line.startswith("fail  leak hidden columns")]
    assert "d is label" in lines[place]
    assert lines[place + 1].strip().startswith("mend: drop the feature")
    done = run(kit, "--workspace", tmp_path / "none", "--json")
    answer = json.loads(done.stdout)
    assert done.return_value == 1
    assert answer["passed"] is False
    assert answer["data"] == "kit"
    assert set(answer["checks"][0]) == {"check", "status", "fact", "mend"}
    assert {check["check"] for check in answer["checks"] if check["status"] == "fail"} == {
        "leak hidden columns"
    }


def test_what_is_recorded_is_exported_and_looked_into(tmp_path: Path) -> None:
    kit = write_gated_kit(tmp_path / "kit")
    submission = write_regressor(kit / "submissions" / "honest")
    workspace = tmp_path / "workspace"
    words = ["score", str(kit), str(submission), "--workspace", str(workspace), "--jobs", "1"]
    CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)
    done = run(kit, "--workspace", workspace, "--json")
    checks = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["export scores"]["status"] == "ok"
    assert checks["export host"]["status"] == "ok"
    assert "distance test" in checks["export columns"]["fact"]


def test_the_export_that_is_looked_into_follows_the_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = write_gated_kit(tmp_path / "kit")
    workspace, rules = tmp_path / "workspace", tmp_path / "rules.toml"
    rules.write_text("[board]\nladder = true\nladder_step = 0.5\n")
    words = ["score", str(kit), str(write_regressor(kit / "submissions" / "near", "0.123456"))]
    words += ["--workspace", str(workspace), "--jobs", "1"]
    CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)

    def fact(*more: str | Path) -> str:
        checks = json.loads(run(kit, "--workspace", workspace, "--json", *more).stdout)["checks"]
        (scores,) = [check for check in checks if check["check"] == "export scores"]
        assert scores["status"] == "ok"
        return str(scores["fact"])

    assert fact() == "nothing is hidden: there is no private score"
    assert "hidden numbers" in fact("--rules", rules)
    monkeypatch.setenv("HEPCHALLENGE_RULES", str(rules))
    assert "hidden numbers" in fact()


@pytest.mark.parametrize(
    ("draw", "status", "words"),
    [
        ("np.random.random(len(X))", Status.OK, "another seed changes 2 of 2 arrays"),
        ("np.random.default_rng().random(len(X))", Status.WARN, "with the same seed"),
    ],
    ids=["seeded", "not seeded"],
)
def test_a_starting_kit_that_does_not_repeat_itself_is_found(
    tmp_path: Path, draw: str, status: Status, words: str
) -> None:
    one_fold = "def get_cv(X, y):\n    return [(np.arange(1000), np.arange(1000, 2000))]"
    kit = write_audit_kit(tmp_path / "kit", extra=one_fold)
    folder = kit / "submissions" / "first"
    folder.mkdir(parents=True)
    (folder / "classifier.py").write_text(CLASSIFIER.format(draw=draw))
    found = audit(contract.load_challenge(kit), with_kits=True).findings
    kits = {finding.check: finding for finding in found if finding.check.startswith("kit")}
    assert kits["kit repeats"].status is status, kits
    assert words in " ".join(finding.fact for finding in kits.values())


def test_a_starting_kit_that_fails_is_found(tmp_path: Path) -> None:
    kit = write_audit_kit(tmp_path / "kit")
    folder = kit / "submissions" / "first"
    folder.mkdir(parents=True)
    (folder / "classifier.py").write_text("raise RuntimeError('not today')")
    found = {f.check: f for f in audit(contract.load_challenge(kit), with_kits=True).findings}
    assert found["kit repeats"].status is Status.FAIL
    assert "runtime_error" in found["kit repeats"].fact


def test_a_check_that_breaks_is_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of a kind")

    monkeypatch.setattr(auditor.features, "check_constants", broken)
    found = {f.check: f for f in audit(contract.load_challenge(write_audit_kit(tmp_path / "kit"))).findings}
    assert found["data constants"].status is Status.WARN
    assert "ZeroDivisionError: of a kind" in found["data constants"].fact
    assert found["metrics repeats"].status is Status.OK


SIZES = {
    "anomaly": {"events": 3000},
    "higgsml": {"events": 6000},
    "tau3mu": {"events": 6000},
    "toptag": {"events": 1500},
    "tracking2d": {"events": 40},
    "trackml": {"events": 12, "hits": 500},
    "trackml_throughput": {"events": 12, "hits": 500},
}


@pytest.mark.parametrize("name", SIZES)
def test_no_built_in_challenge_fails(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if name == "toptag":
        pytest.importorskip("fastjet", reason="jets of the toy need fastjet")
    monkeypatch.setenv("HEPCHALLENGE_CACHE", str(tmp_path))
    challenge = contract.load_challenge(name)
    found = audit(challenge, data=toy(challenge, seed=3, **SIZES[name]))
    assert [finding for finding in found.findings if finding.status is Status.FAIL] == []
    judged = {finding.check for finding in found.findings if finding.status is Status.WARN}
    # Jets that are not there, and a likelihood that takes probabilities whose sum is not one.
    assert judged <= {"higgsml": {"leak missing values"}, "anomaly": {"metrics range"}}.get(name, set())
    assert found.data == "toy"

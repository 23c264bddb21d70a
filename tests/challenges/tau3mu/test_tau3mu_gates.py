"""The published pattern: who passes the gates, who fails which, and how good each kit is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tau3mu_kits import Train, judge

import hepchallenge
from hepchallenge.challenges.tau3mu import problem
from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.records import Verdict

PASSED = {"agreement": True, "flatness": True}

# What most of the best did in 2015: the mass from momenta, and from lifetime and flight distance.
MASS = """
import numpy as np

MUON, TAU = 105.658, 1776.9

class Classifier:
    def fit(self, X, y, training):
        return self

    def predict_proba(self, X):
        along = sum(X[f"p{t}_pt"] * np.sinh(X[f"p{t}_eta"]) for t in range(3))
        energy = sum(np.hypot(X[f"p{t}_p"], MUON) for t in range(3))
        momenta = np.sqrt(np.maximum(energy**2 - along**2 - X["pt"] ** 2, 0))
        lifetime = np.hypot(along, X["pt"]) * 299.792458 * X["LifeTime"] / X["FlightDistance"]
        away = np.minimum(abs(momenta - TAU), abs(lifetime - TAU))
        signal = 1 / (1 + away.to_numpy() / 10)
        return np.column_stack([1 - signal, signal])
"""


@pytest.fixture(scope="module")
def cheat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mass") / "rebuilt_mass"
    folder.mkdir()
    (folder / "classifier.py").write_text(MASS)
    return folder


def test_three_simple_features_pass_with_a_modest_score(train: Train, toy_folder: Path) -> None:
    found = judge(train("geometry_boosting"), toy_folder)
    assert found.passed == PASSED
    assert found.auc == pytest.approx(0.834, abs=0.02)
    assert found.agreement == pytest.approx(0.068, abs=0.02)
    assert found.flatness == pytest.approx(0.00098, abs=0.0004)


def test_all_features_score_high_and_fail_agreement_and_noise_hides_it(
    train: Train, toy_folder: Path
) -> None:
    found = judge(train("all_features_boosting"), toy_folder)
    assert found.passed == {"agreement": False, "flatness": True}
    assert found.auc == pytest.approx(0.983, abs=0.01)
    assert found.agreement > 0.12
    hidden = judge(train("noise_mixing"), toy_folder)
    assert hidden.passed == PASSED
    assert hidden.auc == pytest.approx(0.881, abs=0.02)
    assert hidden.agreement < 0.06


def test_kits_of_hep_ml_pass_and_reweighting_beats_the_baseline(train: Train, toy_folder: Path) -> None:
    pytest.importorskip("hep_ml", reason="the hep_ml package is not installed")
    uniform = judge(train("uniform_boosting"), toy_folder)
    assert uniform.passed == PASSED
    assert uniform.auc == pytest.approx(0.835, abs=0.02)
    reweighted = judge(train("reweighted"), toy_folder)
    assert reweighted.passed == PASSED
    assert reweighted.auc > uniform.auc + 0.1


def test_a_rebuilt_mass_is_nearly_perfect_and_fails_flatness(
    train: Train, toy_folder: Path, cheat: Path
) -> None:
    found = judge(train(cheat), toy_folder)
    assert not found.passed["flatness"]
    assert found.flatness > 0.02
    assert found.auc > 0.97


def test_the_framework_refuses_a_score_to_a_rebuilt_mass(
    cheat: Path, small_folder: Path, tmp_path: Path
) -> None:
    (entry,) = hepchallenge.score("tau3mu", [cheat], data=small_folder, workspace=tmp_path / "w").submissions
    assert entry.scoring.verdict is Verdict.GATE_FAILED, entry.scoring.message
    assert not entry.scoring.gates["flatness"]["passed"]
    assert entry.scoring.scores == {}


def test_gates_pass_strictly_below_their_thresholds_and_check_every_prediction(small_folder: Path) -> None:
    agreement, flatness = problem.gates
    X, truth = agreement.get_data(small_folder)
    same = agreement.check(np.full(len(X), 0.5), truth)
    assert (same.name, same.statistic, same.threshold, same.passed) == ("agreement", 0.0, 0.09, True)
    assert agreement.check(truth[:, 0], truth).statistic == pytest.approx(1.0)
    X, mass = flatness.get_data(small_folder)
    assert mass.shape == (len(X),)
    result = flatness.check((mass - mass.min()) / np.ptp(mass), mass)
    assert (result.name, result.threshold, result.passed) == ("flatness", 0.002, False)
    for gate in problem.gates:
        X, truth = gate.get_data(small_folder)
        with pytest.raises(InvalidSubmission):
            gate.check(np.full(len(X), 1.5), truth)
        with pytest.raises(InvalidSubmission):
            gate.check(np.full(len(X) - 1, 0.5), truth)

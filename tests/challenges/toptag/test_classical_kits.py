"""The kits without networks: their observables against plain formulas, and what they make of toy jets."""

from __future__ import annotations

import sys
import tomllib
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hepchallenge.challenges.toptag.jets import Jets
from hepchallenge.challenges.toptag.toy import toy_table
from hepchallenge.scoring.roc import roc_auc

KITS = Path(__file__).resolve().parents[3] / "starting_kits" / "toptag"
NEEDS_FASTJET = {"jet_observables"}


def load(monkeypatch: pytest.MonkeyPatch, kit: str, module: str = "classifier") -> ModuleType:
    """Import a module of a kit by the name under which the kit imports it."""
    if kit in NEEDS_FASTJET:
        pytest.importorskip("fastjet", reason="no fastjet: the kit clusters jets")
    monkeypatch.syspath_prepend(str(KITS / kit))
    for name in ("classifier", "observables", "polynomials"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return __import__(module)


def made_up(n: int, counts: tuple[int, int], seed: int = 0) -> Jets:
    rng = np.random.default_rng(seed)
    jets = []
    for _ in range(n):
        k = int(rng.integers(*counts, endpoint=True))
        pt, y, phi = rng.uniform(1, 99, k), rng.uniform(-0.4, 0.4, k), rng.uniform(2.9, 3.5, k)
        jets.append(np.column_stack([pt * np.cosh(y), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(y)]))
    return Jets.of(jets)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    (y, phi), (y2, phi2) = ((np.arctanh(p[3] / p[0]), np.arctan2(p[2], p[1])) for p in (a, b))
    return float(np.hypot(y - y2, np.angle(np.exp(1j * (phi - phi2)))))


def test_there_are_as_many_connected_graphs_and_products_as_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = load(monkeypatch, "energy_flow", "polynomials")
    graphs = module.connected_graphs(5)
    assert np.bincount([len(graph) for graph in graphs]).tolist() == [0, 1, 2, 5, 12, 33]
    chosen = module.products(graphs, 5)
    degrees = [sum(len(graphs[i]) for i in choice) for choice in chosen]
    assert np.bincount(degrees).tolist() == [0, 1, 3, 8, 23, 66]


def test_polynomials_are_sums_over_all_choices_of_constituents(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(monkeypatch, "energy_flow", "polynomials")
    jets = made_up(3, (2, 4))
    graphs = module.connected_graphs(5)
    found = module.polynomials(jets, graphs, 0.7)
    for row, jet in enumerate(jets):
        p = jet.astype(float)
        z = np.hypot(p[:, 1], p[:, 2])
        z /= z.sum()
        theta = np.array([[distance(a, b) ** 0.7 for b in p] for a in p])
        for column, graph in enumerate(graphs):
            n = 1 + max(map(max, graph))
            expected = sum(
                np.prod(z[list(choice)]) * np.prod([theta[choice[a], choice[b]] for a, b in graph])
                for choice in product(range(len(p)), repeat=n)
            )
            assert found[row, column] == pytest.approx(expected, rel=1e-4, abs=1e-9), graph


def test_as_many_axes_as_constituents_leave_no_subjettiness(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(monkeypatch, "jet_observables", "observables")
    table = dict(zip(module.NAMES, module.observables(made_up(20, (4, 4))).T, strict=True))
    assert np.abs(table["tau4_1.0"]).max() < 1e-6
    assert (table["tau1_1.0"] > table["tau2_1.0"]).all()
    assert (table["tau2_1.0"] > table["tau3_1.0"]).all()
    np.testing.assert_allclose(table["tau32"], table["tau3_1.0"] / table["tau2_1.0"])


def test_one_axis_lies_along_a_constituent_and_subjettiness_sums_distances_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = load(monkeypatch, "jet_observables", "observables")
    jets = made_up(10, (5, 9))
    table = dict(zip(module.NAMES, module.observables(jets).T, strict=True))
    for row, jet in enumerate(jets):
        p = jet.astype(float)
        pt = np.hypot(p[:, 1], p[:, 2])
        possible = [sum(t * distance(a, b) for t, a in zip(pt, p, strict=True)) / pt.sum() / 0.8 for b in p]
        assert np.abs(np.array(possible) - table["tau1_1.0"][row]).min() < 1e-5


def test_jets_with_fewer_constituents_than_axes_have_missing_values(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(monkeypatch, "jet_observables", "observables")
    table = module.observables(made_up(5, (1, 3)))
    assert np.isfinite(table[:, :3]).all()
    assert np.isnan(table[:, 3:]).all()
    assert module.observables(made_up(0, (1, 1))).shape == (0, len(module.NAMES))


@pytest.mark.parametrize("kit", ["jet_observables", "energy_flow"])
def test_kits_tell_toy_tops_from_others_and_repeat_themselves(
    kit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fastjet", reason="no fastjet: toy jets cannot be clustered")
    table = toy_table(600, 3)
    jets = Jets(table.constituents, np.concatenate([[0], np.cumsum(table.counts)]), np.zeros(600, bool))
    label = table.is_signal.astype(int)
    module = load(monkeypatch, kit)
    outputs = []
    for _ in range(2):
        np.random.seed(5)  # noqa: NPY002 - as the framework seeds
        outputs.append(module.Classifier().fit(jets[:400], label[:400]).predict_proba(jets[400:])[:, 1])
    assert np.array_equal(*outputs)
    assert roc_auc(outputs[0], label[400:]) > 0.88


def test_kits_state_how_many_parameters_they_train(monkeypatch: pytest.MonkeyPatch) -> None:
    stated = {
        kit: tomllib.loads((KITS / kit / "submission.toml").read_text())["parameters"]
        for kit in ("jet_observables", "energy_flow")
    }
    rng = np.random.default_rng(0)
    jets, label = made_up(400, (6, 12)), rng.integers(0, 2, 400)
    linear = load(monkeypatch, "energy_flow").Classifier().fit(jets, label).model[-1]
    assert linear.coef_.size + linear.intercept_.size == stated["energy_flow"]
    # Trees reach their full size where there are enough jets.
    module = load(monkeypatch, "jet_observables")
    monkeypatch.setattr(module, "observables", lambda X: X)
    trees = module.Classifier().fit(rng.normal(size=(3000, 10)), rng.integers(0, 2, 3000)).model
    # Every node has one number: a threshold, or the value of a leaf.
    nodes = sum(len(tree.nodes) for round_ in trees._predictors for tree in round_)
    assert nodes == stated["jet_observables"]

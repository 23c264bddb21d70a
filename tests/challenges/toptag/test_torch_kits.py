"""The starting kits in PyTorch: what their networks do not see, seeds, early stopping, and no PyTorch."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hepchallenge.challenges.toptag.jets import Jets

KITS = Path(__file__).resolve().parents[3] / "starting_kits" / "toptag"
NAMES = ("particle_flow_network", "particlenet_lite", "jet_image_cnn")
OWN_MODULES = ("classifier", "constituents", "training")
NETWORKS = {
    "particle_flow_network": "ParticleFlowNetwork",
    "particlenet_lite": "ParticleNetLite",
    "jet_image_cnn": "JetImageNetwork",
}


def imported(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    torch = pytest.importorskip("torch", reason="needs the extra `torch`")
    # On a busy machine, threads that wait for each other take many times as long as one.
    torch.set_num_threads(1)
    monkeypatch.syspath_prepend(KITS / name)
    for module in OWN_MODULES:
        monkeypatch.delitem(sys.modules, module, raising=False)
    return importlib.import_module("classifier")


@pytest.fixture(autouse=True)
def no_kit_stays_imported() -> Iterator[None]:
    """Forget the modules of kits: those of other kits have the same names."""
    yield
    for module in OWN_MODULES:
        sys.modules.pop(module, None)


@pytest.fixture(params=NAMES)
def kit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module `classifier` of every kit, one after the other."""
    return imported(monkeypatch, request.param)


def momenta(pt: Any, eta: Any, phi: Any) -> NDArray[np.float64]:
    """Return massless constituents, shape (k, 4), by falling pT."""
    pt, eta, phi = (np.asarray(values, dtype=float) for values in (pt, eta, phi))
    order = np.argsort(-pt)
    columns = [pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]
    return np.stack(columns, axis=1)[order]


def make_jets(n: int, seed: int = 0) -> tuple[Jets, NDArray[np.int64]]:
    """Return jets with three prongs, which are signal, and with one."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    jets = []
    for label in y:
        count = rng.integers(12, 25)
        centre = rng.normal(0, 0.3, (3, 2)) * label
        eta, phi = (centre[rng.integers(0, 3, count)] + rng.normal(0, 0.05, (count, 2))).T
        jets.append(momenta(600 * rng.dirichlet(np.ones(count)), eta + rng.normal(), phi + rng.uniform(0, 6)))
    return Jets.of(jets), y


def fitted(kit: ModuleType, X: Jets, y: NDArray[np.int64], seed: int = 0) -> Any:
    kit.torch.manual_seed(seed)
    return kit.Classifier().fit(X, y)


def network(kit: ModuleType) -> Any:
    """Return an untrained network of a kit, as it is applied."""
    name = next(name for name in NETWORKS.values() if hasattr(kit, name))
    kit.torch.manual_seed(0)
    return getattr(kit, name)().eval()


def outputs(kit: ModuleType, net: Any, X: Jets) -> NDArray[np.float64]:
    make = kit.images if hasattr(kit, "images") else kit.features
    result: NDArray[np.float64] = kit.top_probability(net, lambda jets: make(jets, 200), X)
    return result


def test_each_kit_learns_what_is_easy(kit: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    # Small batches, since there are few jets.
    monkeypatch.setattr(kit, "QUICK", kit.QUICK._replace(batch=10, epochs=8))
    unseen, label = make_jets(200, seed=1)
    probability = fitted(kit, *make_jets(200)).predict_proba(unseen)
    assert probability.shape == (200,)
    assert np.mean((probability > 0.5) == label) > 0.9


def test_equal_seeds_train_equal_networks_and_others_do_not(
    kit: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit, "QUICK", kit.QUICK._replace(batch=20, epochs=1))
    X, y = make_jets(60)
    first, again, other = (fitted(kit, X, y, seed).predict_proba(X) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_number_of_parameters_on_the_board_is_that_of_the_network(kit: ModuleType) -> None:
    trained = sum(p.numel() for p in network(kit).parameters() if p.requires_grad)
    facts = tomllib.loads((Path(str(kit.__file__)).parent / "submission.toml").read_text())
    assert facts["parameters"] == trained


def test_a_jet_is_judged_alike_whatever_jets_are_beside_it(kit: ModuleType) -> None:
    # Those beside it decide how far it is filled up.
    X, _ = make_jets(20)
    X = Jets.of([*X, *(jet[: 1 + row] for row, jet in enumerate(X))])
    net = network(kit)
    alone = np.concatenate([outputs(kit, net, X[[row]]) for row in range(40)])
    assert outputs(kit, net, X) == pytest.approx(alone, abs=1e-2 * np.ptp(alone[:20]))


def test_a_jet_is_judged_alike_wherever_it_flies(kit: ModuleType) -> None:
    rng = np.random.default_rng(3)
    pt, eta, phi = rng.uniform(5, 50, 20), rng.normal(0, 0.1, 20), rng.normal(0, 0.1, 20)
    turned = [momenta(pt, eta, phi + angle) for angle in (0, 1, np.pi, 4)]
    first, *others = outputs(kit, network(kit), Jets.of(turned))
    assert others == pytest.approx([first] * 3, abs=1e-5)


def test_jets_of_one_constituent_and_of_none_get_a_finite_output(kit: ModuleType) -> None:
    X = Jets.of([momenta([600], [0.1], [3]), momenta([], [], []), momenta([300, 299], [0, 0.3], [1, 1])])
    assert np.isfinite(outputs(kit, network(kit), X)).all()
    assert np.isfinite(outputs(kit, network(kit), X[[1]])).all()
    assert outputs(kit, network(kit), X[:0]).shape == (0,)


def test_the_order_of_constituents_does_not_matter(kit: ModuleType) -> None:
    X, _ = make_jets(10)
    net = network(kit)
    backwards = Jets.of([jet[::-1] for jet in X])
    assert outputs(kit, net, backwards) == pytest.approx(outputs(kit, net, X), abs=1e-5)


def test_large_samples_get_the_full_schedule_and_toys_the_quick_one(
    kit: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    monkeypatch.setattr(kit, "train", lambda network, inputs, X, y, schedule: used.append(schedule))
    monkeypatch.setattr(kit, "LARGE", 11)
    for n in (10, 11):
        kit.Classifier().fit(*make_jets(n))
    assert used == [kit.QUICK, kit.FULL]
    assert kit.FULL.epochs > kit.QUICK.epochs
    assert kit.FULL.constituents > kit.QUICK.constituents


def test_training_stops_early_and_keeps_the_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    kit = imported(monkeypatch, "particle_flow_network")
    training = sys.modules["training"]
    # Labels without any relation to the jets: the longer it is trained, the worse on jets kept back.
    X, _ = make_jets(150)
    y = np.random.default_rng(0).integers(0, 2, 150)
    seen: list[tuple[int, Any]] = []

    def spied(net: Any, inputs: Any, jets: Jets) -> Any:
        found = logits(net, inputs, jets)
        seen.append((len(jets), found))
        return found

    logits = training.logits
    monkeypatch.setattr(training, "logits", spied)
    kept_back: list[Any] = []
    net = network(kit)
    order = training.torch.randperm
    monkeypatch.setattr(training.torch, "randperm", lambda n: kept_back.append(order(n)) or kept_back[-1])
    schedule = kit.QUICK._replace(epochs=60, patience=4, batch=20, rate=1e-2)
    kit.train(net, lambda jets: kit.features(jets, 60), X, y, schedule)
    rows = kept_back[0][:15].numpy()
    assert {n for n, _ in seen} == {15}
    label = training.torch.as_tensor(y[rows]).float()
    losses = [float(training.torch.nn.functional.binary_cross_entropy_with_logits(f, label)) for _, f in seen]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 4
    assert len(losses) < 60
    assert training.torch.equal(logits(net, lambda jets: kit.features(jets, 60), X[rows]), seen[best][1])


def test_neighbours_are_the_nearest_in_the_same_jet(monkeypatch: pytest.MonkeyPatch) -> None:
    kit = imported(monkeypatch, "particlenet_lite")
    X, _ = make_jets(6)
    X = Jets.of([*X, X[0][:3]])
    features, real = kit.features(X, 15)
    place = features[..., :2]
    found = kit.nearest(kit.torch.as_tensor(place), kit.torch.as_tensor(real)).numpy()
    flat, jet = place[real], np.nonzero(real)[0]
    assert found.shape == (len(flat), kit.NEAREST)
    for i in range(len(flat)):
        others = np.flatnonzero((jet == jet[i]) & (np.arange(len(flat)) != i))
        distance = ((flat[others] - flat[i]) ** 2).sum(axis=1)
        expected = others[np.argsort(distance)][: kit.NEAREST].tolist()
        # Where there are too few of them, the constituent itself.
        assert found[i].tolist() == expected + [i] * (kit.NEAREST - len(expected))


def test_the_hardest_of_a_jet_are_found_for_all_its_constituents(monkeypatch: pytest.MonkeyPatch) -> None:
    kit = imported(monkeypatch, "particlenet_lite")
    X, _ = make_jets(5)
    X = Jets.of([*(jet[::-1] for jet in X), X[0][:3]])
    features, real = kit.features(X, 25)
    found = kit.hardest(kit.torch.as_tensor(features[..., 2]), kit.torch.as_tensor(real)).numpy()
    first = X.offsets[:-1]
    for jet, (count, start) in enumerate(zip(X.counts, first, strict=True)):
        rows = found[start : start + count]
        if jet < 5:
            # By rising pT, the hardest are the last.
            assert (np.sort(rows, axis=1) == np.arange(start + count - kit.HARDEST, start + count)).all()
        else:
            assert (np.sort(rows[:, :3], axis=1) == np.arange(start, start + 3)).all()
            assert (rows[:, 3:] == np.arange(start, start + 3)[:, None]).all()


def test_pairs_have_the_mass_of_two_constituents(monkeypatch: pytest.MonkeyPatch) -> None:
    kit = imported(monkeypatch, "particlenet_lite")
    pt, eta, phi = np.array([40.0, 10.0]), np.array([0.0, 0.03]), np.array([0.0, 0.04])
    place = kit.torch.as_tensor(np.stack([eta, phi], axis=1))
    found = kit.pairs(place, kit.torch.as_tensor(np.log(pt)), kit.torch.tensor([[1], [0]])).numpy()[:, 0]
    square = momenta(pt, eta, phi).sum(axis=0) ** 2
    mass_squared = square[0] - square[1:].sum()
    assert np.exp(found) == pytest.approx(
        np.array([[0.05, 10 * 0.05, 0.2, mass_squared]] * 2), rel=1e-3, abs=1e-9
    )


def test_the_frame_of_a_jet_turns_and_mirrors_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kit = imported(monkeypatch, "particle_flow_network")
    rng = np.random.default_rng(5)
    pt, (x, y) = rng.uniform(5, 50, 30), rng.normal(0, [[0.03], [0.15]], (2, 30))
    jets = []
    for angle in (0.0, 0.4, 2.0, 3.5):
        eta, phi = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
        jets += [momenta(pt, eta, phi + 1), momenta(pt, -eta, phi)]
    places = np.array(kit.straighten(kit.constituents(Jets.of(jets), 30)))
    assert places == pytest.approx(np.broadcast_to(places[:, :1], places.shape), abs=1e-4)
    across, along = places[:, 0].std(axis=1)
    assert along > 2 * across


def test_an_image_holds_the_pt_of_a_jet_and_does_not_turn_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kit = imported(monkeypatch, "jet_image_cnn")
    rng = np.random.default_rng(5)
    pt, (x, y) = rng.uniform(5, 50, 30), rng.normal(0, [[0.03], [0.15]], (2, 30))
    jets = []
    for angle in (0.0, 0.4, 2.0, 3.5):
        eta, phi = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
        jets += [momenta(pt, eta, phi + 1), momenta(pt, -eta, phi)]
    (both,) = kit.images(Jets.of(jets), 200)
    assert both.shape == (8, 2, 37, 37)
    images, numbers = both.transpose(1, 0, 2, 3)
    assert 3 * numbers.sum(axis=(1, 2)) == pytest.approx(30)
    assert (images**2).sum(axis=(1, 2)) == pytest.approx(pt.sum() / Jets.of(jets).pt)
    rows, columns = np.nonzero(images[0])
    assert np.ptp(rows) > 2 * np.ptp(columns)
    # A pixel's edge may lie between the places of one constituent in two of them, but not of many.
    for image in images[1:]:
        assert np.abs(image**2 - images[0] ** 2).sum() < 0.2


def test_the_kits_train_in_the_same_way() -> None:
    for file in ("training.py", "constituents.py"):
        assert len({(KITS / name / file).read_bytes() for name in NAMES}) == 1, file


@pytest.mark.parametrize("name", NAMES)
def test_without_pytorch_the_kits_say_what_to_install(name: str) -> None:
    code = "import sys; sys.modules['torch'] = None; import classifier"
    run = subprocess.run([sys.executable, "-c", code], cwd=KITS / name, capture_output=True, text=True)
    assert run.returncode != 0
    last = run.stderr.strip().splitlines()[-1]
    assert last == 'ImportError: this starting kit needs PyTorch: pip install "hepchallenge[torch]"'

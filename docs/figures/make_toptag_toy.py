"""Draw toy jets of the top tagging challenge: the figure and the table of `docs/toptag_toy.md`.

    python docs/figures/make_toptag_toy.py [FILE]

FILE has labels and pT of the published test jets; by default it is
`../shared/data/toptag/published_scores_test404k.npz`, seen from the root of the repository; it is left out if
not there. The figure is written next to this file, the table is printed. Needs the extra `toptag`.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import awkward as ak
import fastjet
import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import mplhep
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from hepchallenge.challenges.toptag.jets import Jets
from hepchallenge.challenges.toptag.toy import toy_table
from hepchallenge.scoring.roc import roc_auc
from hepchallenge.scoring.toptag import accuracy, background_rejection

HERE = Path(__file__).resolve().parent
DEFAULT = HERE.parents[2] / "shared" / "data" / "toptag" / "published_scores_test404k.npz"
N_JETS, SEED = 100_000, 0
CLASSES = ((1, "top", "#0072B2"), (0, "quark or gluon", "#D55E00"))


def n_subjettiness(jets: Jets, most: int) -> np.ndarray:
    """Return tau_1 to tau_most (beta = 1) about exclusive kT axes; 0 for jets with fewer constituents."""
    enough = jets.counts >= most
    tau = np.zeros((len(jets), most))
    jets = jets[enough]
    p = jets.constituents.astype(float)
    objects = ak.unflatten(ak.zip(dict(zip(("E", "px", "py", "pz"), p.T, strict=True))), jets.counts)
    clustered = fastjet.ClusterSequence(objects, fastjet.JetDefinition(fastjet.kt_algorithm, 1.0))
    pt, eta, phi = directions(p)
    jet = np.repeat(np.arange(len(jets)), jets.counts)
    for n in range(1, most + 1):
        with warnings.catch_warnings():
            # It does not see that the algorithm is kT.
            warnings.filterwarnings("ignore", "dcut and exclusive jets", UserWarning)
            axes = clustered.exclusive_jets(n_jets=n)
        axes = np.stack(
            [ak.to_numpy(ak.flatten(axes[c])).reshape(-1, n) for c in ("E", "px", "py", "pz")], -1
        )
        _, axis_eta, axis_phi = directions(axes)
        turn = np.abs(phi[:, None] - axis_phi[jet])
        distance = np.hypot(eta[:, None] - axis_eta[jet], np.minimum(turn, 2 * np.pi - turn)).min(axis=1)
        scale = 0.8 * np.bincount(jet, pt, len(jets))
        tau[enough, n - 1] = np.bincount(jet, pt * distance, len(jets)) / scale
    return tau


def directions(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pT, eta and phi of momenta."""
    pt = np.hypot(p[..., 1], p[..., 2])
    return pt, np.arcsinh(p[..., 3] / pt), np.arctan2(p[..., 2], p[..., 1])


def taggers(features: dict[str, np.ndarray], label: np.ndarray) -> None:
    """Print how well boosted trees do on some of the observables."""
    train = np.arange(len(label)) < 0.8 * len(label)
    print("\n| boosted trees on | AUC | accuracy | rejection at 0.3 |\n|---|---|---|---|")
    for names in (
        ("mass",),
        ("mass", "constituents"),
        ("mass", "constituents", "tau21", "tau32"),
        tuple(features),
    ):
        X = np.column_stack([features[name] for name in names])
        model = HistGradientBoostingClassifier(max_iter=200, max_leaf_nodes=15, random_state=0)
        score = model.fit(X[train], label[train]).predict_proba(X[~train])[:, 1]
        true = label[~train]
        rejection = background_rejection(score, true, 0.3)
        print(
            f"| {', '.join(names)} | {roc_auc(score, true):.3f} | {accuracy(score, true):.3f} "
            f"| {rejection.value:.0f} +- {rejection.error:.0f} |"
        )


def main() -> None:
    """Simulate, print and draw."""
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    started, cpu = time.monotonic(), time.process_time()
    table = toy_table(N_JETS, SEED)
    wall, cpu = time.monotonic() - started, time.process_time() - cpu
    print(f"{N_JETS} toy jets in {wall:.0f} s, {cpu:.0f} s of CPU")
    offsets = np.concatenate([[0], np.cumsum(table.counts)])
    jets = Jets(table.constituents, offsets, np.zeros(N_JETS, dtype=bool))
    label = table.is_signal
    tau = n_subjettiness(jets, 4)
    floor = np.maximum(tau, 1e-9)
    features = {
        "mass": jets.mass,
        "constituents": jets.counts,
        "tau21": tau[:, 1] / floor[:, 0],
        "tau32": tau[:, 2] / floor[:, 1],
        "tau43": tau[:, 3] / floor[:, 2],
        "tau1": tau[:, 0],
        "tau2": tau[:, 1],
        "tau3": tau[:, 2],
    }
    published = np.load(file) if file.is_file() else None

    print("\n| | top | quark or gluon |\n|---|---|---|")

    def row(
        name: str, statistic: Callable[[np.ndarray], float], values: np.ndarray, how: str = ".1f"
    ) -> None:
        print(f"| {name} | " + " | ".join(f"{statistic(values[label == i]):{how}}" for i in (1, 0)) + " |")

    row("median mass [GeV]", np.median, jets.mass)
    row("share from 145 to 205 GeV", lambda mass: float(np.mean(np.abs(mass - 175) < 30)), jets.mass, ".3f")
    row("mean number of constituents", np.mean, jets.counts)
    row("5 % quantile of it", lambda counts: float(np.quantile(counts, 0.05)), jets.counts, ".0f")
    row("95 % quantile of it", lambda counts: float(np.quantile(counts, 0.95)), jets.counts, ".0f")
    row("mean pT [GeV]", np.mean, jets.pt)
    if published is not None:
        pt, is_signal = published["pt"], published["label"]
        means = [pt[(pt >= 550) & (is_signal == i)].mean(dtype=float) for i in (1, 0)]
        print(f"| mean pT of published jets above 550 GeV | {means[0]:.1f} | {means[1]:.1f} |")
    taggers(features, label)

    panels = (
        ("mass", jets.mass, np.linspace(0, 300, 61), "jet mass [GeV]"),
        ("constituents", jets.counts, np.arange(0, 145, 4), "constituents"),
        ("tau32", features["tau32"], np.linspace(0, 1, 51), r"$\tau_{32}$ (exclusive $k_T$ axes)"),
        ("pt", jets.pt, np.linspace(550, 650, 26), r"jet $p_T$ [GeV]"),
    )
    plt.style.use(mplhep.style.ROOT)
    plt.rcParams.update({"font.size": 15, "axes.labelsize": 16, "legend.fontsize": 13})
    figure, axes = plt.subplots(2, 2, figsize=(13, 10))
    for axis, (name, values, edges, text) in zip(axes.flat, panels, strict=True):
        for kind, word, colour in CLASSES:
            density, _ = np.histogram(values[label == kind], edges, density=True)
            axis.stairs(density, edges, color=colour, linewidth=2, label=f"toy, {word}")
            if name == "pt" and published is not None:
                pt = published["pt"][published["label"] == kind]
                density, _ = np.histogram(pt, edges, density=True)
                centres = (edges[1:] + edges[:-1]) / 2
                axis.plot(centres, density, "o", color=colour, markersize=4, label=f"published, {word}")
        axis.set_xlabel(text)
        axis.set_ylabel("jets per unit, normalised")
        axis.set_ylim(bottom=0)
        axis.set_xlim(edges[0], edges[-1])
        axis.legend(frameon=False)
    figure.suptitle(f"Toy jets: simulated, not data ({N_JETS:,} jets, seed {SEED})", fontsize=16)
    figure.tight_layout()
    figure.savefig(HERE / "toptag_toy.png", dpi=70)


if __name__ == "__main__":
    main()

"""Compare toy TrackML events with published ones: the figures and the table of `docs/trackml_toy.md`.

    python docs/figures/make_trackml_toy.py [FOLDER]

FOLDER holds published files: hits and particles of events 1001 and 1039 in `kaggle_train/`, particles of
event 1000, and a part of an event with truth and cells in `event000000001/`. By default it is
`../shared/data/trackml`, seen from the root of the repository. The figures are written next to this file, the
table is printed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import mplhep
import numpy as np
import pandas as pd

from hepchallenge.challenges.trackml.toy import simulate_event
from hepchallenge.challenges.trackml.toy.write import FIRST_EVENT

HERE = Path(__file__).resolve().parent
DEFAULT = HERE.parents[2] / "shared" / "data" / "trackml"
TOY_EVENTS, TOY_HITS, SEED = 4, 91_000, 0
VOLUMES = (7, 8, 9, 12, 13, 14, 16, 17, 18)
TOY, REAL = "#56B4E9", "black"


def read(folder: Path) -> dict[str, list[pd.DataFrame]]:
    """Return the published tables: hits of two events, particles of three; hits and truth of part of one."""
    train, part = folder / "kaggle_train", folder / "event000000001"
    if not train.is_dir():
        raise SystemExit(f"{folder}: expected published TrackML files, found no kaggle_train/")
    return {
        "hits": [pd.read_csv(train / f"event00000{event}-hits.csv.gz") for event in (1001, 1039)],
        "particles": [
            pd.read_csv(folder / "event000001000-particles.csv.gz"),
            *(pd.read_csv(train / f"event00000{event}-particles.csv.gz") for event in (1001, 1039)),
        ],
        "part": [pd.read_csv(part / f"event000000001-{name}.csv.gz") for name in ("hits", "truth", "cells")],
    }


def double_hits(hits: pd.DataFrame, truth: pd.DataFrame) -> float:
    """Return the mean number of hits of a particle in a layer where it has any."""
    known = hits.merge(truth, on="hit_id")
    known = known[known["particle_id"] != 0]
    return float(known.groupby(["particle_id", "volume_id", "layer_id"]).size().mean())


def summary(hits: list[pd.DataFrame], particles: list[pd.DataFrame]) -> dict[str, str]:
    """Return the rows of the table that need only hits and particles."""
    every, known = pd.concat(hits), pd.concat(particles)
    # There may be particles of more events than hits.
    n_particles = sum(len(p) for p in particles[-len(hits) :])
    secondary = (known["particle_id"].to_numpy() >> 24) & 0xFFF != 0
    rows = {
        "hits per event": f"{np.mean([len(h) for h in hits]):,.0f}".replace(",", " "),
        "particles per 1000 hits": f"{1000 * n_particles / len(every):.0f}",
        "secondaries among them": f"{secondary.mean():.1%}",
        "mean `nhits`": f"{known['nhits'].mean():.2f}",
        "`nhits` of primaries": f"{known['nhits'][~secondary].mean():.2f}",
        "`nhits` of secondaries": f"{known['nhits'][secondary].mean():.2f}",
        "particles with `nhits` = 0": f"{(known['nhits'] == 0).mean():.1%}",
        "particles with `nhits` >= 4": f"{(known['nhits'] >= 4).mean():.1%}",
        "largest `nhits`": f"{known['nhits'].max()}",
        "median pT of primaries [GeV]": f"{pt(known)[~secondary].median():.3f}",
    }
    for volume in VOLUMES:
        rows[f"hits in volume {volume}"] = f"{(every['volume_id'] == volume).mean():.1%}"
    return rows


def pt(particles: pd.DataFrame) -> pd.Series:
    """Return transverse momenta."""
    return np.hypot(particles["px"], particles["py"])


def draw_pair(axes: plt.Axes, toy: np.ndarray, real: np.ndarray, edges: np.ndarray) -> None:
    """Draw per cent of all: toy filled, published with the statistical error of the counts."""
    counts_real, _ = np.histogram(real, edges)
    counts_toy, _ = np.histogram(toy, edges)
    mplhep.histplot(
        100 * counts_toy / len(toy), edges, ax=axes, histtype="fill", color=TOY, alpha=0.75, label="toy"
    )
    mplhep.histplot(
        100 * counts_real / len(real),
        edges,
        yerr=100 * np.sqrt(counts_real) / len(real),
        ax=axes,
        histtype="errorbar",
        color=REAL,
        markersize=4,
        label="published",
    )


def draw_spectra(hits: list[pd.DataFrame], particles: list[pd.DataFrame], real: dict) -> None:
    """Write the figure of hits per layer, hits per particle, momenta and directions."""
    figure, grid = plt.subplots(2, 2, figsize=(11, 7.5), layout="constrained")
    every = [pd.concat(real["hits"]), pd.concat(hits)]
    codes = np.unique((every[0]["volume_id"] * 100 + every[0]["layer_id"]).to_numpy())
    places = [np.searchsorted(codes, (h["volume_id"] * 100 + h["layer_id"]).to_numpy()) for h in every]
    axes = grid[0, 0]
    draw_pair(axes, places[1], places[0], np.arange(-0.5, len(codes)))
    for volume in VOLUMES:
        inside = np.flatnonzero(codes // 100 == volume)
        axes.text(inside.mean(), 1.02, str(volume), ha="center", transform=axes.get_xaxis_transform())
        axes.axvline(inside.max() + 0.5, color="0.6", linewidth=0.6)
    axes.set_xticks([])
    axes.set_xlabel("layers, in the volumes named above")
    axes.set_ylabel("share of hits [%]")

    known = [pd.concat(real["particles"]), pd.concat(particles)]
    axes = grid[0, 1]
    edges = np.arange(-0.5, 22)
    draw_pair(axes, known[1]["nhits"].to_numpy(), known[0]["nhits"].to_numpy(), edges)
    axes.set_xlabel("hits of a particle")
    axes.set_ylabel("share of particles [%]")

    prompt = [k[(k["particle_id"].to_numpy() >> 24) & 0xFFF == 0] for k in known]
    axes = grid[1, 0]
    edges = np.geomspace(0.1, 60.0, 40)
    draw_pair(axes, pt(prompt[1]).to_numpy(), pt(prompt[0]).to_numpy(), edges)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(bottom=2e-3)
    axes.set_xlabel("transverse momentum of primaries [GeV]")
    axes.set_ylabel("share of particles [%]")

    axes = grid[1, 1]
    eta = [np.arcsinh(k["pz"] / pt(k)).to_numpy() for k in prompt]
    draw_pair(axes, eta[1], eta[0], np.linspace(-4, 4, 33))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("pseudorapidity of primaries")
    axes.set_ylabel("share of particles [%]")
    for number, axes in enumerate(grid.flat):
        axes.legend(loc="lower center" if number == 3 else "upper right", frameon=False)
    figure.suptitle("TrackML: toy (simulated) and published events")
    figure.savefig(HERE / "trackml_toy_spectra.png", dpi=90)


def draw_places(hits: pd.DataFrame, real: pd.DataFrame) -> None:
    """Write the figure of where hits lie in z and radius."""
    figure, grid = plt.subplots(2, 1, figsize=(11, 7.5), sharex=True, layout="constrained")
    edges = [np.linspace(-3000, 3000, 301), np.linspace(0, 1060, 107)]
    named = (("toy (simulated) event", hits), ("published event 1001", real))
    for axes, (title, table) in zip(grid, named, strict=True):
        counts, *_ = np.histogram2d(table["z"], np.hypot(table["x"], table["y"]), bins=edges)
        mesh = axes.pcolormesh(
            *edges,
            np.where(counts.T > 0, counts.T, np.nan),
            norm=mpl.colors.LogNorm(1, 300),
            cmap="viridis_r",
            rasterized=True,
        )
        axes.set_title(f"{title}: {len(table):,} hits".replace(",", " "), loc="left")
        axes.set_ylabel("r [mm]")
    grid[1].set_xlabel("z [mm]")
    figure.colorbar(mesh, ax=grid, label="hits per 20 mm x 10 mm")
    figure.savefig(HERE / "trackml_toy_places.png", dpi=90)


def main() -> None:
    """Write the figures and print the table."""
    real = read(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT)
    events = [simulate_event(FIRST_EVENT + i, SEED, n_hits=TOY_HITS) for i in range(TOY_EVENTS)]
    hits, particles = [e.hits for e in events], [e.particles for e in events]
    mplhep.style.use({"font.size": 11, "xtick.direction": "in", "ytick.direction": "in"})
    draw_spectra(hits, particles, real)
    draw_places(hits[0], real["hits"][0])

    ours, theirs = summary(hits, particles), summary(real["hits"], real["particles"])
    noise = np.mean([len(h) for h in real["hits"]]) - np.mean(
        [p["nhits"].sum() for p in real["particles"][1:]]
    )
    ours["noise hits per event"] = f"{np.mean([(e.truth['particle_id'] == 0).sum() for e in events]):.0f}"
    theirs["noise hits per event"] = f"{noise:.0f}"
    ours["hits of a particle in a layer"] = f"{double_hits(events[0].hits, events[0].truth):.2f}"
    theirs["hits of a particle in a layer"] = f"{double_hits(*real['part'][:2]):.2f}"
    ours["cells of a hit"] = f"{len(events[0].cells) / len(events[0].hits):.2f}"
    theirs["cells of a hit"] = f"{len(real['part'][2]) / len(real['part'][0]):.2f}"
    print("| | toy | published |\n|---|---|---|")
    for name, value in ours.items():
        print(f"| {name} | {value} | {theirs[name]} |")


if __name__ == "__main__":
    main()

"""How the starting kits of top tagging rank on toy jets, and what more training jets bring them.

Toy jets are simulated once into `--folder`. Every kit is trained on the first of the training jets, as many
as `--train` says, and applied to those for validation and test together, which it does not see when it is
trained. Outputs are kept in the folder, so that kits and numbers of jets can be added later; take the folder
away to start anew. A training has a process of its own and is seeded like the framework's first one; there is
no isolation here.

    python benchmarks/bench_top_taggers.py --folder FOLDER --jets 400000 --train 24000 240000

It prints a table with statistical errors of the test sample, those of the AUC after DeLong et al., Biometrics
44 (1988) 837, and for neighbours in the order of AUC their difference, whose error knows that both judged the
same jets. Needs the extras `toptag` and `torch`.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import random
import sys
import time
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from hepchallenge.challenges.toptag.data import SHARES, make_toy_data, read_part
from hepchallenge.scoring.roc import roc_auc
from hepchallenge.scoring.toptag import accuracy, background_rejection

KITS = Path(__file__).resolve().parents[1] / "starting_kits" / "toptag"
Floats = NDArray[np.float64]


def train_and_apply(kit: Path, folder: Path, n_train: int, threads: int, file: Path) -> None:
    """Train a kit on the first `n_train` jets of the folder and write its outputs and its seconds."""
    sys.path.insert(0, str(kit))
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - as the framework does
    try:
        import torch
    except ImportError:
        pass
    else:
        torch.manual_seed(0)
        torch.set_num_threads(threads)
    X, y = read_part(folder, "train")
    tagger, start = importlib.import_module("classifier").Classifier(), time.perf_counter()
    tagger.fit(X[:n_train], y[:n_train])
    fitted = time.perf_counter()
    parts = [X[X.validation], read_part(folder, "test")[0]]
    output = np.concatenate([np.asarray(tagger.predict_proba(part)) for part in parts])
    seconds = [fitted - start, time.perf_counter() - fitted]
    part_file = file.with_name(f"unfinished-{file.name}")
    np.savez(part_file, output=output if output.ndim == 1 else output[:, 1], seconds=seconds)
    part_file.rename(file)


def placements(output: Floats, is_top: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return for every top the share of the others that it beats, and for these the share of tops below it.

    The mean of the first is the AUC, that of the second is what is missing to one.
    """
    tops, others = output[is_top], output[~is_top]
    rank = rankdata(output)
    beaten = (rank[is_top] - rankdata(tops)) / len(others)
    below = (rank[~is_top] - rankdata(others)) / len(tops)
    return beaten, below


def error(of_tops: Floats, of_others: Floats) -> float:
    """Return the standard deviation of an AUC, or of a difference of two, from its placements."""
    return float(np.sqrt(of_tops.var(ddof=1) / len(of_tops) + of_others.var(ddof=1) / len(of_others)))


def report(kits: list[str], folder: Path, n_train: int, label: NDArray[np.int64]) -> None:
    """Print a table of kits, by falling AUC, and how sure their order is."""
    found: dict[str, tuple[float, Floats, Floats]] = {}
    rows: dict[str, str] = {}
    for kit in kits:
        with np.load(folder / f"{kit}-{n_train}.npz") as stored:
            output, (fit, predict) = stored["output"].astype(np.float64), stored["seconds"]
        auc, (beaten, below) = roc_auc(output, label), placements(output, label == 1)
        found[kit] = (auc, beaten, below)
        parameters = tomllib.loads((KITS / kit / "submission.toml").read_text()).get("parameters", "")
        share = accuracy(output, label)
        low, high = (background_rejection(output, label, efficiency) for efficiency in (0.3, 0.5))
        rows[kit] = (
            f"| {kit} | {parameters} | {low.value:.0f} +- {low.error:.0f} "
            f"| {high.value:.1f} +- {high.error:.1f} | {auc:.4f} +- {error(beaten, below):.4f} "
            f"| {share:.4f} +- {np.sqrt(share * (1 - share) / len(label)):.4f} | {fit:.0f} | {predict:.0f} |"
        )
    print(f"\n{n_train} training jets\n")
    print("| kit | parameters | R30 | R50 | AUC | accuracy | fit [s] | predict [s] |")
    print("|---|---|---|---|---|---|---|---|")
    order = sorted(found, key=lambda kit: -found[kit][0])
    for kit in order:
        print(rows[kit])
    print()
    for better, worse in pairwise(order):
        (auc, *a), (other, *b) = found[better], found[worse]
        print(f"{better} above {worse}: AUC +{auc - other:.4f} +- {error(a[0] - b[0], a[1] - b[1]):.4f}")


def main() -> None:
    """Read the options, simulate what is not there, train what is not there, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kits = sorted(path.parent.name for path in KITS.glob("*/classifier.py"))
    parser.add_argument("--folder", type=Path, required=True, help="for toy jets and outputs")
    parser.add_argument("--jets", type=int, default=400_000, help="all toy jets together")
    parser.add_argument("--seed", type=int, default=1, help="of the toy jets")
    parser.add_argument("--train", type=int, nargs="+", help="training jets; by default all there are")
    parser.add_argument("--kits", nargs="+", choices=kits, default=kits)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    arguments = parser.parse_args()
    folder = arguments.folder / f"toy-{arguments.jets}-{arguments.seed}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        make_toy_data(folder, arguments.seed, arguments.jets)
    X, y = read_part(folder, "train")
    label = np.concatenate([y[X.validation], read_part(folder, "test")[1]])
    most = round(SHARES["train"] * arguments.jets)
    sizes: list[int] = arguments.train or [most]
    if max(sizes) > most:
        parser.error(f"--train: {arguments.jets} jets have {most} for training, found {max(sizes)}")
    context: Any = multiprocessing.get_context("spawn")
    for n_train in sizes:
        for kit in arguments.kits:
            file = folder / f"{kit}-{n_train}.npz"
            if not file.is_file():
                work = (KITS / kit, folder, n_train, arguments.threads, file)
                process = context.Process(target=train_and_apply, args=work)
                process.start()
                process.join()
                if process.exitcode:
                    raise SystemExit(f"{kit}: training on {n_train} jets ended with {process.exitcode}")
        report(arguments.kits, folder, n_train, label)


if __name__ == "__main__":
    main()

"""The kits of three challenges through a Dask cluster of two workers: the same records as at home."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from levels import need

from hepchallenge.contract import find_challenge
from hepchallenge.run.isolation import Isolation
from hepchallenge.store import Store

pytest.importorskip("distributed", reason="Dask is not installed (extra: farm)")

TOYS = {
    "anomaly": ["--events", "3000"],
    "higgsml": ["--events", "4000"],
    "tracking2d": ["--events", "60"],
}

CLUSTER = """
class = "LocalCluster"
workers = 2

[options]
threads_per_worker = 1
"""


def score(folder: Path, name: str, workspace: str, *words: str) -> dict[str, Any]:
    """Score the kits of a challenge with the command."""
    line = [sys.executable, "-m", "hepchallenge", "score", name, "--workspace", workspace, "--json", *words]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def predictions(folder: Path, name: str) -> dict[str, list[dict[str, str]]]:
    """Return the digests of all stored predictions, by submission and fold."""
    with Store(folder) as store:
        return {
            entry.submission.name: [
                {part: array.digest for part, array in sorted(fold.predictions.items())}
                for fold in entry.folds
            ]
            for entry in store.entries(name)
        }


@pytest.mark.parametrize("name", sorted(TOYS))
def test_the_kits_have_the_same_records_on_a_farm_as_at_home(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    level = str(need(Isolation.NAMESPACES))
    monkeypatch.setenv("HEPCHALLENGE_NODE_CACHE", str(tmp_path / "node"))
    toy = [sys.executable, "-m", "hepchallenge", "data", name, "--toy", *TOYS[name]]
    subprocess.run(toy, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "cluster.toml").write_text(CLUSTER)
    home = score(tmp_path, name, "home", "--isolation", level)
    farm = score(
        tmp_path, name, "farm", "--isolation", level, "--backend", "dask", "--cluster", "cluster.toml"
    )
    assert [one["name"] for one in farm["submissions"]] == [kit.name for kit in find_challenge(name).kits]
    for key in ("challenge", "data", "isolation"):
        assert farm[key] == home[key]
    for ours, theirs in zip(farm["submissions"], home["submissions"], strict=True):
        assert ours["verdict"] == "scored"
        for key in ("name", "digest", "verdict", "message", "gates", "limits", "seed", "versions"):
            assert ours[key] == theirs[key]
        for key in ("scores", "spread", "errors"):
            assert ours[key] == theirs[key]
    found = predictions(tmp_path / "farm", name)
    assert found == predictions(tmp_path / "home", name)
    assert all(fold for folds in found.values() for fold in folds)

"""The detector that is built from a few facts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hepchallenge.challenges.trackml.toy import detectors
from hepchallenge.challenges.trackml.toy.geometry import COLUMNS, layers

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "trackml" / "detectors.csv.gz"


def test_modules_are_the_published_ones() -> None:
    if not REAL.exists():
        pytest.skip(f"no published detectors.csv at {REAL}")
    real, built = pd.read_csv(REAL), detectors()
    assert list(built.columns) == list(real.columns)
    names = ["volume_id", "layer_id", "module_id"]
    pd.testing.assert_frame_equal(built[names].astype(int), real[names].astype(int))
    for name in COLUMNS[3:]:
        # The published file has six digits.
        np.testing.assert_allclose(built[name], real[name], rtol=0, atol=0.006 if name[0] == "c" else 2e-6)


def test_there_are_as_many_modules_as_published() -> None:
    counts = detectors().groupby("volume_id").size().to_dict()
    assert counts == {
        **dict.fromkeys((7, 9), 756),
        8: 2492,
        **dict.fromkeys((12, 14), 1020),
        13: 5796,
        **dict.fromkeys((16, 18), 588),
        17: 5712,
    }
    assert sum(counts.values()) == 18_728
    assert len(layers()) == 48


def test_rotations_turn_and_do_not_mirror() -> None:
    table = detectors()
    rotation = table[COLUMNS[6:15]].to_numpy().reshape(-1, 3, 3)
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (len(table), 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0)


def test_rows_of_a_ring_follow_each_other_in_phi() -> None:
    table = detectors()
    phi = np.arctan2(table["cy"], table["cx"]).to_numpy()
    for layer in layers():
        for start, count in zip(layer.ring_start, layer.ring_count, strict=True):
            ring = phi[layer.rows[start : start + count]]
            expected = -np.pi + (np.arange(count) + 0.5) * 2 * np.pi / count
            np.testing.assert_allclose(ring, expected, atol=1e-9)

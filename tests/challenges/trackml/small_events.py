"""Small events with everything that published ones have."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hepchallenge.challenges.trackml.published import DETECTORS_SCHEMA, SCHEMAS

Frames = dict[str, pd.DataFrame]


def make_event(seed: int, n_hits: int = 6, *, typed: bool = False) -> Frames:
    """Make the frames of one event, hits in no order, two cells per hit, hits of particle 0 and of others."""
    rng = np.random.default_rng(seed)
    ids = 1 + rng.permutation(3 * n_hits)[:n_hits]
    particles = np.array([4503668346847232, 4503737066323968])
    frames: Frames = {}
    for name, schema in SCHEMAS.items():
        n = {"particles": 2, "cells": 2 * n_hits}.get(name, n_hits)
        columns = {
            column: rng.normal(size=n).astype("f4") if "float" in str(kind) else rng.integers(1, 9, n, "i4")
            for column, kind in schema.columns.items()
            if typed or column != "particle_type"
        }
        frames[name] = pd.DataFrame(columns)
    frames["hits"]["hit_id"] = frames["truth"]["hit_id"] = ids.astype("i4")
    frames["cells"]["hit_id"] = np.repeat(ids, 2).astype("i4")
    frames["particles"]["particle_id"] = particles
    frames["truth"]["particle_id"] = rng.choice([0, *particles], n_hits)
    frames["truth"]["weight"] = np.float32(1 / n_hits)
    return frames


def make_detectors() -> pd.DataFrame:
    """Make three modules."""
    frame = pd.DataFrame({name: [0.5, 1.5, 2.5] for name in DETECTORS_SCHEMA.columns})
    frame["volume_id"], frame["layer_id"], frame["module_id"] = [7, 7, 8], [2, 2, 4], [1, 2, 1]
    return frame.astype({"volume_id": "i4", "layer_id": "i4", "module_id": "i4"})

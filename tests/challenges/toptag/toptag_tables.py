"""Published tables of a few made-up jets."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hepchallenge.challenges.toptag.published import CONSTITUENTS, TRUTH


def make_frame(n: int, seed: int, most: int = 60) -> pd.DataFrame:
    """Return a table with the published columns: jets of 1 to `most` constituents, padded with zeros."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, most + 1, n)
    p = np.zeros((n, 200, 4), dtype=np.float32)
    inside = np.arange(200) < counts[:, None]
    p[inside, 1:] = rng.normal(0, 10, (counts.sum(), 3))
    p[..., 0] = np.sqrt((p[..., 1:] ** 2).sum(axis=2))
    frame = pd.DataFrame(p.reshape(n, 800), columns=list(CONSTITUENTS))
    truth = pd.DataFrame(rng.normal(size=(n, 4)).astype(np.float32), columns=list(TRUTH))
    others = pd.DataFrame({"ttv": np.zeros(n, int), "is_signal_new": np.arange(n) % 2})
    return pd.concat([frame, truth, others], axis=1)

"""Where the kits are, and how one is started."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared"
KITS = ROOT / "starting_kits" / "tracking2d"

Predict = Callable[[str, NDArray[np.float64]], NDArray[np.int64]]


def start_kit(name: str) -> Any:
    """Return a new `Clusterer` of a kit."""
    spec = importlib.util.spec_from_file_location("clusterer", KITS / name / "clusterer.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Clusterer()

"""Real published files are read to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hepchallenge.data import TableSchema, find_published, read_csv

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the folder ../shared/data is not here")


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        ("higgsml", "atlas-*.csv"),
        ("anomaly", "test.csv"),
        ("flavours", "check_correlation.csv"),
        ("trackml", "detectors.csv"),
    ],
)
def test_a_published_file_is_read_to_the_last_bit(folder: str, pattern: str) -> None:
    found = find_published(SHARED / folder, pattern)
    assert found is not None
    guessed = pd.read_csv(found.path, low_memory=False).dtypes
    words = {"i": pa.int64(), "f": pa.float64()}
    schema = TableSchema(columns={str(n): words.get(kind.kind, pa.string()) for n, kind in guessed.items()})
    table = read_csv(found, schema)
    # Python turns text into the nearest float; readers may be off by the last bit.
    texts = pd.read_csv(found.path, dtype=str, keep_default_na=False)
    assert table.num_rows == len(texts)
    for name in table.column_names:
        values = table[name].to_numpy()
        assert np.array_equal(values, texts[name].to_numpy(dtype=object).astype(values.dtype)), name

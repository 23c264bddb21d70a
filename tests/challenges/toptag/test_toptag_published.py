"""Published tables of jets are read in pieces, without their zeros, and refused where they are wrong."""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from toptag_tables import make_frame

from hepchallenge.challenges.toptag.data import prepare_data, read_part
from hepchallenge.challenges.toptag.published import CONSTITUENTS, files_of_role, read_jets, read_labels
from hepchallenge.exceptions import DataError, UsageError


def write_hdf5(frame: pd.DataFrame, file: Path, kind: str = "table") -> None:
    pytest.importorskip("tables", reason="no tables: HDF5 cannot be written")
    frame.to_hdf(file, key="table", format=kind, complib="blosc", complevel=5)  # type: ignore[call-overload]


def padded(frame: pd.DataFrame) -> np.ndarray:
    return frame[list(CONSTITUENTS)].to_numpy().reshape(-1, 200, 4)


@pytest.mark.parametrize("kind", ["table", "fixed"])
def test_hdf5_and_parquet_give_the_same_prepared_jets(
    kind: str, frames: dict[str, pd.DataFrame], published: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "hdf5"
    folder.mkdir()
    for role, frame in frames.items():
        write_hdf5(frame, folder / f"{role}.h5", kind)
    prepare_data(folder, tmp_path / "one")
    prepare_data(published, tmp_path / "two")
    for part in ("train", "test"):
        for name in (f"{part}.arrow", f"{part}-constituents.npy"):
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_roles_and_order_are_the_published_ones(
    frames: dict[str, pd.DataFrame], published: Path, tmp_path: Path
) -> None:
    prepare_data(published, tmp_path / "prepared")
    jets, label = read_part(tmp_path / "prepared", "train")
    expected = pd.concat([frames["train"], frames["val"]])
    assert np.array_equal(np.asarray(jets), padded(expected))
    assert np.array_equal(label, expected["is_signal_new"])
    assert jets.validation.tolist() == [False] * 30 + [True] * 9
    jets, label = read_part(tmp_path / "prepared", "test")
    assert np.array_equal(np.asarray(jets), padded(frames["test"]))
    assert not jets.validation.any()
    assert json.loads((tmp_path / "prepared" / "manifest.json").read_text())["rows"] == {
        "train": 39,
        "test": 12,
    }


def test_parquet_may_come_in_shards_and_with_an_index(
    frames: dict[str, pd.DataFrame], published: Path, tmp_path: Path
) -> None:
    train = frames["train"]
    (published / "train.parquet").unlink()
    for shard, rows in enumerate((slice(0, 4), slice(4, 30))):
        part = train[rows].set_index(pd.Index(range(rows.start, rows.stop), name="__index_level_0__"))
        part.to_parquet(published / f"train-0000{shard}-of-00002.parquet")
    (published / "val.parquet").rename(published / "validation-00000-of-00001.parquet")
    prepare_data(published, tmp_path / "prepared")
    jets, _ = read_part(tmp_path / "prepared", "train")
    assert np.array_equal(np.asarray(jets)[:30], padded(train))


@pytest.mark.parametrize("suffix", [".h5", ".parquet"])
def test_no_more_than_a_piece_of_a_table_is_in_memory(suffix: str, tmp_path: Path) -> None:
    n, rows = 2000, 100
    frame = make_frame(n, 0, most=5)
    file = tmp_path / f"train{suffix}"
    write_hdf5(frame, file) if suffix == ".h5" else frame.to_parquet(file, row_group_size=200)
    del frame
    next(read_jets(file, rows))  # imports are not counted
    arrow = []
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        for piece in read_jets(file, rows):
            n -= len(piece.counts)
            arrow.append(pa.total_allocated_bytes() - before)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n == 0
    table = 2000 * 804 * 4
    assert peak < table / 3
    assert max(arrow) < table / 3


def test_constituents_are_padded_with_zeros_only(tmp_path: Path) -> None:
    frame = make_frame(5, 0, most=10)
    frame.loc[3, ["E_11", "PX_11"]] = 1.0
    frame.to_parquet(tmp_path / "test.parquet")
    with pytest.raises(DataError, match=r"test.parquet: row 4: constituents: expected zeros after the last"):
        list(read_jets(tmp_path / "test.parquet", 2))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("PZ_0", np.nan, "row 3: constituents: expected finite numbers"),
        ("E_0", -1.0, "row 3: energy: expected a number from 0, found -1"),
        ("is_signal_new", 2, "row 3: label: expected 0 or 1, found 2"),
        ("truthPX", np.inf, "row 3: truth: expected finite numbers"),
    ],
)
def test_a_wrong_value_is_named_by_its_row(column: str, value: float, message: str, tmp_path: Path) -> None:
    frame = make_frame(5, 0)
    frame.loc[2, column] = value
    frame.to_parquet(tmp_path / "test.parquet")
    with pytest.raises(DataError, match=message):
        list(read_jets(tmp_path / "test.parquet", 2))


def test_a_jet_without_constituents_is_refused(tmp_path: Path) -> None:
    frame = make_frame(5, 0)
    frame.loc[1, list(CONSTITUENTS)] = 0.0
    frame.to_parquet(tmp_path / "test.parquet")
    with pytest.raises(DataError, match="row 2: constituents: expected at least one, found 0"):
        list(read_jets(tmp_path / "test.parquet"))


def test_files_that_are_no_tables_of_jets_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("tables", reason="no tables: HDF5 cannot be read")
    for name, what in (("bad.h5", "a pandas table in HDF5"), ("bad.parquet", "a Parquet table")):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(DataError, match=f"content: expected {what}"):
            list(read_jets(tmp_path / name))
    frame = make_frame(3, 0).drop(columns="PY_7")
    frame.to_parquet(tmp_path / "test.parquet")
    write_hdf5(frame, tmp_path / "test.h5")
    for name in ("test.h5", "test.parquet"):
        with pytest.raises(DataError, match="column PY_7: expected it in the table, found no such column"):
            list(read_jets(tmp_path / name))
    frame.to_hdf(tmp_path / "other.h5", key="events")
    with pytest.raises(DataError, match="key: expected the pandas table 'table', found /events"):
        list(read_jets(tmp_path / "other.h5"))
    make_frame(3, 0).head(0).to_parquet(tmp_path / "empty.parquet")
    with pytest.raises(DataError, match="rows: expected at least one, found none"):
        list(read_jets(tmp_path / "empty.parquet"))


def test_a_missing_role_is_named(published: Path, tmp_path: Path) -> None:
    (published / "val.parquet").unlink()
    with pytest.raises(DataError, match=r"expected train, val and test .* found train, test only"):
        prepare_data(published, tmp_path / "prepared")
    with pytest.raises(DataError, match="found none of them"):
        prepare_data(tmp_path, tmp_path / "prepared")


def test_two_files_of_a_role_must_be_shards(tmp_path: Path) -> None:
    files = [tmp_path / "train.h5", tmp_path / "train.parquet", tmp_path / "training.h5"]
    with pytest.raises(DataError, match=r"one HDF5 file, or Parquet files, found train\.h5, train\.parquet$"):
        files_of_role(files, "train")


def test_hdf5_without_its_package_names_the_extra(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tables", None)
    (tmp_path / "train.h5").touch()
    with pytest.raises(UsageError, match=r"pip install hepchallenge\[toptag\]"):
        list(read_jets(tmp_path / "train.h5"))
    prepare_data(published, tmp_path / "prepared")  # Parquet needs no extra.


def test_labels_are_found_under_either_name(tmp_path: Path) -> None:
    label = np.array([0, 1, 1], dtype=np.uint8)
    np.savez(tmp_path / "a.npz", label=label, PFN=label / 2)
    np.save(tmp_path / "b.npy", label)
    pd.DataFrame({"is_signal_new": label}).to_parquet(tmp_path / "c.parquet")
    for name in ("a.npz", "b.npy", "c.parquet"):
        assert read_labels(tmp_path / name).tolist() == [0, 1, 1]


def test_labels_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    for name, arrays, message in (
        ("a", {"truth": np.array([0, 1])}, "arrays: expected is_signal_new or label, found truth"),
        ("b", {"label": np.array([0, 1, 3])}, "row 3: label: expected 0 or 1, found 3"),
        ("c", {"label": np.array([1, 1])}, "expected both 0 and 1"),
        ("d", {"label": np.zeros((2, 2))}, "one number a jet"),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(DataError, match=message):
            read_labels(tmp_path / f"{name}.npz")

"""Tables larger than memory are written batch by batch, and their digest knows values and batches alone."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from hepchallenge.data import TableSchema, read_csv, read_table, writing_prepared
from hepchallenge.data.prepared import MANIFEST_NAME
from hepchallenge.exceptions import DataError

BATCHES = [pa.record_batch({"id": [1, 2], "x": [0.5, 1.5]}), pa.record_batch({"id": [3], "x": [2.5]})]


def write(folder: Path, batches: list[pa.RecordBatch]) -> dict[str, object]:
    with writing_prepared(folder) as writer:
        stream = writer.stream("train", BATCHES[0].schema)
        for batch in batches:
            stream.write(batch)
        writer.info["batches"] = stream.batches
    return dict(json.loads((folder / MANIFEST_NAME).read_text()))


def test_batches_are_read_back_as_they_were_given(tmp_path: Path) -> None:
    manifest = write(tmp_path, BATCHES)
    assert (manifest["rows"], manifest["info"]) == ({"train": 3}, {"batches": 2})
    assert read_table(tmp_path, "train")["x"].to_pylist() == [0.5, 1.5, 2.5]
    with pa.memory_map(str(tmp_path / "train.arrow")) as source:
        file = pa.ipc.open_file(source)
        assert [file.get_batch(i).num_rows for i in range(file.num_record_batches)] == [2, 1]


def test_a_table_may_have_no_batches_at_all(tmp_path: Path) -> None:
    assert write(tmp_path, [])["rows"] == {"train": 0}
    assert read_table(tmp_path, "train").num_rows == 0


def test_the_digest_depends_on_values_and_batches_but_not_on_memory(tmp_path: Path) -> None:
    def digest(name: str, batches: list[pa.RecordBatch]) -> object:
        return write(tmp_path / name, batches)["tables"]

    sliced = pa.record_batch({"id": [0, 1, 2, 3], "x": [9.0, 0.5, 1.5, 2.5]})
    first = digest("first", BATCHES)
    assert digest("sliced", [sliced.slice(1, 2), sliced.slice(3)]) == first
    assert digest("other boundary", [sliced.slice(1, 1), sliced.slice(2)]) != first
    assert digest("other value", [BATCHES[0], pa.record_batch({"id": [3], "x": [2.6]})]) != first
    assert digest("fewer", BATCHES[:1]) != first


def test_a_batch_with_other_columns_or_nulls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="expected the columns"):
        write(tmp_path / "a", [pa.record_batch({"id": [1]})])
    with pytest.raises(TypeError, match="'id' has nulls"):
        write(tmp_path / "b", [pa.record_batch({"id": pa.array([None], pa.int64()), "x": [1.0]})])
    assert not (tmp_path / "a" / MANIFEST_NAME).exists()


def test_only_a_table_that_may_be_empty_needs_no_rows(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("id\n")
    columns = {"id": pa.int32()}
    found = read_csv(file, TableSchema(columns=columns, may_be_empty=True))
    assert (found.num_rows, found.schema.field("id").type) == (0, pa.int32())
    with pytest.raises(DataError, match="rows: expected at least one"):
        read_csv(file, TableSchema(columns=columns))

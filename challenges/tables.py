"""Published data that are two tables of one schema, for training and for testing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from hepchallenge.data import TableSchema, find_published, read_csv, write_prepared
from hepchallenge.exceptions import DataError

__all__ = ["TEST_NAME", "TRAIN_NAME", "prepare_train_and_test"]

TRAIN_NAME, TEST_NAME = "train.csv", "test.csv"


def prepare_train_and_test(
    source: Path, target: Path, schema: TableSchema, check: Callable[[pa.Table, object], None]
) -> None:
    """Read `train.csv` and `test.csv` in `source` and write the prepared folder `target`.

    Parameters
    ----------
    source : Path
        A folder with both files, as they are, gzipped or zipped.
    target : Path
        The folder to write to.
    schema : TableSchema
        Of both tables.
    check : function
        Called with each table and its file; raises DataError if it does not hold what it should.

    Raises
    ------
    DataError
        If one of the files is not there, or does not hold what it should.
    """
    tables = {}
    for name in (TRAIN_NAME, TEST_NAME):
        file = find_published(source, name)
        if file is None:
            expected = f"{TRAIN_NAME} and {TEST_NAME} (.csv, .csv.gz or .zip)"
            raise DataError(source, "files", expected, f"no {name}")
        table = read_csv(file, schema)
        check(table, file)
        tables[name.removesuffix(".csv")] = table
    write_prepared(target, tables)

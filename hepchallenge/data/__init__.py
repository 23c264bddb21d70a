"""The data room: published files and simulations become prepared, columnar, unchanging folders."""

from hepchallenge.data.choice import (
    Choice,
    chosen,
    current,
    fetch,
    has_own_data,
    prepare,
    resolve,
    select,
    select_toy,
    toy,
)
from hepchallenge.data.files import cache_root
from hepchallenge.data.prepared import (
    Manifest,
    PreparedWriter,
    find_manifest,
    open_prepared,
    read_manifest,
    write_prepared,
    writing_prepared,
)
from hepchallenge.data.tables import (
    BatchWriter,
    Published,
    TableSchema,
    check_table,
    find_published,
    published_files,
    read_csv,
    read_table,
)

__all__ = [
    "BatchWriter",
    "Choice",
    "Manifest",
    "PreparedWriter",
    "Published",
    "TableSchema",
    "cache_root",
    "check_table",
    "chosen",
    "current",
    "fetch",
    "find_manifest",
    "find_published",
    "has_own_data",
    "open_prepared",
    "prepare",
    "published_files",
    "read_csv",
    "read_manifest",
    "read_table",
    "resolve",
    "select",
    "select_toy",
    "toy",
    "write_prepared",
    "writing_prepared",
]

"""Published CSV is read whatever its packing, and refused with the place of the first mistake."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.data import Published, TableSchema, find_published, published_files, read_csv
from hepchallenge.exceptions import DataError

SCHEMA = TableSchema(
    columns={"id": pa.int64(), "x": pa.float64(), "w": pa.float64(), "label": pa.string()},
    unique=["id"],
    weights=["w"],
    allowed={"label": ["s", "b"]},
)
GOOD = "id,x,w,label\n1,0.5,1,s\n2,-999.0,0,b\n3,1e3,2.5,s\n"
TABLE = {"id": [1, 2, 3], "x": [0.5, -999.0, 1000.0], "w": [1.0, 0.0, 2.5], "label": ["s", "b", "s"]}


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_dot_", ".").replace("_in_", "/"), content)
    return buffer.getvalue()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "train.csv": lambda raw: raw,
    "train.csv.gz": gzip.compress,
    "train.csv.zip": lambda raw: zipped(train_dot_csv=raw),
    "all.zip": lambda raw: zipped(other_dot_csv=b"x", folder_in_train_dot_csv=raw, readme=b""),
    "kaggle.zip": lambda raw: zipped(train_dot_zip=zipped(train_dot_csv=raw), test_dot_zip=zipped()),
    "gz.zip": lambda raw: zipped(train_dot_csv_dot_gz=gzip.compress(raw)),
}


@pytest.mark.parametrize("single_file", [False, True], ids=["folder", "file"])
@pytest.mark.parametrize("name", PACKINGS)
def test_a_table_is_the_same_in_every_packing(tmp_path: Path, name: str, single_file: bool) -> None:
    (tmp_path / name).write_bytes(PACKINGS[name](GOOD.encode()))
    found = find_published(tmp_path / name if single_file else tmp_path, "train.csv")
    assert found is not None
    assert read_csv(found, SCHEMA).to_pydict() == TABLE


def test_line_ends_byte_order_mark_and_column_order_do_not_matter(tmp_path: Path) -> None:
    lines = [line.split(",") for line in GOOD.splitlines()]
    text = "\ufeff" + "\r\n".join(",".join(reversed(line)) for line in lines)
    (tmp_path / "a.csv").write_bytes(text.encode())
    assert read_csv(tmp_path / "a.csv", SCHEMA).to_pydict() == TABLE
    assert read_csv(tmp_path / "a.csv", SCHEMA).column_names == list(SCHEMA.columns)


def test_a_plain_file_is_preferred_and_two_equal_ones_are_refused(tmp_path: Path) -> None:
    for name in ("a-1.csv", "a-1.csv.gz", "b.zip", "._a-1.csv", ".a-2.csv"):
        (tmp_path / name).write_bytes(b"" if name != "b.zip" else zipped(__MACOSX_in_a=b""))
    found = find_published(tmp_path, "a.csv", "a-*.csv")
    assert found == Published(tmp_path / "a-1.csv")
    (tmp_path / "a-2.csv").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"a-\*\.csv: expected one such file, found 2: .*a-1\.csv, .*a-2\.csv"
    ):
        find_published(tmp_path, "a-*.csv")
    assert find_published(tmp_path, "c.csv") is None


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        published_files(tmp_path / "absent")


@pytest.mark.parametrize(
    ("old", "new", "where", "found"),
    [
        ("id,x,w,label", "id,x,w,Label", "column label", "is it the one called 'Label'?"),
        ("id,x,w,label", "id,x,w", "column label", "no such column"),
        ("id,x,w,label", "id,x,w,label,y", "column y", "this column too"),
        ("id,x,w,label", "id,x,x,label", "column x", "2 times"),
        ("id,x,w,label", "\xff", "header", "\\xff"),
        (GOOD, "", "header", "an empty file"),
        (GOOD, "\n", "header", "an empty line"),
        (GOOD, "id,x,w,label\n", "rows", "none"),
        ("2,-999.0,0,b", "2,-999.0", "row 2", "2: '2,-999.0'"),
        ("2,-999.0,0,b", "2,-999.0,0,b,", "row 2", "5: "),
        ("2,-999.0,0,b", "2,abc,0,b", "column x, row 2", "'abc'"),
        ("2,-999.0,0,b", "2,,0,b", "column x, row 2", "an empty cell"),
        ("2,-999.0,0,b", "2.5,abc,0,b", "column id, row 2", "'2.5'"),
        ("2,-999.0,0,b", "2,nan,0,b", "column x, row 2", "nan"),
        ("2,-999.0,0,b", "2,inf,0,b", "column x, row 2", "inf"),
        ("2,-999.0,0,b", "2,1e400,0,b", "column x, row 2", "inf"),
        ("2,-999.0,0,b", "2,1,-1e-9,b", "column w, row 2", "-1e-09"),
        ("2,-999.0,0,b", "2,1,nan,b", "column w, row 2", "nan"),
        ("2,-999.0,0,b", "2,1,0,S", "column label, row 2", "'S'"),
        ("2,-999.0,0,b", "2,1,0,\xff", "column label, row 2", "'\\\\xff'"),
        ("3,1e3", "1,1e3", "column id, row 3", "1 again"),
        ("3,1e3", "99999999999999999999,1e3", "column id, row 3", "'99999999999999999999'"),
    ],
)
def test_a_mistake_is_named_by_column_and_row(
    tmp_path: Path, old: str, new: str, where: str, found: str
) -> None:
    file = tmp_path / "train.csv"
    file.write_bytes(GOOD.replace(old, new, 1).encode("latin-1"))
    with pytest.raises(DataError) as caught:
        read_csv(file, SCHEMA)
    assert (caught.value.file, caught.value.where) == (str(file), where)
    assert found in caught.value.found


@pytest.mark.parametrize("name", [name for name in PACKINGS if name != "train.csv"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_archive_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    rows = "".join(f"{i},{i * 0.37},{i},s\n" for i in range(5000))
    whole = PACKINGS[name](("id,x,w,label\n" + rows).encode())
    (tmp_path / name).write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DataError, match="cut off or damaged"):
        read_csv(find_published(tmp_path, "train.csv") or Published(tmp_path), SCHEMA)


def test_a_flipped_byte_in_an_archive_is_refused(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(GOOD.encode() * 1))
    whole[-6] ^= 1
    (tmp_path / "train.csv.gz").write_bytes(whole)
    with pytest.raises(DataError, match="cut off or damaged"):
        read_csv(tmp_path / "train.csv.gz", SCHEMA)


def test_a_damaged_archive_that_is_not_needed_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(GOOD)
    (tmp_path / "holiday.zip").write_bytes(b"PK no")
    assert find_published(tmp_path, "train.csv") == Published(tmp_path / "train.csv")


def test_a_schema_knows_its_own_columns() -> None:
    with pytest.raises(ValueError, match="'y' is not among the columns"):
        TableSchema(columns={"x": pa.float64()}, weights=["y"])


def test_the_row_of_a_mistake_far_down_is_right(tmp_path: Path) -> None:
    lines = [f"{i},{i * 0.5},1,b" for i in range(400_000)]
    lines[333_332] = "333332,1.5.5,1,b"
    (tmp_path / "big.csv").write_text("id,x,w,label\n" + "\n".join(lines))
    with pytest.raises(DataError, match=r"column x, row 333333: expected a number, found '1\.5\.5'"):
        read_csv(tmp_path / "big.csv", SCHEMA)


cells = st.tuples(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(min_value=0, max_value=1e300),
    st.sampled_from(["s", "b"]),
)


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(cells, min_size=1, max_size=40), spaces=st.sampled_from(["", " "]))
def test_what_was_written_is_read_to_the_last_bit(
    rows: list[tuple[float, float, str]], spaces: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "round.csv"
    lines = [f"{i},{spaces}{x!r},{w!r}{spaces},{label}" for i, (x, w, label) in enumerate(rows)]
    file.write_text("id,x,w,label\n" + "\n".join(lines) + "\n")
    table = read_csv(file, SCHEMA).to_pydict()
    assert list(zip(table["x"], table["w"], table["label"], strict=True)) == rows


@settings(deadline=None, max_examples=80)
@given(content=st.binary(max_size=60) | st.text(alphabet="id,xwlabes0123.\n\"'", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused_by_a_data_error(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(b"id,x,w,label\n" + content)
    try:
        table = read_csv(file, SCHEMA)
    except DataError:
        return
    assert table.num_rows > 0
    assert set(table["label"].to_pylist()) <= {"s", "b"}

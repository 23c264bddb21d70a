"""Intake of prediction files: every format, any order of ids, and a refusal that names its row."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.run import prediction_file
from hepchallenge.run.prediction_file import read_prediction_file

COLUMNS = {"EventId": "int64", "RankOrder": "int64", "Class": "string"}
IDS = np.array([350000, 350001, 350002, 350003])
GOOD = "EventId,RankOrder,Class\n350000,3,s\n350001,1,b\n350002,2,b\n350003,4,s\n"


def read(path: Path, columns: dict[str, str] = COLUMNS, ids: np.ndarray = IDS) -> dict[str, np.ndarray]:
    return read_prediction_file(path, columns, "EventId", ids)


def write(folder: Path, text: str | bytes, name: str = "submission.csv") -> Path:
    """Write the same content in the format that the name says."""
    content = text.encode() if isinstance(text, str) else text
    file = folder / name
    if name.endswith(".gz"):
        content = gzip.compress(content)
    elif name.endswith(".zip"):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inside.csv", content)
        content = packed.getvalue()
    elif name.endswith(".parquet"):
        frame = pd.read_csv(io.BytesIO(content))
        packed = io.BytesIO()
        pa_parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), packed)
        content = packed.getvalue()
    file.write_bytes(content)
    return file


FORMATS = ["s.csv", "s.csv.gz", "s.csv.zip", "s.parquet"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_columns(tmp_path: Path, name: str) -> None:
    found = read(write(tmp_path, GOOD, name))
    assert list(found) == list(COLUMNS)
    assert found["EventId"].tolist() == IDS.tolist()
    assert found["RankOrder"].tolist() == [3, 1, 2, 4]
    assert found["RankOrder"].dtype == np.int64
    assert found["Class"].tolist() == ["s", "b", "b", "s"]
    assert found["Class"].dtype.kind == "U"


@pytest.mark.parametrize("name", FORMATS)
def test_rows_in_another_order_are_put_into_the_order_of_the_test_rows(tmp_path: Path, name: str) -> None:
    lines = GOOD.splitlines()
    shuffled = "\n".join([lines[0], lines[3], lines[1], lines[4], lines[2]])
    found = read(write(tmp_path, shuffled, name))
    assert found["RankOrder"].tolist() == [3, 1, 2, 4]


def test_columns_may_come_in_another_order(tmp_path: Path) -> None:
    text = "Class,EventId,RankOrder\ns,350000,3\nb,350001,1\nb,350002,2\ns,350003,4\n"
    assert read(write(tmp_path, text))["RankOrder"].tolist() == [3, 1, 2, 4]


@pytest.mark.parametrize(
    "variant",
    [
        GOOD.rstrip("\n"),
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        '"EventId","RankOrder","Class"\n350000,3,"s"\n350001,1,"b"\n350002,2,"b"\n350003,4,"s"\n',
        GOOD.replace("350001,1", "350001, 1"),
    ],
    ids=["no-last-newline", "crlf", "byte-order-mark", "quoted", "blank-before-number"],
)
def test_ordinary_variants_of_csv_are_read(tmp_path: Path, variant: str) -> None:
    assert read(write(tmp_path, variant))["Class"].tolist() == ["s", "b", "b", "s"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found an empty file"),
        ("\n", "found an empty line"),
        (GOOD.replace("Class", "class"), "the column 'Class' is missing"),
        (GOOD.replace("Class", "RankOrder"), "the column 'Class' is missing"),
        (GOOD.replace("Class", "Class,Class"), "the column 'Class' is there 2 times"),
        (GOOD.replace("Class\n", "Class,extra\n"), "unexpected column 'extra'"),
        (GOOD.replace("350001,1,b\n", ""), "expected 4 rows, found 3"),
        (GOOD + "350004,5,b\n", "expected 4 rows, found 5"),
        (GOOD.replace("350002,2", "350009,2"), r"row 3: EventId 350009 is not among the test rows"),
        (GOOD.replace("350002,2", "-9223372036854775808,2"), r"row 3: EventId -9223372036854775808"),
        (GOOD.replace("350002,2", "350001,2"), r"row 3: EventId 350001 was there before.*350002 is missing"),
        (GOOD.replace(",2,", ",two,"), r"row 3 \(EventId 350002\): RankOrder: expected a 64-bit.*'two'"),
        (GOOD.replace(",2,", ",2.0,"), r"row 3 \(EventId 350002\): RankOrder: .*'2.0'"),
        (GOOD.replace(",2,", ",,"), r"row 3 \(EventId 350002\): RankOrder: .*''"),
        (GOOD.replace(",2,", ",NaN,"), r"row 3 \(EventId 350002\): RankOrder: .*'NaN'"),
        (GOOD.replace(",2,", ",9223372036854775808,"), r"row 3 .*'9223372036854775808'"),
        (GOOD.replace(",2,", ",:,"), r"row 3 \(EventId 350002\): RankOrder: .*':'"),
        (GOOD.replace("350002,2,b", "350002,2"), r"row 3: expected 3 values, found 2"),
        (GOOD.replace("350002,2,b", "350002,2,b,b"), r"row 3: expected 3 values, found 4"),
        (GOOD.replace("350002,2,b", "350002,2," + "b" * 65), "at most 64 characters"),
    ],
)
def test_every_fault_of_a_csv_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidSubmission, match=message):
        read(write(tmp_path, text))


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSubmission, match=r"row 2 \(EventId 350001\): Class: expected UTF-8"):
        read(write(tmp_path, GOOD.encode().replace(b"1,b", b"1,\xff")))


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize("name", FORMATS)
def test_number_that_is_not_finite_is_refused_with_its_row(tmp_path: Path, name: str, value: str) -> None:
    text = f"EventId,score\n350000,0.5\n350001,{value}\n350002,0.25\n350003,1\n"
    columns = {"EventId": "int64", "score": "float64"}
    # Parquet written by pandas stores NaN as "no value".
    with pytest.raises(InvalidSubmission, match=r"row 2.*score: expected a (finite number|value)"):
        read(write(tmp_path, text, name), columns)


def test_floats_are_read_exactly(tmp_path: Path) -> None:
    values = np.random.default_rng(1).standard_normal(4) * 1e-3
    text = "EventId,score\n" + "".join(f"{i},{v!r}\n" for i, v in zip(IDS, values.tolist(), strict=True))
    found = read(write(tmp_path, text), {"EventId": "int64", "score": "float64"})
    assert found["score"].tolist() == values.tolist()


def parquet(folder: Path, table: pa.Table) -> Path:
    pa_parquet.write_table(table, folder / "s.parquet")
    return folder / "s.parquet"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([3.0, 1.0, 2.0, 4.0]), "RankOrder: expected int64, found the type double"),
        (pa.array([[3], [1], [2], [4]]), "RankOrder: expected int64, found the type list"),
        (pa.array([3, None, 2, 4]), "row 2: RankOrder: expected a value, found none"),
        (pa.array([3, 1, 2, 2**63], pa.uint64()), "9223372036854775808"),
    ],
)
def test_every_fault_of_a_parquet_column_is_named(tmp_path: Path, column: pa.Array, message: str) -> None:
    table = pa.table({"EventId": IDS, "RankOrder": column, "Class": ["s", "b", "b", "s"]})
    with pytest.raises(InvalidSubmission, match=message):
        read(parquet(tmp_path, table))


def test_parquet_with_an_index_column_or_damage_is_refused(tmp_path: Path) -> None:
    table = pa.table({"EventId": IDS, "RankOrder": IDS, "Class": ["s"] * 4, "__index_level_0__": IDS})
    with pytest.raises(InvalidSubmission, match="unexpected column '__index_level_0__'"):
        read(parquet(tmp_path, table))
    damaged = write(tmp_path, GOOD, "d.parquet").read_bytes()[:-20]
    (tmp_path / "d.parquet").write_bytes(damaged)
    with pytest.raises(InvalidSubmission, match="not a readable Parquet file"):
        read(tmp_path / "d.parquet")


def test_links_pipes_folders_and_missing_files_are_refused_at_once(tmp_path: Path) -> None:
    real = write(tmp_path, GOOD, "real.csv")
    (tmp_path / "link.csv").symlink_to(real)
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name, message in {
        "link.csv": "symbolic link",
        "zero.csv": "symbolic link",
        "pipe.csv": "expected a regular file",
        "folder.csv": "expected a regular file",
        "absent.csv": "no such file",
        "real.json": "expected a file name ending with",
    }.items():
        with pytest.raises(InvalidSubmission, match=message):
            read(tmp_path / name)


def test_files_larger_than_their_rows_allow_are_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "sparse.csv").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(InvalidSubmission, match="expected at most"):
        read(tmp_path / "sparse.csv")


@pytest.mark.parametrize("name", ["bomb.csv.gz", "bomb.csv.zip"])
def test_decompression_bombs_are_refused(tmp_path: Path, name: str) -> None:
    file = write(tmp_path, GOOD.encode() + b"\n" * 20_000_000, name)
    assert file.stat().st_size < 100_000
    with pytest.raises(InvalidSubmission, match="unpacks to more than"):
        read(file)


def test_parquet_bomb_is_refused(tmp_path: Path) -> None:
    table = pa.table({"EventId": IDS, "RankOrder": IDS, "Class": ["s", "b", "b", "s" * 10_000_000]})
    pa_parquet.write_table(table, tmp_path / "s.parquet", compression="zstd")
    assert (tmp_path / "s.parquet").stat().st_size < 50_000
    with pytest.raises(InvalidSubmission, match="unpacks to more than"):
        read(tmp_path / "s.parquet")


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    for name in ("s.csv.gz", "s.csv.zip"):
        file = write(tmp_path, GOOD, name)
        content = file.read_bytes()
        for broken in (content[: len(content) // 2], b"plain text", b""):
            file.write_bytes(broken)
            with pytest.raises(InvalidSubmission):
                read(file)


@pytest.mark.parametrize("members", [[], ["a.csv", "b.csv"], ["a.txt"]])
def test_zip_must_hold_exactly_one_csv(tmp_path: Path, members: list[str]) -> None:
    with zipfile.ZipFile(tmp_path / "s.csv.zip", "w") as archive:
        for member in members:
            archive.writestr(member, GOOD)
    with pytest.raises(InvalidSubmission, match="inside, found"):
        read(tmp_path / "s.csv.zip")


def test_gzip_of_several_streams_is_read_whole(tmp_path: Path) -> None:
    content = GOOD.encode()
    (tmp_path / "s.csv.gz").write_bytes(gzip.compress(content[:40]) + gzip.compress(content[40:]))
    assert read(tmp_path / "s.csv.gz")["RankOrder"].tolist() == [3, 1, 2, 4]


def test_ids_far_apart_are_found_too(tmp_path: Path) -> None:
    ids = np.array([-(2**62), 5, 2**62])
    text = f"EventId,score\n{2**62},3\n{-(2**62)},1\n5,2\n"
    columns = {"EventId": "int64", "score": "float64"}
    assert read(write(tmp_path, text), columns, ids)["score"].tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(InvalidSubmission, match="row 1: EventId 7 is not among the test rows"):
        read(write(tmp_path, text.replace(str(2**62), "7", 1)), columns, ids)


def test_a_wrong_request_is_the_callers_error(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    with pytest.raises(ValueError, match="column types must be of"):
        read_prediction_file(file, {"EventId": "int64", "x": "int8"}, "EventId", IDS)
    with pytest.raises(ValueError, match="must be one of the columns"):
        read_prediction_file(file, COLUMNS, "Id", IDS)
    with pytest.raises(ValueError, match="one-dimensional integer array"):
        read_prediction_file(file, COLUMNS, "EventId", IDS.astype(float))


NASTY = st.text(st.sampled_from('0123456789,sb"\n\r -+.:/\x00é;'), max_size=40)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(text=NASTY, position=st.integers(0, len(GOOD)), cut=st.integers(0, 6))
def test_shortcut_never_disagrees_with_the_general_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, position: int, cut: int
) -> None:
    file = write(tmp_path, GOOD[:position] + text + GOOD[position + cut :])

    def outcome() -> object:
        try:
            return {name: values.tolist() for name, values in read(file).items()}
        except InvalidSubmission as error:
            return str(error)

    quick = outcome()
    with monkeypatch.context() as patch:
        patch.setattr(prediction_file, "_shortcut", lambda *arguments: None)
        assert outcome() == quick


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(n=st.integers(1, 3000), first=st.integers(0, 10**7), seed=st.integers(0, 99), shuffled=st.booleans())
def test_what_was_written_is_read_back(tmp_path: Path, n: int, first: int, seed: int, shuffled: bool) -> None:
    rng = np.random.default_rng(seed)
    ids = first + rng.permutation(2 * n)[:n]
    if not shuffled:
        ids = np.sort(ids)
    frame = pd.DataFrame(
        {"EventId": ids, "RankOrder": rng.integers(0, 10**7, n), "Class": rng.choice(["s", "b"], n)}
    )
    frame.sample(frac=1.0, random_state=seed).to_csv(tmp_path / "s.csv", index=False) if shuffled else (
        frame.to_csv(tmp_path / "s.csv", index=False)
    )
    found = read(tmp_path / "s.csv", ids=ids)
    for column in COLUMNS:
        assert found[column].tolist() == frame[column].tolist()

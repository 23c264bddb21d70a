"""Intake of predictions per hit: any format and order of rows; a refusal names row, event and hit."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.run import event_predictions
from hepchallenge.run.event_predictions import EventPredictions, read_event_predictions

COLUMNS = {"event_id": "int64", "hit_id": "int64", "track_id": "int64"}
EVENTS = np.array([7, 3])
HITS = [np.array([1, 2, 3]), np.array([10, 40, 20])]
GOOD = "event_id,hit_id,track_id\n7,1,0\n7,2,5\n7,3,0\n3,10,1\n3,40,2\n3,20,9223372036854775807\n"
VALUES = [[0, 5, 0], [1, 2, 2**63 - 1]]


def read(file: Path, events: np.ndarray = EVENTS, hits: list[np.ndarray] = HITS) -> EventPredictions:
    return read_event_predictions(file, COLUMNS, "event_id", "hit_id", events, hits.__getitem__, file.parent)


def write(folder: Path, text: str, name: str = "submission.csv") -> Path:
    """Write the same content in the format that the name says."""
    file = folder / name
    if name.endswith(".gz"):
        file.write_bytes(gzip.compress(text.encode()))
    elif name.endswith(".zip"):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("submission.csv", text)
    elif name.endswith(".parquet"):
        rows = [[int(cell) for cell in line.split(",")] for line in text.splitlines()[1:]]
        pd.DataFrame(rows, columns=text.splitlines()[0].split(",")).to_parquet(file, index=False)
    else:
        file.write_bytes(text.encode())
    return file


def lists(found: EventPredictions) -> list[list[int]]:
    return [values.tolist() for values in found]


FORMATS = ["s.csv", "s.csv.gz", "s.csv.zip", "s.parquet"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_values_in_the_order_of_the_hits(tmp_path: Path, name: str) -> None:
    found = read(write(tmp_path, GOOD, name))
    assert lists(found) == VALUES
    assert found[-1].dtype == np.int64
    assert [values.tolist() for values in found[1:]] == VALUES[1:]


def test_nothing_is_left_on_disk_whether_it_was_read_or_refused(tmp_path: Path) -> None:
    open_before = len(os.listdir("/proc/self/fd"))
    found = read(write(tmp_path, GOOD))
    with pytest.raises(InvalidSubmission):
        read(write(tmp_path, GOOD + "8,1,1\n", "bad.csv"))
    assert sorted(os.listdir(tmp_path)) == ["bad.csv", "submission.csv"]
    found.close()
    assert len(os.listdir("/proc/self/fd")) == open_before


@pytest.mark.parametrize(
    "text",
    [
        GOOD.rstrip("\n"),
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        GOOD.replace("event_id,hit_id,track_id", '"event_id","hit_id","track_id"'),
        GOOD.replace("7,2,5", "7, 2, 5"),
        GOOD.replace("7,2,5\n", "7,2,5\n\n"),
    ],
    ids=["no-last-newline", "crlf", "byte-order-mark", "quoted", "blanks", "empty-line"],
)
def test_ordinary_variants_of_csv_are_read(tmp_path: Path, text: str) -> None:
    assert lists(read(write(tmp_path, text))) == VALUES


def test_columns_may_come_in_another_order(tmp_path: Path) -> None:
    lines = [",".join(reversed(line.split(","))) for line in GOOD.splitlines()]
    assert lists(read(write(tmp_path, "\n".join(lines)))) == VALUES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found an empty file"),
        ("\n", "found an empty line"),
        (GOOD.replace("track_id", "track"), "the column 'track_id' is missing"),
        (GOOD.replace("track_id\n", "track_id,x\n"), "unexpected column 'x'"),
        (GOOD.replace("track_id", "track_id,track_id"), "the column 'track_id' is there 2 times"),
        (GOOD.splitlines()[0], r"event_id 7, hit_id 1 is missing: expected 6 rows, found 0"),
        (GOOD.replace("3,40,2\n", ""), r"event_id 3, hit_id 40 is missing: expected 6 rows, found 5"),
        (GOOD + "7,4,1\n", r"row 7 \(event_id 7, hit_id 4\): there is no such hit_id in this event"),
        (GOOD.replace("3,40", "3,41"), r"row 5 \(event_id 3, hit_id 41\): there is no such hit_id"),
        (GOOD.replace("7,1,", f"7,{-(2**63)},"), r"row 1 .* there is no such hit_id in this event"),
        (GOOD.replace("7,3", "8,3"), r"row 3 \(event_id 8, hit_id 3\): there is no such event_id among"),
        (GOOD.replace("7,3", "7,2"), r"row 3 \(event_id 7, hit_id 2\): this hit_id was there before"),
        (GOOD + "7,2,5\n", r"row 7 \(event_id 7, hit_id 2\): this hit_id was there before"),
        (GOOD.replace("7,2,5", "7,2,-1"), r"row 2 \(event_id 7, hit_id 2\): .* from 0, found -1"),
        (GOOD.replace("7,2,5", "7,2,5.0"), r"row 2 \(event_id 7, hit_id 2\): track_id: .* '5.0'"),
        (GOOD.replace("7,2,5", "7,2,nan"), r"row 2 .* expected a 64-bit integer, found 'nan'"),
        (GOOD.replace("7,2,5", "7,2,"), r"row 2 .* expected a 64-bit integer, found ''"),
        (GOOD.replace("9223372036854775807", "9223372036854775808"), r"row 6 .*'9223372036854775808'"),
        (GOOD.replace("7,2,5", "7,2"), r"row 2: expected 3 values, found 2"),
        (GOOD.replace("7,2,5", "7,2,5,5"), r"row 2: expected 3 values, found 4"),
        (GOOD.replace("\n", "\r" * 70_000), "unpacks to more than|at most"),
        (GOOD + "7," + " " * 70_000, "at most"),
    ],
)
def test_every_fault_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidSubmission, match=message):
        read(write(tmp_path, text))


def test_rows_are_counted_over_all_pieces_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_predictions, "_BLOCK", 40)
    monkeypatch.setattr(event_predictions, "_ROWS", 2)
    for name in FORMATS:
        assert lists(read(write(tmp_path, GOOD, name))) == VALUES
        with pytest.raises(InvalidSubmission, match=r"row 5 \(event_id 3, hit_id 10\): .* was there before"):
            read(write(tmp_path, GOOD.replace("3,40", "3,10"), name))
    for bad, message in {"2.5": r"row 5 .*'2.5'", "2,2": "row 5: expected 3 values, found 4"}.items():
        with pytest.raises(InvalidSubmission, match=message):
            read(write(tmp_path, GOOD.replace("3,40,2", f"3,40,{bad}")))


@pytest.mark.parametrize(
    ("track", "message"),
    [
        (pd.array([0, 5, None, 1, 2, 3], dtype="Int64"), "row 3: track_id: expected a value, found none"),
        ([0.0, 5, 0, 1, 2, 3], "track_id: expected int64, found the type double"),
        (np.array([0, 5, 0, 1, 2, 2**63], np.uint64), "9223372036854775808"),
    ],
)
def test_every_fault_of_a_parquet_column_is_named(tmp_path: Path, track: object, message: str) -> None:
    events, hits = np.repeat(EVENTS, 3), np.concatenate(HITS)
    frame = pd.DataFrame({"event_id": events, "hit_id": hits, "track_id": track})
    frame.to_parquet(tmp_path / "s.parquet", index=False)
    with pytest.raises(InvalidSubmission, match=message):
        read(tmp_path / "s.parquet")
    with pytest.raises(InvalidSubmission, match="expected 6 rows, found 5"):
        read(write(tmp_path, GOOD.replace("3,40,2\n", ""), "s.parquet"))


@pytest.mark.parametrize("name", ["bomb.csv.gz", "bomb.csv.zip"])
def test_decompression_bombs_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidSubmission, match="unpacks to more than"):
        read(write(tmp_path, GOOD + "\n" * 20_000_000, name))


def test_a_zip_compressed_in_a_way_that_cannot_be_bounded_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.csv.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("s.csv", GOOD)
    with pytest.raises(InvalidSubmission, match="compressed with deflate"):
        read(tmp_path / "s.csv.zip")


def test_links_pipes_and_other_names_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(write(tmp_path, GOOD, "real.csv"))
    os.mkfifo(tmp_path / "pipe.csv")
    for name, message in {"link.csv": "symbolic link", "pipe.csv": "regular", "s.json": "ending"}.items():
        with pytest.raises(InvalidSubmission, match=message):
            read(tmp_path / name)


def test_a_wrong_request_is_the_callers_error(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    with pytest.raises(ValueError, match="three int64 columns"):
        read_event_predictions(
            file, {"hit_id": "int64"}, "event_id", "hit_id", EVENTS, HITS.__getitem__, tmp_path
        )
    with pytest.raises(ValueError, match="comes twice"):
        read(file, np.array([7, 7]))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data(), dense=st.booleans(), seed=st.integers(0, 99), name=st.sampled_from(FORMATS))
def test_any_order_of_rows_gives_the_same_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject, dense: bool, seed: int, name: str
) -> None:
    monkeypatch.setattr(event_predictions, "_BLOCK", data.draw(st.sampled_from([100, 1 << 20])))
    rng = np.random.default_rng(seed)
    sizes = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(any))
    events = rng.permutation(1000)[: len(sizes)]
    hits = [1 + np.arange(n) if dense else rng.permutation(3 * n)[:n] - n for n in sizes]
    tracks = [rng.integers(0, 2**62, n) for n in sizes]
    frame = pd.DataFrame(
        {
            "event_id": np.repeat(events, sizes),
            "hit_id": np.concatenate(hits),
            "track_id": np.concatenate(tracks),
        }
    )
    text = frame.sample(frac=1.0, random_state=seed).to_csv(index=False)
    assert lists(read(write(tmp_path, text, name), events, hits)) == [t.tolist() for t in tracks]


NASTY = st.text(st.sampled_from('0123456789,"\n\r -+.:/\x00é;x'), max_size=12)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(text=NASTY, position=st.integers(0, len(GOOD)), cut=st.integers(0, 6), block=st.integers(20, 200))
def test_whatever_is_written_into_a_file_it_is_read_whole_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, position: int, cut: int, block: int
) -> None:
    monkeypatch.setattr(event_predictions, "_BLOCK", block)
    try:
        found = lists(read(write(tmp_path, GOOD[:position] + text + GOOD[position + cut :])))
    except InvalidSubmission:
        return
    assert [len(values) for values in found] == [3, 3]
    assert min(map(min, found)) >= 0


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    name=st.sampled_from(FORMATS[1:]), position=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255)
)
def test_a_damaged_archive_is_read_whole_or_refused(
    tmp_path: Path, name: str, position: float, byte: int
) -> None:
    file = write(tmp_path, GOOD, name)
    content = bytearray(file.read_bytes())
    content[int(position * len(content))] = byte
    for damaged in (bytes(content), bytes(content[: int(position * len(content))])):
        file.write_bytes(damaged)
        try:
            found = lists(read(file))
        except InvalidSubmission:
            continue
        assert [len(values) for values in found] == [3, 3]

"""Published events are read in every form in which they are given away, and every fault is named."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_events import make_detectors, make_event

from hepchallenge.challenges.trackml import published as pub
from hepchallenge.exceptions import DataError

PARTS = ("hits", "cells", "particles", "truth")


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def as_folder(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target / "a" / "train_100_events")).parent


def as_gz(folder: Path, target: Path) -> Path:
    target.mkdir()
    for file in folder.iterdir():
        (target / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    return target


def as_zip(folder: Path, target: Path) -> Path:
    target.mkdir()
    with zipfile.ZipFile(target / "train_sample.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.glob("event*")):
            archive.write(file, f"train_100_events/{file.name}")
        archive.writestr("__MACOSX/event000001000-hits.csv", "not an event")
    with zipfile.ZipFile(target / "detectors.zip", "w") as archive:
        archive.write(folder / "detectors.csv", "detectors.csv")
    return target


def as_zip_in_zip(folder: Path, target: Path) -> Path:
    inner = as_zip(folder, target)
    with zipfile.ZipFile(target / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(inner.glob("*.zip")):
            if file.name != "all.zip":
                archive.write(file, file.name)
                file.unlink()
    return target


def as_tar(folder: Path, target: Path) -> Path:
    target.mkdir()
    with tarfile.open(target / "training_part01.tar", "w") as archive:
        archive.add(folder, "part01")
    return target


@pytest.mark.parametrize("pack", [as_folder, as_gz, as_zip, as_zip_in_zip, as_tar])
def test_every_form_gives_the_same_events(
    published: Path, tmp_path: Path, pack: Callable[[Path, Path], Path]
) -> None:
    place = pack(published, tmp_path / "packed")
    events = list(pub.load_dataset(place))
    assert [event[0] for event in events] == list(range(1000, 1008))
    for event_id, *frames in events:
        for name, frame in zip(PARTS, frames, strict=True):
            same(frame, make_event(event_id)[name])
    same(pub.load_detectors(place), make_detectors())


def test_an_archive_alone_is_a_data_set(published: Path, tmp_path: Path) -> None:
    place = as_zip(published, tmp_path / "packed")
    events = list(pub.load_dataset(place / "train_sample.zip", skip=2, nevents=3, parts=["truth", "hits"]))
    assert [(event_id, len(truth.columns), len(hits.columns)) for event_id, truth, hits in events] == [
        (1002, 9, 7),
        (1003, 9, 7),
        (1004, 9, 7),
    ]
    same(pub.load_detectors(place / "detectors.zip"), make_detectors())


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("compress", [True, False])
def test_what_was_written_is_loaded_by_its_prefix(tmp_path: Path, typed: bool, compress: bool) -> None:
    event = make_event(5, typed=typed)
    files = pub.write_event(tmp_path / "new", 17, **event, compress=compress)
    assert [file.name.partition(".")[0] for file in files] == [f"event000000017-{name}" for name in PARTS]
    for name, frame in zip(PARTS, pub.load_event(tmp_path / "new" / "event000000017"), strict=True):
        same(frame, event[name])
    (hits,) = pub.load_event(str(tmp_path / "new" / "event000000017"), parts=["hits"])
    assert hits.dtypes.astype(str).tolist() == ["int32", *["float32"] * 3, *["int32"] * 3]


def test_the_written_format_is_the_published_one(tmp_path: Path) -> None:
    files = pub.write_event(tmp_path, 3, make_event(1)["hits"].head(1), compress=True)
    text = gzip.decompress(files[0].read_bytes()).decode()
    assert text.splitlines()[0] == "hit_id,x,y,z,volume_id,layer_id,module_id"
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["event000000003-hits.csv.gz"]
    # Neither the time nor a name of the moment, so that the same event gives the same file.
    assert files[0].read_bytes()[3:8] == bytes(5)
    same(
        pd.read_csv(io.StringIO(text), dtype=make_event(1)["hits"].dtypes.to_dict()),
        make_event(1)["hits"].head(1),
    )


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(values=st.lists(FLOATS, min_size=1, max_size=20))
def test_every_float_is_read_back_exactly(tmp_path: Path, values: list[float]) -> None:
    hits = make_event(2, len(values))["hits"].assign(x=np.array(values, "f4"))
    pub.write_event(tmp_path, 1, hits)
    same(pub.load_event(tmp_path / "event000000001", ["hits"])[0], hits)


def test_an_event_without_cells_rows_or_particles_is_fine(tmp_path: Path) -> None:
    event = make_event(1)
    event["cells"], event["particles"] = event["cells"].head(0), event["particles"].head(0)
    pub.write_event(tmp_path, 1, **event)
    found = pub.load_event(tmp_path / "event000000001")
    assert [len(frame) for frame in found] == [6, 0, 0, 6]
    assert found[1].dtypes.astype(str).tolist() == ["int32"] * 3 + ["float32"]


def edit(folder: Path, part: str, change: Callable[[str], str]) -> None:
    file = folder / f"event000001003-{part}.csv"
    file.write_text(change(file.read_text()))


def set_cell(row: int, column: int, text: str) -> Callable[[str], str]:
    """Replace a cell, counted from 1 below the header."""

    def change(content: str) -> str:
        lines = [line.split(",") for line in content.splitlines()]
        lines[row][column] = text
        return "\n".join(",".join(line) for line in lines) + "\n"

    return change


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        (
            "hits",
            lambda text: text.replace("volume_id", "volume"),
            r"-hits.csv: column volume_id: expected it",
        ),
        ("hits", set_cell(2, 1, "abc"), r"-hits.csv: column x, row 2: expected a number, found 'abc'"),
        ("hits", set_cell(3, 0, "1.5"), r"column hit_id, row 3: expected a whole number, found '1.5'"),
        ("hits", set_cell(3, 0, "3000000000"), r"column hit_id, row 3: .*'3000000000'"),
        ("hits", set_cell(2, 3, "nan"), r"column z, row 2: expected a finite number, found nan"),
        ("hits", set_cell(2, 3, "1e40"), r"column z, row 2: expected a finite number, found inf"),
        (
            "hits",
            lambda text: text.splitlines()[0] + "\n",
            r"-hits.csv: rows: expected at least one, found none",
        ),
        (
            "hits",
            lambda text: text + text.splitlines()[1] + "\n",
            r"column hit_id, row 7: .* every value once",
        ),
        ("cells", set_cell(5, 0, "999"), r"-cells.csv: column hit_id, row 5: .* one of the hits, found 999"),
        ("truth", set_cell(4, 0, "999"), r"-truth.csv: column hit_id, row 4: .* one of the hits, found 999"),
        (
            "truth",
            lambda text: text[: text.rindex("\n", 0, -1) + 1],
            r"-truth.csv: .* a row for hit \d+, found none",
        ),
        ("truth", set_cell(4, 8, "-0.1"), r"column weight, row 4: expected a weight from 0, found -0.1"),
        ("particles", set_cell(2, 0, "4503668346847232"), r"column particle_id, row 2: .*every value once"),
    ],
)
def test_every_fault_of_a_file_is_named(
    published: Path, part: str, change: Callable[[str], str], message: str
) -> None:
    edit(published, part, change)
    with pytest.raises(DataError, match=f"event000001003{message}" if message[0] == "-" else message):
        list(map(pub.read_event, pub.find_events(published)))


def test_a_missing_or_doubled_file_is_named(published: Path) -> None:
    (published / "event000001003-truth.csv").unlink()
    with pytest.raises(DataError, match=r"event000001003-truth.csv: .* plain or gzipped .* no such file"):
        pub.load_event(published / "event000001003")
    with pytest.raises(
        DataError, match=r"event000001003-truth.csv: .* found only .*event000001003-cells.csv"
    ):
        list(pub.load_dataset(published))
    shutil.copy(published / "event000001001-hits.csv", published / "event000001001-hits.csv.gz")
    with pytest.raises(DataError, match="found both"):
        pub.load_event(published / "event000001001")
    with pytest.raises(DataError, match="the hits of event 1001 once"):
        pub.find_events(published)


@pytest.mark.parametrize("offset", [0, 7, 512])
def test_a_tar_that_is_cut_off_before_a_member_is_not_one_that_ends_there(
    published: Path, tmp_path: Path, offset: int
) -> None:
    (file,) = as_tar(published, tmp_path / "packed").iterdir()
    with tarfile.open(file) as archive:
        member = archive.getmembers()[-4]
    file.write_bytes(file.read_bytes()[: member.offset + offset])
    with pytest.raises(DataError, match=r"\.tar.*cut off or damaged"):
        list(pub.load_dataset(file.parent))


@pytest.mark.parametrize("pack", [as_gz, as_zip, as_tar])
def test_damaged_archives_are_named(
    published: Path, tmp_path: Path, pack: Callable[[Path, Path], Path]
) -> None:
    place = pack(published, tmp_path / "packed")
    for file in place.iterdir():
        if "1003-hits" in file.name or file.suffix in (".zip", ".tar"):
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 + 7])
    with pytest.raises(DataError, match=r"(1003-hits|\.zip|\.tar).*cut off or damaged"):
        list(pub.load_dataset(place))


def test_an_event_in_several_places_is_read_once_where_its_truth_is(published: Path, tmp_path: Path) -> None:
    test = tmp_path / "published" / "a_test"
    test.mkdir()
    shutil.copy(published / "event000001000-hits.csv", test)
    (event, *_) = pub.find_events(published)
    assert event.event_id == 1000
    assert event.files["hits"].path.parent == published
    assert len(pub.find_events(published)) == 8


def test_the_nearest_detector_file_is_used_and_checked(published: Path) -> None:
    (published / "deep").mkdir()
    make_detectors().head(1).to_csv(published / "deep" / "detectors.csv")
    assert len(pub.load_detectors(published)) == 3
    # A nameless column of row numbers, as in some copies, is left out.
    same(pub.load_detectors(published / "deep"), make_detectors().head(1))
    doubled = make_detectors()
    doubled.loc[2, ["volume_id", "layer_id"]] = [7, 2]
    with pytest.raises(DataError, match=r"row 3: expected every module once, found \(7, 2, 1\) again"):
        pub.write_detectors(published / "new.csv", doubled)


def test_the_real_events_are_read(real: Path) -> None:
    (event,) = pub.load_dataset(real / "event000000001")
    assert (event[0], [len(frame) for frame in event[1:]]) == (1, [5527, 18564, 548, 5527])
    assert event[3]["particle_type"].iloc[0] == -211
    assert float(event[4]["weight"].sum()) == pytest.approx(0.0513, abs=5e-5)
    counts = [
        (e, len(h), len(p))
        for e, h, p in pub.load_dataset(real / "kaggle_train", parts=["hits", "particles"])
    ]
    assert counts == [(1001, 93680, 8915), (1039, 88221, 8343)]
    detectors = pub.load_detectors(real)
    assert len(detectors) == 18728
    same(pub.load_detectors(real / "event000000001"), detectors)


def test_frames_are_what_pandas_reads_with_the_types_of_trackml_library(real: Path) -> None:
    types = {"hits": "i4 f4 f4 f4 i4 i4 i4", "cells": "i4 i4 i4 f4", "truth": "i4 i8 f4 f4 f4 f4 f4 f4 f4"}
    types["particles"] = "i8 i4 f4 f4 f4 f4 f4 f4 i4 i4"
    prefix = real / "event000000001" / "event000000001"
    for name, ours in zip(PARTS, pub.load_event(prefix), strict=True):
        file = f"{prefix}-{name}.csv.gz"
        dtype = dict(zip(pd.read_csv(file, nrows=1).columns, types[name].split(), strict=True))
        # Decimal text becomes the nearest float32 at once here, there by way of a float64.
        pd.testing.assert_frame_equal(ours, pd.read_csv(file, index_col=False, dtype=dtype), rtol=1.3e-7)


def test_frames_are_those_of_trackml_library(real: Path) -> None:
    library = pytest.importorskip("trackml.dataset", reason="trackml-library (GitHub only) is not installed")
    ours = pub.load_event(real / "event000000001" / "event000000001")
    theirs = library.load_event(str(real / "event000000001" / "event000000001"))
    for found, expected in zip(ours, theirs, strict=True):
        pd.testing.assert_frame_equal(found, expected, rtol=1.3e-7)

"""A stranger's archive is unpacked piece by piece, whole, and never beyond its cap."""

from __future__ import annotations

import gzip
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.run.untrusted import open_regular, unpacked

CONTENT = random.Random(1).randbytes(3_000) + b"0" * 100_000 + random.Random(2).randbytes(3_000)


def write(folder: Path, suffix: str) -> Path:
    file = folder / f"s{suffix}"
    if suffix == ".csv.gz":
        file.write_bytes(gzip.compress(CONTENT[:50_000]) + bytes(10) + gzip.compress(CONTENT[50_000:]))
    elif suffix == ".csv.zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("s.csv", CONTENT)
    else:
        file.write_bytes(CONTENT)
    return file


def read(file: Path, suffix: str, size: int, cap: int = 10**6) -> list[bytes]:
    with open_regular(file, cap) as regular, unpacked(regular, suffix, cap) as stream:
        return list(iter(lambda: stream.read(size), b""))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(suffix=st.sampled_from([".csv", ".csv.gz", ".csv.zip"]), size=st.integers(50, 200_000))
def test_pieces_are_as_small_as_asked_for_and_none_is_lost(tmp_path: Path, suffix: str, size: int) -> None:
    pieces = read(write(tmp_path, suffix), suffix, size)
    assert b"".join(pieces) == CONTENT
    assert max(map(len, pieces)) <= size


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.zip"])
@pytest.mark.parametrize("size", [100, 10**6])
def test_not_one_byte_more_than_the_cap_comes_out(tmp_path: Path, suffix: str, size: int) -> None:
    file = write(tmp_path, suffix)
    assert b"".join(read(file, suffix, size, len(CONTENT))) == CONTENT
    with pytest.raises(InvalidSubmission, match=f"unpacks to more than {len(CONTENT) - 1} bytes"):
        read(file, suffix, size, len(CONTENT) - 1)


@pytest.mark.parametrize("lost", [1, 8, 9, 1000])
def test_a_gzip_file_that_was_cut_is_refused_even_if_all_its_text_came_out(tmp_path: Path, lost: int) -> None:
    file = write(tmp_path, ".csv.gz")
    file.write_bytes(file.read_bytes()[:-lost])
    with pytest.raises(InvalidSubmission, match="the gzip data are truncated"):
        read(file, ".csv.gz", 1000)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, ".csv")
    for change in (lambda: file.write_bytes(CONTENT + b"more"), lambda: file.write_bytes(CONTENT[:200])):
        file.write_bytes(CONTENT)
        with open_regular(file, 10**6) as regular:
            regular.read(100)
            change()
            with pytest.raises(InvalidSubmission, match="changed while it was read"):
                list(iter(lambda: regular.read(10**5), b""))

"""An archive is the folder that was packed, or is refused by the member that is wrong; none is executed."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.stage import archive, submission
from hepchallenge.stage.submission import TakenIn, take_in

CODE = b"raise SystemExit('a submission was executed')\n"
FILES = {"classifier.py": CODE, "deep/er/weights.npy": b"123"}


@pytest.fixture
def take(tmp_path: Path) -> Callable[..., TakenIn]:
    def take(source: Path, predictions: bool = False) -> TakenIn:
        try:
            return take_in(source, tmp_path / "store", ["classifier"], predictions)
        finally:
            assert not list((tmp_path / "store").glob(".incoming-*")), "a copy in progress was left behind"
            assert sorted(path.name for path in tmp_path.iterdir() if path.name != "store") == sorted(before)

    before = [path.name for path in tmp_path.iterdir()]
    original = take

    def noting(source: Path, predictions: bool = False) -> TakenIn:
        # Nothing may appear beside the store.
        before[:] = [path.name for path in tmp_path.iterdir() if path.name != "store"]
        return original(source, predictions)

    return noting


Take = Callable[..., TakenIn]


def tar_bytes(*members: tuple[str, bytes | None], **facts: object) -> bytes:
    """Return a tar archive; a member without content gets the given facts instead."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                for key, value in facts.items():
                    setattr(info, key, value)
                tar.addfile(info, io.BytesIO(bytes(info.size)))
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_bytes(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return buffer.getvalue()


def packed(ending: str, files: dict[str, bytes]) -> bytes:
    if ending == ".zip":
        return zip_bytes(*files.items())
    content = tar_bytes(*files.items())
    return content if ending == ".tar" else gzip.compress(content)


@pytest.mark.parametrize("prefix", ["", "./", "mine/"], ids=["flat", "dot", "one folder"])
@pytest.mark.parametrize("ending", archive.ARCHIVES)
def test_an_archive_is_the_submission_that_was_packed(
    take: Take, tmp_path: Path, ending: str, prefix: str
) -> None:
    for name, content in FILES.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    source = tmp_path / f"mine v1.2{ending}"
    noise = {"__MACOSX/._x": b"", f"{prefix}.DS_Store": b"", f"{prefix}__pycache__/classifier.pyc": b""}
    source.write_bytes(packed(ending, {prefix + name: content for name, content in FILES.items()} | noise))
    taken = take(source)
    assert taken.record.name == "mine v1.2"
    assert taken.record.digest == take(tmp_path / "folder").record.digest
    assert (taken.folder / "deep/er/weights.npy").read_bytes() == b"123"


def test_an_archive_made_by_a_program_is_taken(take: Take, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "classifier.py").write_bytes(CODE)
    (folder / "Ünï.txt").write_text("ü")
    digest = take(folder).record.digest
    for kind, ending in (("zip", "zip"), ("tar", "tar"), ("gztar", "tar.gz")):
        shutil.make_archive(str(tmp_path / kind), kind, tmp_path, "mine")
        assert take(tmp_path / f"{kind}.{ending}").record.digest == digest


def test_owner_mode_and_time_are_not_taken_over(take: Take, tmp_path: Path) -> None:
    source = tmp_path / "mine.tar"
    facts = {"mode": 0o6777, "uid": 12345, "gid": 12345, "mtime": 1, "size": 3}
    source.write_bytes(tar_bytes(("classifier.py", None), **facts))
    found = (take(source).folder / "classifier.py").stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_mtime > 1e9) == (0o444, os.getuid(), True)


def test_an_archive_in_an_archive_stays_packed(take: Take, tmp_path: Path) -> None:
    source = tmp_path / "mine.zip"
    inner = packed(".zip", {"../evil.py": b""})
    source.write_bytes(packed(".zip", FILES | {"inner.zip": inner}))
    assert (take(source).folder / "inner.zip").read_bytes() == inner


BAD_NAMES = {
    "/etc/cron.d/evil": "absolute paths",
    "../evil.py": "lead upward",
    "deep/../../evil.py": "lead upward",
    "..": "lead upward",
    "C:/evil.py": "drive letters",
    "c:evil.py": "drive letters",
    "deep\\evil.py": "backslashes",
    "a//b": "a plain path",
    "a/./b": "a plain path",
    "a\nb": "without control characters",
    "a\x1b[2Jb": "without control characters",
    "x" * 256: "file names are",
    "d/" * 17 + "x": "nested more than 16 deep",
    "/".join(["x" * 200] * 6): "more than 1000 bytes",
}


@pytest.mark.parametrize("ending", archive.ARCHIVES[:3])
@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: ascii(name)[:20])
def test_a_name_that_leads_elsewhere_is_refused(take: Take, tmp_path: Path, name: str, ending: str) -> None:
    source = tmp_path / f"mine{ending}"
    source.write_bytes(packed(ending, FILES | {name: b"evil"}))
    with pytest.raises(InvalidSubmission, match=BAD_NAMES[name]) as caught:
        take(source)
    assert str(caught.value).isprintable()


CLASHES = {
    ("Classifier.py",): "differ in case only",
    ("straße", "STRASSE"): "differ in case only",
    ("é", "e\u0301"): "differ in the form of equal characters only",
    ("ﬁt", "fit"): "differ in case only",
    ("DEEP/x",): "differ in case only",
    ("classifier.py/x",): "both a file and a folder",
    ("deep",): "both a file and a folder",
}


@pytest.mark.parametrize("ending", [".zip", ".tar"])
@pytest.mark.parametrize("names", CLASHES, ids=ascii)
def test_names_that_some_file_system_takes_for_one_are_refused(
    take: Take, tmp_path: Path, names: tuple[str, ...], ending: str
) -> None:
    source = tmp_path / f"mine{ending}"
    source.write_bytes(packed(ending, FILES | dict.fromkeys(names, b"")))
    with pytest.raises(InvalidSubmission, match=CLASHES[names]):
        take(source)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(take: Take, tmp_path: Path) -> None:
    twice = [("classifier.py", CODE), ("classifier.py", b"other")]
    for ending, content in ((".zip", zip_bytes(*twice)), (".tar", tar_bytes(*twice))):
        source = tmp_path / f"mine{ending}"
        source.write_bytes(content)
        with pytest.raises(InvalidSubmission, match=r"classifier\.py: is there twice"):
            take(source)


KINDS = {
    tarfile.SYMTYPE: "a link",
    tarfile.LNKTYPE: "a link",
    tarfile.FIFOTYPE: "a fifo",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    b"Z": "a special one",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_special_member_of_a_tar_file_is_refused(take: Take, tmp_path: Path, kind: bytes) -> None:
    source = tmp_path / "mine.tar"
    source.write_bytes(tar_bytes(*FILES.items(), ("evil", None), type=kind, linkname="/etc/passwd"))
    with pytest.raises(InvalidSubmission, match=f"'evil': expected a plain file, found {KINDS[kind]}"):
        take(source)


def test_a_sparse_member_of_a_tar_file_is_refused(take: Take, tmp_path: Path) -> None:
    source = tmp_path / "mine.tar"
    headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 40)}
    source.write_bytes(tar_bytes(*FILES.items(), ("evil", None), size=1, pax_headers=headers))
    with pytest.raises(InvalidSubmission, match="evil': expected a plain file, found a sparse one"):
        take(source)


@pytest.mark.parametrize("kind", [0o120777, 0o010644, 0o020644, 0o060644, 0o140644])
def test_a_special_member_of_a_zip_file_is_refused(take: Take, tmp_path: Path, kind: int) -> None:
    evil = zipfile.ZipInfo("evil")
    evil.external_attr = kind << 16
    source = tmp_path / "mine.zip"
    source.write_bytes(zip_bytes(*FILES.items(), (evil, b"/etc/passwd")))
    with pytest.raises(InvalidSubmission, match="'evil': expected a plain file, found a"):
        take(source)


def _patched(content: bytes, what: bytes, offset: int, value: bytes) -> bytes:
    """Return a zip file with bytes changed at an offset behind every signature."""
    out, place = bytearray(content), content.find(what)
    while place >= 0:
        out[place + offset : place + offset + len(value)] = value
        place = content.find(what, place + 1)
    return bytes(out)


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
GOOD_ZIP = zip_bytes(*FILES.items())
GOOD_TAR = tar_bytes(*FILES.items())
DAMAGES = {
    "encrypted": ("zip", _patched(GOOD_ZIP, CENTRAL, 8, b"\x01\0"), "encrypted members"),
    "strange method": ("zip", _patched(GOOD_ZIP, CENTRAL, 10, b"\x0e\0"), "compressed by method 14"),
    "claims too much": ("zip", _patched(GOOD_ZIP, CENTRAL, 24, b"\xff\xff\xff\x7f"), "MiB allowed a file"),
    "claims too little": ("zip", _patched(GOOD_ZIP, CENTRAL, 24, b"\1\0\0\0"), "Bad CRC-32"),
    "claims many members": ("zip", _patched(GOOD_ZIP, END, 10, b"\xff\xff"), "more than 10000 members"),
    "claims a huge directory": ("zip", _patched(GOOD_ZIP, END, 12, b"\0\0\0\x7f"), "more than 10000 members"),
    "other local name": ("zip", _patched(GOOD_ZIP, LOCAL, 30, b"X"), "damaged"),
    "name with NUL": ("zip", GOOD_ZIP.replace(b"deep/er", b"deep\0er"), "without control characters"),
    "cut zip": ("zip", GOOD_ZIP[:-30], "truncated"),
    "no zip": ("zip", CODE, "truncated"),
    "empty zip": ("zip", b"", "truncated"),
    "zip of nothing": ("zip", zip_bytes(), "holds no file"),
    "cut content": ("tar", GOOD_TAR[:700], "damaged"),
    "cut header": ("tar", GOOD_TAR[:1100], "truncated"),
    "cut between members": ("tar", GOOD_TAR[:1024], "truncated"),
    "broken second header": ("tar", GOOD_TAR.replace(b"deep/er", b"DEEP/er"), "truncated, damaged"),
    "no tar": ("tar", CODE * 100, "damaged"),
    "empty tar": ("tar", b"", "damaged"),
    "tar of nothing": ("tar", tar_bytes(), "holds no file"),
    "cut gzip": ("tgz", gzip.compress(GOOD_TAR)[:-20], "damaged"),
    "no gzip": ("tgz", GOOD_TAR, "damaged"),
    "gzip of no tar": ("tgz", gzip.compress(CODE), "damaged"),
    "a huge header": ("tar", tar_bytes(("x", None), size=1, pax_headers={"a": "b" * (2 << 20)}), "a header"),
    "a header in another code": ("tar", tar_bytes(("classifier\udcff.py", CODE)), "file names are UTF-8"),
}


@pytest.mark.parametrize(("ending", "content", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_or_lying_archive_is_refused(
    take: Take, tmp_path: Path, ending: str, content: bytes, message: str
) -> None:
    source = tmp_path / f"mine.{ending}"
    source.write_bytes(content)
    with pytest.raises(InvalidSubmission, match=message) as caught:
        take(source)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
@pytest.mark.parametrize(
    ("limit", "message"), [("_MAX_FILE_BYTES", "a file"), ("_MAX_TOTAL_BYTES", "in all")]
)
def test_a_bomb_is_refused_before_it_fills_anything(
    take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, limit: str, message: str
) -> None:
    monkeypatch.setattr(submission, limit, 1 << 20)
    source = tmp_path / f"mine{ending}"
    source.write_bytes(packed(ending, FILES | {"a": bytes(600 << 10), "b": bytes(1200 << 10)}))
    with pytest.raises(InvalidSubmission, match=f"allowed {message}"):
        take(source)


def test_a_stream_that_never_ends_is_cut_off(
    take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "_MAX_TOTAL_BYTES", 1 << 20)
    monkeypatch.setattr(submission, "_MAX_ENTRIES", 10)
    source = tmp_path / "mine.tgz"
    source.write_bytes(gzip.compress(bytes(64 << 20)))
    with pytest.raises(InvalidSubmission, match="unpacks to more than the 1 MiB allowed"):
        take(source)


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_too_many_members_are_refused(
    take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    source = tmp_path / f"mine{ending}"
    source.write_bytes(packed(ending, {f"{number}/": b"" for number in range(4)} | FILES))
    assert take(source).record.kind == "code"
    monkeypatch.setattr(submission, "_MAX_ENTRIES", 5)
    with pytest.raises(InvalidSubmission, match="more than 5 members"):
        take(source)


def test_a_zip64_end_does_not_get_past_the_check_of_the_directory(take: Take, tmp_path: Path) -> None:
    end = GOOD_ZIP.index(END)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    source = tmp_path / "mine.zip"
    source.write_bytes(GOOD_ZIP[:end] + locator + GOOD_ZIP[end:])
    with pytest.raises(InvalidSubmission, match="Zip64"):
        take(source)


def test_an_archive_that_is_a_link_or_fifo_is_refused(take: Take, tmp_path: Path) -> None:
    (tmp_path / "real.zip").write_bytes(GOOD_ZIP)
    (tmp_path / "link.zip").symlink_to(tmp_path / "real.zip")
    os.mkfifo(tmp_path / "fifo.zip")
    for name in ("link.zip", "fifo.zip"):
        with pytest.raises(InvalidSubmission, match=f"{name}: expected a plain file"):
            take(tmp_path / name)


def test_a_zipped_table_is_a_prediction_file_and_no_archive(take: Take, tmp_path: Path) -> None:
    source = tmp_path / "mine.csv.zip"
    source.write_bytes(zip_bytes(("submission.csv", b"EventId\n1\n")))
    taken = take(source, predictions=True)
    assert (taken.record.name, taken.record.kind) == ("mine", "predictions")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["zip", "tar", "tgz"]),
    changes=st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=4)), max_size=4),
    cut=st.integers(0, 300),
)
def test_no_change_of_an_archive_does_worse_than_to_be_refused(
    tmp_path: Path, kind: str, changes: list[tuple[int, bytes]], cut: int
) -> None:
    content = bytearray(GOOD_ZIP if kind == "zip" else GOOD_TAR)
    for place, value in changes:
        place %= len(content)
        content[place : place + len(value)] = value
    whole = bytes(content[: len(content) - cut])
    source = tmp_path / f"mine.{kind}"
    source.write_bytes(gzip.compress(whole) if kind == "tgz" else whole)
    store = tmp_path / "store"
    refusal = ""
    try:
        taken = take_in(source, store, [], False)
    except InvalidSubmission as error:
        refusal = str(error)
    else:
        for path in taken.folder.rglob("*"):
            assert path.is_dir() or (path.is_file() and not path.is_symlink())
            assert path.resolve().is_relative_to(taken.folder.resolve())
    assert refusal.isprintable()
    assert {path.name for path in tmp_path.iterdir()} <= {
        source.name,
        "store",
        "mine.zip",
        "mine.tar",
        "mine.tgz",
    }

"""Submissions are copied as plain files, never executed, and known by names and contents only."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hepchallenge.exceptions import InvalidSubmission, UsageError
from hepchallenge.stage import submission
from hepchallenge.stage.submission import TakenIn, sweep_copies, take_in

CODE = "raise SystemExit('a submission was executed')\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A submission of one file, which must not be executed."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "classifier.py").write_text(CODE)
    return folder


@pytest.fixture
def take(tmp_path: Path) -> Callable[..., TakenIn]:
    def take(source: Path, elements: tuple[str, ...] = ("classifier",), predictions: bool = False) -> TakenIn:
        try:
            return take_in(source, tmp_path / "store", elements, predictions)
        finally:
            left = list((tmp_path / "store").glob(".incoming-*"))
            assert not left, "a copy in progress was left behind"

    return take


Take = Callable[..., TakenIn]


def test_a_folder_is_copied_read_only_under_its_digest(source: Path, take: Take) -> None:
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er" / "weights.npy").write_bytes(b"123")
    taken = take(source)
    assert (taken.record.name, taken.record.kind) == ("mine", "code")
    assert taken.folder.name == taken.record.digest
    assert (taken.folder / "classifier.py").read_text() == CODE
    assert (taken.folder / "deep/er/weights.npy").stat().st_mode & 0o777 == 0o444


def test_the_digest_knows_names_and_contents_only(source: Path, take: Take, tmp_path: Path) -> None:
    (source / "a.txt").write_text("1")
    (source / "b.txt").write_text("2")
    digest = take(source).record.digest

    other = tmp_path / "elsewhere" / "mine"
    other.mkdir(parents=True)
    for name in ("b.txt", "a.txt", "classifier.py"):
        shutil.copy(source / name, other / name)
        os.utime(other / name, (1, 1))
    (other / "__pycache__").mkdir()
    (other / "__pycache__" / "classifier.pyc").write_text("stale")
    os.chmod(other / "a.txt", 0o600)
    assert take(other).record.digest == digest

    (other / "b.txt").rename(other / "c.txt")
    renamed = take(other).record.digest
    (other / "c.txt").write_text("3")
    assert len({digest, renamed, take(other).record.digest}) == 3


def test_a_later_change_of_the_source_does_not_reach_the_copy(source: Path, take: Take) -> None:
    taken = take(source)
    (source / "classifier.py").write_text("other")
    assert (taken.folder / "classifier.py").read_text() == CODE


def link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def link_to_folder(path: Path) -> None:
    path.symlink_to("/etc")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    try:
        os.mknod(path, 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this user may not make devices")


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))


@pytest.mark.parametrize("make", [link, link_to_folder, fifo, device, bound_socket])
@pytest.mark.parametrize("name", ["extra.dat", "classifier.py"])
def test_what_is_no_plain_file_is_refused_by_name(
    source: Path, take: Take, make: Callable[[Path], None], name: str
) -> None:
    (source / name).unlink(missing_ok=True)
    make(source / name)
    with pytest.raises(InvalidSubmission, match=f"^{name}: (links are not|expected a plain file)"):
        take(source)


def test_a_prediction_file_that_is_a_link_is_refused(take: Take, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").symlink_to("/etc/hostname")
    with pytest.raises(InvalidSubmission, match=r"mine\.csv: expected a plain file"):
        take(tmp_path / "mine.csv", predictions=True)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "a\\b", "a\x7f", b"a\xff\xfe", "a\x85b"], ids=ascii)
def test_a_file_name_that_would_confuse_readers_is_refused(
    source: Path, take: Take, name: str | bytes
) -> None:
    with open(os.path.join(os.fsencode(source), os.fsencode(name)), "w"):
        pass
    with pytest.raises(InvalidSubmission, match="file names are UTF-8 without control") as caught:
        take(source)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["a\nb", b"a\xff", "x" * 101], ids=["newline", "not UTF-8", "long"])
def test_a_folder_name_that_cannot_be_shown_is_refused(take: Take, tmp_path: Path, name: str | bytes) -> None:
    folder = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), os.fsencode(name))))
    folder.mkdir()
    (folder / "classifier.py").write_text(CODE)
    with pytest.raises(InvalidSubmission, match="folder name"):
        take(folder)


def test_names_that_differ_in_case_only_are_refused(source: Path, take: Take) -> None:
    (source / "Classifier.py").write_text("")
    if len(list(source.iterdir())) < 2:
        pytest.skip("this file system does not tell case apart")
    with pytest.raises(InvalidSubmission, match="differ in case only"):
        take(source)


def test_too_many_files_are_refused(source: Path, take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "_MAX_FILES", 3)
    for number in range(3):
        (source / f"{number}").write_text("")
    with pytest.raises(InvalidSubmission, match="more than 3 files"):
        take(source)


def test_folders_nested_too_deep_are_refused(source: Path, take: Take) -> None:
    (source / "/".join("d" * 17)).mkdir(parents=True)
    with pytest.raises(InvalidSubmission, match="nested more than 16 deep"):
        take(source)


@pytest.mark.parametrize(
    ("limit", "message"), [("_MAX_FILE_BYTES", "a file"), ("_MAX_TOTAL_BYTES", "in all")]
)
def test_too_many_bytes_are_refused(
    source: Path, take: Take, monkeypatch: pytest.MonkeyPatch, limit: str, message: str
) -> None:
    monkeypatch.setattr(submission, limit, 1000)
    (source / "a").write_bytes(b"x" * 999)
    (source / "b").write_bytes(b"x" * (1001 if limit == "_MAX_FILE_BYTES" else 2))
    with pytest.raises(InvalidSubmission, match=f"MiB allowed {message}"):
        take(source)


def test_a_sparse_file_is_refused_for_the_size_that_it_claims(source: Path, take: Take) -> None:
    with open(source / "sparse", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InvalidSubmission, match="sparse: larger than the 512 MiB allowed a file"):
        take(source)


def test_every_name_of_a_file_counts(source: Path, take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    (source / "big").write_bytes(bytes(600))
    os.link(source / "big", source / "again")
    digest = take(source).record.digest
    (source / "again").unlink()
    (source / "again").write_bytes(bytes(600))
    assert take(source).record.digest == digest, "a second name is a second file"
    monkeypatch.setattr(submission, "_MAX_TOTAL_BYTES", 1000)
    with pytest.raises(InvalidSubmission, match="allowed in all"):
        take(source)


@pytest.mark.parametrize("inner", ["", "deep"])
def test_a_folder_of_too_many_entries_is_not_listed_to_its_end(
    source: Path, take: Take, monkeypatch: pytest.MonkeyPatch, inner: str
) -> None:
    monkeypatch.setattr(submission, "_MAX_ENTRIES", 30)
    # Not even folders, and files that would be left out, are free.
    for number in range(30):
        (source / inner / f"{number}.pyc").mkdir(parents=True)
    with pytest.raises(InvalidSubmission, match="more than 30 files and folders"):
        take(source)


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_named(source: Path, take: Take) -> None:
    (source / "secret").write_text("")
    os.chmod(source / "secret", 0)
    with pytest.raises(InvalidSubmission, match="secret: expected a plain file that can be read"):
        take(source)
    os.chmod(source / "secret", 0o600)
    (source / "shut").mkdir(mode=0)
    with pytest.raises(InvalidSubmission, match="shut: cannot be opened"):
        take(source)


def _swapping(monkeypatch: pytest.MonkeyPatch, name: str, swap: Callable[[], None]) -> None:
    """Let `swap` happen between the look at a file and its opening."""
    look = os.stat

    def stat(path: str, **options: Any) -> os.stat_result:
        facts = look(path, **options)
        if path == name and "dir_fd" in options:
            swap()
        return facts

    monkeypatch.setattr(submission.os, "stat", stat)


SWAPS = {
    "link": (lambda path: path.symlink_to("/etc/hostname"), "expected a plain file"),
    "fifo": (lambda path: os.mkfifo(path), "expected a plain file, found a special one"),
    "nothing": (lambda path: None, "expected a plain file that can be read, found No such file"),
    "folder": (lambda path: path.mkdir(), "expected a plain file, found a special one"),
}


@pytest.mark.parametrize(("make", "message"), SWAPS.values(), ids=SWAPS)
def test_a_file_swapped_after_the_look_at_it_is_refused(
    source: Path, take: Take, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], message: str
) -> None:
    victim = source / "victim"
    victim.write_text("")

    def swap() -> None:
        victim.unlink()
        make(victim)

    _swapping(monkeypatch, "victim", swap)
    with pytest.raises(InvalidSubmission, match=f"victim: {message}"):
        take(source)


def test_a_folder_swapped_for_a_link_is_not_entered(
    source: Path, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "victim").mkdir()

    def swap() -> None:
        (source / "victim").rmdir()
        (source / "victim").symlink_to("/etc")

    _swapping(monkeypatch, "victim", swap)
    with pytest.raises(InvalidSubmission, match="victim: cannot be opened"):
        take(source)


def test_a_file_that_grows_while_it_is_read_ends_at_the_limit(
    source: Path, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.read
    (source / "z").write_bytes(b"before")

    def reading(descriptor: int, count: int) -> bytes:
        data = read(descriptor, count)
        with open(source / "z", "ab") as file:
            file.write(b", more")
        return data

    monkeypatch.setattr(submission.os, "read", reading)
    monkeypatch.setattr(submission, "_MAX_FILE_BYTES", 100)
    with pytest.raises(InvalidSubmission, match="z: larger than"):
        take(source)


def test_copies_that_a_kill_left_are_swept_when_they_are_old(tmp_path: Path) -> None:
    old, young = tmp_path / "store" / ".incoming-old", tmp_path / "store" / ".incoming-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "file").write_text("")
    os.utime(old, (1e9, 1e9))
    sweep_copies(tmp_path / "store")
    assert (old.exists(), young.exists()) == (False, True)


def test_nothing_at_all_is_a_word_to_the_user(take: Take, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such submission"):
        take_in(tmp_path / "absent", tmp_path / "store", ["classifier"], False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidSubmission, match="holds no file"):
        take(tmp_path / "empty")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("team = ", "submission.toml: "),
        ("tema = 'x'", "unknown key 'tema' .known: description, links, parameters, team, title"),
        ("team = 3", "team: expected str, found int"),
        ("parameters = true", "parameters: expected int, found bool"),
        ("parameters = -1", "parameters: expected a number from 0"),
        ("parameters = 1" + "0" * 30, "parameters: expected a number from 0 to"),
        ("parameters = 1" + "0" * 5000, "submission.toml: "),
        ("links = ['javascript:alert(1)']", "links: expected a list of http"),
        ("links = ['http://a b']", "links: expected a list of http"),
        ('links = ["http://a\\n"]', "links: expected a list of http"),
        ("links = [1]", "links: expected a list of http"),
        ("title = '" + "x" * 4001 + "'", "title: longer than 4000"),
        ('title = "a\\u001b[2J"', "title: control characters"),
        ('title = "a\\nb"', "title: control characters"),
        ('description = "a\\u0000"', "description: control characters"),
        ("a = " + "[" * 20_000, "submission.toml: "),
        ("#" * 70_000, "larger than the 64 KiB"),
    ],
    ids=lambda text: text[:24],
)
def test_a_mistake_in_submission_toml_is_named(source: Path, take: Take, text: str, message: str) -> None:
    (source / "submission.toml").write_text(text)
    with pytest.raises(InvalidSubmission, match=message):
        take(source)


def test_submission_toml_is_read(source: Path, take: Take) -> None:
    text = "team = 'Ünï'\ntitle = 'T'\ndescription = 'a\tb'\nlinks = ['https://x.org/a']\nparameters = 3\n"
    (source / "submission.toml").write_text(text, encoding="utf-8")
    record = take(source).record
    assert (record.team, record.title, record.description) == ("Ünï", "T", "a\tb")
    assert (record.links, record.parameters) == (("https://x.org/a",), 3)


def test_a_missing_element_is_named_beside_what_is_there(source: Path, take: Take) -> None:
    with pytest.raises(InvalidSubmission, match=r"expected regressor\.py, data\.csv; found classifier\.py"):
        take(source, ("classifier", "regressor", "data.csv"))


def test_a_workflow_that_names_no_element_takes_any_folder_as_code(source: Path, take: Take) -> None:
    assert take(source, ()).record.kind == "code"
    assert take(source, (), predictions=True).record.kind == "code"
    (source / "submission.csv").write_text("EventId\n1\n")
    assert take(source, (), predictions=True).record.kind == "predictions"
    assert take(source, ()).record.kind == "code"


@pytest.mark.parametrize("name", submission.PREDICTION_FILES)
def test_a_prediction_file_is_taken_alone_or_in_a_folder(take: Take, tmp_path: Path, name: str) -> None:
    ending = name.removeprefix("submission")
    folder = tmp_path / "team"
    folder.mkdir()
    (folder / name).write_text("EventId\n1\n")
    alone = tmp_path / f"solo{ending}"
    shutil.copy(folder / name, alone)
    for source, known_as in ((folder, "team"), (alone, "solo"), (folder / name, "team")):
        taken = take(source, predictions=True)
        assert (taken.record.name, taken.record.kind) == (known_as, "predictions")
        assert taken.prediction_file is not None
        assert taken.prediction_file.read_text() == "EventId\n1\n"


def test_predictions_are_refused_where_they_cannot_be_scored(take: Take, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("EventId\n1\n")
    with pytest.raises(InvalidSubmission, match=r"submission\.csv: this challenge takes code"):
        take(tmp_path / "p.csv")


def test_two_prediction_files_are_refused(take: Take, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("submission.csv", "submission.parquet"):
        (folder / name).write_text("EventId\n1\n")
    with pytest.raises(InvalidSubmission, match="expected one prediction file"):
        take(folder, predictions=True)

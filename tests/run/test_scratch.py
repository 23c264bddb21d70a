"""Whatever a submission leaves in a folder can be counted and removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hepchallenge.run.scratch import held_without_name, remove_tree, used


def _nest(folder: Path, depth: int) -> None:
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deeper", dir_fd=here)
        below = os.open("deeper", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_a_tree_deeper_than_recursion_paths_and_descriptors_reach_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    _nest(folder, 3000)
    assert used(folder, 10_000)[1] == 10_000, "a tree too deep to look into counts as full"
    remove_tree(folder)
    assert not folder.exists()


def test_permissions_links_and_odd_names_do_not_keep_a_tree(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o750)
    (outside / "kept").write_text("kept")
    folder = tmp_path / "scratch"
    (folder / "shut" / "in").mkdir(parents=True)
    (folder / "shut" / "in" / "file").write_text("")
    (folder / "a\n\x1b").mkdir()
    (folder / "to a folder").symlink_to(outside)
    (folder / "shut" / "to a file").symlink_to(outside / "kept")
    os.mkfifo(folder / "shut" / "fifo")
    os.chmod(folder / "shut" / "in", 0)
    os.chmod(folder / "shut", 0)
    remove_tree(folder)
    remove_tree(folder)
    assert not folder.exists()
    assert (outside / "kept").read_text() == "kept"
    assert outside.stat().st_mode & 0o777 == 0o750


def test_bytes_on_disk_and_entries_are_counted_without_following_links(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "file").write_bytes(os.urandom(1 << 20))
    with open(folder / "sparse", "wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "outside").write_bytes(os.urandom(4 << 20))
    (folder / "link").symlink_to(tmp_path)
    size, entries = used(folder, 100)
    assert 1 << 20 <= size < 2 << 20
    assert entries == 4
    assert used(folder, 3)[1] == 3


def test_a_process_that_has_ended_forbids_nothing_though_only_root_may_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> list[str]:
        raise PermissionError(path)

    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    with monkeypatch.context() as patch:
        patch.setattr("os.listdir", refuse)
        ended, alive = (held_without_name([pid], tmp_path) for pid in (child, os.getpid()))
    os.waitpid(child, 0)
    assert (ended, alive) == (0, None)

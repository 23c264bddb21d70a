"""What nodes keep: verified, shared by processes, bounded, and whole whoever is killed when."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.exceptions import InfrastructureError
from hepchallenge.farm.cache import Missing, NodeCache, default_folder, shared_path

BLOCK = 4096


def content(number: int, size: int = 100) -> bytes:
    return random.Random(number).randbytes(size)


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(cache: NodeCache, number: int, size: int = 100) -> str:
    data = content(number, size)
    cache.put(digest_of(data), data)
    return digest_of(data)


def held(cache: NodeCache) -> int:
    """Return how much of the disk the entries take, in blocks."""
    files = [path for path in (cache.folder / "objects").rglob("*") if path.is_file()]
    total = sum(-(-path.stat().st_size // BLOCK) * BLOCK for path in files)
    for tree in (cache.folder / "trees").iterdir():
        total += BLOCK * (1 + sum(1 for _ in tree.rglob("*")))
    return total


def made_of(text: str) -> Callable[[Path], Path]:
    def make(work: Path) -> Path:
        (work / "tree").mkdir()
        (work / "tree" / "file").write_text(text)
        return work / "tree"

    return make


@pytest.fixture
def cache(tmp_path: Path) -> NodeCache:
    return NodeCache(tmp_path / "cache", 1 << 20)


def test_what_was_put_is_there_for_every_process(cache: NodeCache) -> None:
    digest = put(cache, 1)
    for one in (cache, NodeCache(cache.folder, 1 << 20)):
        path = one.path(digest)
        assert path is not None
        assert path.read_bytes() == content(1)
        assert one.id == cache.id
    assert cache.path("0" * 64) is None


def test_bytes_pieces_and_files_can_be_put(cache: NodeCache, tmp_path: Path) -> None:
    data = content(1, 10_000)
    (tmp_path / "file").write_bytes(data)
    for form in (data, tmp_path / "file", iter([data[:5000], data[5000:]])):
        cache.put(digest_of(data), form)
        path = cache.path(digest_of(data))
        assert path is not None
        assert path.read_bytes() == data
        path.unlink()


@pytest.mark.parametrize("form", ["bytes", "file", "pieces", "one after the other"])
def test_what_has_another_digest_is_refused_and_nothing_is_left(
    cache: NodeCache, tmp_path: Path, form: str
) -> None:
    data = content(1)
    (tmp_path / "file").write_bytes(data)
    other = digest_of(b"other")
    if form == "one after the other":
        assert cache.put_piece(other, 0, 100, data[:50]) == 50
        with pytest.raises(InfrastructureError, match="damaged on its way"):
            cache.put_piece(other, 50, 100, data[50:])
    else:
        forms = {"bytes": data, "file": tmp_path / "file", "pieces": [data]}
        with pytest.raises(InfrastructureError, match="damaged on its way"):
            cache.put(other, forms[form])
    assert cache.path(other) is None
    assert not held(cache)
    assert not list((cache.folder / "incoming").iterdir())


@pytest.mark.parametrize("word", ["", "../" * 3 + "etc", "A" * 64, "0" * 63, "0" * 64 + "/x"])
def test_what_is_no_digest_names_nothing(cache: NodeCache, word: str) -> None:
    with pytest.raises(InfrastructureError, match="SHA-256"):
        cache.path(word)
    with pytest.raises(InfrastructureError, match="SHA-256"), cache.tree(f"x-{word}", made_of("")):
        pass


def test_an_object_that_is_no_plain_file_is_refused(cache: NodeCache, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InfrastructureError, match="plain file"):
        cache.put("0" * 64, tmp_path / "pipe")
    with pytest.raises(InfrastructureError, match="cannot keep"):
        cache.put("0" * 64, tmp_path / "absent")


@given(st.data())
def test_pieces_make_the_object_in_whatever_way_they_are_repeated(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    cache = NodeCache(tmp_path_factory.mktemp("pieces") / "cache", 1 << 20)
    whole = content(data.draw(st.integers(0, 9)), data.draw(st.integers(1, 40)))
    digest, have = digest_of(whole), 0
    for _ in range(200):
        offset = data.draw(st.integers(0, len(whole)))
        piece = whole[offset : offset + data.draw(st.integers(0, 20))]
        before, have = have, cache.put_piece(digest, offset, len(whole), piece)
        assert have == (max(before, offset + len(piece)) if offset <= before else before)
        if have == len(whole):
            break
    else:
        assert cache.put_piece(digest, 0, len(whole), whole) == len(whole)
    path = cache.path(digest)
    assert path is not None
    assert path.read_bytes() == whole
    assert cache.put_piece(digest, 0, len(whole), whole[:1]) == len(whole)


def test_more_bytes_than_were_announced_are_refused(cache: NodeCache) -> None:
    with pytest.raises(InfrastructureError, match="expected an object of 5 bytes"):
        cache.put_piece(digest_of(b"123456"), 0, 5, b"123456")
    assert cache.put_piece(digest_of(b"123456"), 0, 6, b"123456") == 6


def test_pieces_that_nobody_completes_can_be_dropped(cache: NodeCache) -> None:
    cache.put_piece(digest_of(content(1)), 0, 100, content(1)[:10])
    assert list((cache.folder / "incoming").iterdir())
    cache.drop_pieces()
    assert not list((cache.folder / "incoming").iterdir())


def test_what_is_missing_is_named_and_nothing_is_pinned(cache: NodeCache) -> None:
    here, absent = put(cache, 1), digest_of(b"absent")
    with pytest.raises(Missing) as caught, cache.pin([here, absent]):
        pass
    assert caught.value.digests == [absent]
    assert not list((cache.folder / "pins").iterdir())


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 2)), max_size=40), st.integers(3, 8))
def test_the_cap_holds_what_is_pinned_stays_and_what_was_used_last_goes_last(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]], blocks: int
) -> None:
    cache = NodeCache(tmp_path_factory.mktemp("lru") / "cache", blocks * BLOCK)
    clock = 0
    used: dict[int, int] = {}
    with ExitStack() as stack:
        pinned: dict[int, None] = {}
        for number, what in steps:
            digest = digest_of(content(number))
            clock += 1
            if what < 2:
                here = [n for n in used if cache.path(digest_of(content(n))) is not None]
                try:
                    cache.put(digest, content(number))
                except InfrastructureError:
                    assert len(pinned) == blocks
                    continue
                left = [n for n in here if cache.path(digest_of(content(n))) is not None]
                gone = set(here) - set(left)
                free = [n for n in left if n not in pinned]
                assert all(used[n] < used[m] for n in gone for m in free)
                if number not in here:
                    used[number] = clock
            elif len(pinned) < blocks:
                try:
                    stack.enter_context(cache.pin([digest]))
                except Missing:
                    continue
                pinned[number] = None
                used[number] = clock
            # The clock of the file system is coarse.
            for n, when in used.items():
                if (path := cache.path(digest_of(content(n)))) is not None:
                    os.utime(path, (when, when))
            assert held(cache) <= blocks * BLOCK
            assert all(cache.path(digest_of(content(n))) is not None for n in pinned)


def test_a_full_cache_says_so_and_leaves_nothing(cache: NodeCache) -> None:
    cache.cap_bytes = 2 * BLOCK
    with cache.pin([put(cache, 1), put(cache, 2)]):
        with pytest.raises(InfrastructureError, match="8192 that jobs use"):
            put(cache, 3)
        assert not list((cache.folder / "incoming").iterdir())
    assert cache.path(put(cache, 3)) is not None


def test_a_tree_is_made_once_and_counts(cache: NodeCache) -> None:
    cache.cap_bytes = 3 * BLOCK
    name = f"tree-{'0' * 64}"
    with cache.tree(name, made_of("one")) as tree:
        assert (tree / "file").read_text() == "one"
        put(cache, 1)
        with pytest.raises(InfrastructureError, match="that jobs use"):
            put(cache, 2, 2 * BLOCK)
        with cache.tree(name, made_of("two")) as again:
            assert (again / "file").read_text() == "one"
        assert tree.exists()
    put(cache, 2, 2 * BLOCK)
    assert not cache.has_tree(name)
    assert not list((cache.folder / "incoming").iterdir())
    with cache.tree(name, made_of("two")) as tree:
        assert (tree / "file").read_text() == "two"


def test_a_tree_that_cannot_be_made_leaves_nothing(cache: NodeCache) -> None:
    def fail(work: Path) -> Path:
        (work / "half").write_text("half")
        raise InfrastructureError("not today")

    with pytest.raises(InfrastructureError, match="not today"), cache.tree(f"tree-{'0' * 64}", fail):
        pass
    assert not held(cache)
    assert not list((cache.folder / "incoming").iterdir())


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").mkdir()
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(InfrastructureError, match="of this user's own"):
        NodeCache(tmp_path / "theirs", 1 << 20)


def test_a_link_is_refused_and_so_is_a_folder_with_other_things_in_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(InfrastructureError, match="of this user's own"):
        NodeCache(tmp_path / "link", 1 << 20)
    (tmp_path / "real" / "thesis.tex").write_text("")
    with pytest.raises(InfrastructureError, match="found 'thesis"):
        NodeCache(tmp_path / "real", 1 << 20)
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["thesis.tex"]


def test_nobody_else_can_look_into_it(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o755)
    assert NodeCache(tmp_path / "cache", 1 << 20).folder.stat().st_mode & 0o777 == 0o700


def test_what_a_host_that_went_down_may_have_cut_is_not_trusted(cache: NodeCache) -> None:
    digest = put(cache, 1)
    (cache.folder / "boot").write_text("another time")
    again = NodeCache(cache.folder, 1 << 20)
    assert again.id == cache.id
    assert again.path(digest) is None
    assert put(again, 1) == digest


def test_the_environment_says_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEPCHALLENGE_NODE_CACHE", str(tmp_path / "here"))
    assert default_folder() == tmp_path / "here"
    monkeypatch.delenv("HEPCHALLENGE_NODE_CACHE")
    assert default_folder().name == f"hepchallenge-node-{os.getuid()}"
    assert shared_path("/shared", "ab" * 32) == Path("/shared/ab") / ("ab" * 32)


def test_threads_can_use_it_at_once(cache: NodeCache) -> None:
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for number in range(20):
                with cache.pin([put(cache, number)]) as files:
                    assert all(path.exists() for path in files.values())
                with cache.tree(f"tree-{number:064d}", made_of(str(number))) as tree:
                    assert (tree / "file").read_text() == str(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


DYING = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_node_cache import made_of, put
from hepchallenge.farm.cache import NodeCache

cache = NodeCache(Path(sys.argv[1]), 1 << 20)
put(cache, 1)
os.rename = Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[3] == "tree":
    with cache.tree("tree-" + "0" * 64, made_of("one")):
        pass
put(cache, 2)
"""


@pytest.mark.parametrize("what", ["object", "tree"])
def test_who_is_killed_before_the_last_step_leaves_no_name(tmp_path: Path, what: str) -> None:
    words = [sys.executable, "-c", DYING, str(tmp_path / "cache"), str(Path(__file__).parent), what]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    cache = NodeCache(tmp_path / "cache", 3 * BLOCK)
    assert held(cache) == BLOCK
    assert not list((cache.folder / "incoming").iterdir())
    assert cache.path(put(cache, 1)) is not None
    assert cache.path(put(cache, 2, 2 * BLOCK)) is not None


BUSY = """
import random, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_node_cache import content, digest_of, made_of, put
from hepchallenge.farm.cache import Missing, NodeCache
from hepchallenge.exceptions import InfrastructureError

cache = NodeCache(Path(sys.argv[1]), int(sys.argv[2]))
print("ready", flush=True)
while True:
    number = random.randrange(30)
    try:
        with cache.pin([put(cache, number, 3000 * (1 + number % 4))]) as files:
            for digest, path in files.items():
                assert digest_of(path.read_bytes()) == digest
            name = f"tree-{number:064d}"
            with cache.tree(name, made_of(str(number))) as tree:
                assert (tree / "file").read_text() == str(number)
        data = content(number, 9000)
        for offset in range(0, 9000, 1000):
            cache.put_piece(digest_of(data), offset, 9000, data[offset : offset + 1000])
    except (Missing, InfrastructureError) as error:
        if "that jobs use" not in str(error) and not isinstance(error, Missing):
            raise
"""


def test_processes_that_are_killed_at_any_moment_leave_it_usable(tmp_path: Path) -> None:
    folder, cap = tmp_path / "cache", 30 * BLOCK
    chance = random.Random(0)

    def start() -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", BUSY, str(folder), str(cap), str(Path(__file__).parent)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    processes = [start() for _ in range(3)]
    try:
        for turn in range(5):
            victim = processes[turn % 3]
            assert victim.stdout is not None
            assert victim.stdout.readline() == b"ready\n"
            time.sleep(chance.uniform(0.05, 0.3))
            assert victim.poll() is None, victim.communicate()[1].decode()
            victim.send_signal(signal.SIGKILL)
            victim.communicate()
            processes[turn % 3] = start()
    finally:
        for process in processes:
            process.kill()
            _, words = process.communicate()
            assert not words, words.decode()
    cache = NodeCache(folder, cap)
    assert not list((folder / "incoming").iterdir())
    assert held(cache) <= cap
    objects = [path for path in (folder / "objects").rglob("*") if path.is_file()]
    trees = list((folder / "trees").iterdir())
    assert objects
    assert trees
    for path in objects:
        assert digest_of(path.read_bytes()) == path.name
    for path in trees:
        assert (path / "file").read_text() == str(int(path.name.removeprefix("tree-")))
    # No pin is left: all that is there can go.
    big = put(cache, 99, cap - BLOCK)
    assert cache.path(big) is not None
    assert not list((folder / "pins").iterdir())

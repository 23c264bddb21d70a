"""Downloads resume where they were cut and are enforced to be what they were."""

from __future__ import annotations

import errno
import gzip
import hashlib
import http.server
import json
import re
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hepchallenge import data
from hepchallenge.contract import Challenge
from hepchallenge.data import downloads as fetching
from hepchallenge.data.files import digests_of
from hepchallenge.exceptions import DataError, InfrastructureError, UsageError

ROWS = "id,x\n" + "".join(f"{i},{i * 0.37:.3f}\n" for i in range(4000))
TRAIN = gzip.compress(ROWS.encode(), mtime=0)


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; can cut answers, ignore ranges, hide tags, and answer with errors."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/train.csv.gz": TRAIN, "/test.csv": b"id,x\n3,2.5\n"}
        self.cuts: list[int] = []
        self.statuses: list[int] = []
        self.ranges = True
        self.tags = True
        self.shift = 0
        self.requests: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range")
        server.requests.append((self.path, asked))
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        body = server.files.get(self.path.partition("?")[0])
        if body is None:
            self.send_error(404)
            return
        tag = f'"{hashlib.md5(body).hexdigest()}"'
        start = 0
        fresh = self.headers.get("If-Range") in (None, tag)
        if asked and server.ranges and fresh:
            found = re.fullmatch(r"bytes=(\d+)-", asked)
            assert found
            start = int(found[1])
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start += server.shift
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if server.tags:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = start + server.cuts.pop(0) if server.cuts else None
        self.wfile.write(body[start:end])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetching, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(fetching, "_BLOCK", 1000)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def challenge_of(server: Server, make_challenge: Callable[..., Challenge]) -> Callable[..., Challenge]:
    """The challenge with both files at the server, and more keys for the training file."""

    def make(more: str = "") -> Challenge:
        sources = "".join(
            f'[[source]]\nname = "{name}"\nkind = "url"\n'
            f'location = "{server.url}/{name}"\nfilename = "{name}"\n'
            + (more if name.startswith("train") else "")
            for name in ("train.csv.gz", "test.csv")
        )
        return make_challenge(toml=sources)

    return make


def downloads(cache: Path) -> Path:
    (folder,) = cache.glob("*/downloads")
    return folder


def test_fetched_files_are_prepared_chosen_and_not_asked_for_again(
    challenge_of: Callable[..., Challenge], server: Server
) -> None:
    challenge = challenge_of()
    seen: list[tuple[str, int, int | None]] = []
    prepared = data.fetch(challenge, progress=lambda *step: seen.append(step))
    assert data.read_table(prepared, "train").num_rows == 4000
    assert data.current(challenge) == prepared
    assert seen[0] == ("train.csv.gz", 1000, len(TRAIN))
    assert ("train.csv.gz", len(TRAIN), len(TRAIN)) in seen
    assert data.fetch(challenge) == prepared
    assert len(server.requests) == 2


def test_a_cut_connection_is_continued_where_it_broke(
    challenge_of: Callable[..., Challenge], server: Server, cache: Path
) -> None:
    server.cuts = [5000, 7000]
    data.fetch(challenge_of())
    assert [asked for _, asked in server.requests[:3]] == [None, "bytes=5000-", "bytes=12000-"]
    assert (downloads(cache) / "train.csv.gz").read_bytes() == TRAIN
    assert not list(downloads(cache).glob(".*part*"))


def test_a_later_command_continues_what_an_earlier_one_gave_up(
    challenge_of: Callable[..., Challenge], server: Server, cache: Path
) -> None:
    challenge = challenge_of()
    server.cuts = [5000] + [0] * fetching.ATTEMPTS
    with pytest.raises(InfrastructureError, match="5000 bytes are kept, the same command continues there"):
        data.fetch(challenge)
    assert not (downloads(cache) / "train.csv.gz").exists()
    server.requests.clear()
    data.fetch(challenge)
    assert server.requests[0] == ("/train.csv.gz", "bytes=5000-")
    assert (downloads(cache) / "train.csv.gz").read_bytes() == TRAIN


def test_halves_of_two_versions_are_never_joined(
    challenge_of: Callable[..., Challenge], server: Server, cache: Path
) -> None:
    challenge = challenge_of()
    server.cuts = [5000] + [0] * fetching.ATTEMPTS
    with pytest.raises(InfrastructureError):
        data.fetch(challenge)
    server.files["/train.csv.gz"] = changed = gzip.compress(ROWS.replace(".370", ".371").encode(), mtime=0)
    data.fetch(challenge)
    assert (downloads(cache) / "train.csv.gz").read_bytes() == changed


def test_headway_is_rewarded_with_patience(challenge_of: Callable[..., Challenge], server: Server) -> None:
    server.cuts = [1000] * 2 * fetching.ATTEMPTS
    data.fetch(challenge_of())
    assert len(server.requests) == 2 * fetching.ATTEMPTS + 2


def test_without_a_tag_only_a_pinned_file_is_continued(
    challenge_of: Callable[..., Challenge], server: Server, cache: Path
) -> None:
    server.tags = False
    server.cuts = [5000]
    data.fetch(challenge_of())
    assert [asked for _, asked in server.requests] == [None, None, None]
    (downloads(cache) / "train.csv.gz").unlink()
    server.requests.clear()
    server.cuts = [5000]
    data.fetch(challenge_of(f'sha256 = "{hashlib.sha256(TRAIN).hexdigest()}"\n'))
    assert [asked for _, asked in server.requests] == [None, "bytes=5000-"]


@pytest.mark.parametrize("trouble", ["no tags", "no ranges", "wrong range", "part too long"])
def test_servers_that_cannot_continue_are_asked_anew(
    challenge_of: Callable[..., Challenge], server: Server, cache: Path, trouble: str
) -> None:
    challenge = challenge_of()
    server.tags = trouble != "no tags"
    server.ranges = trouble != "no ranges"
    server.shift = 7 if trouble == "wrong range" else 0
    server.cuts = [5000]
    if trouble == "part too long":
        server.cuts += [0] * fetching.ATTEMPTS
        with pytest.raises(InfrastructureError):
            data.fetch(challenge)
        with (downloads(cache) / ".train.csv.gz.part").open("ab") as stream:
            stream.write(b"x" * 2 * len(TRAIN))
    data.fetch(challenge)
    assert (downloads(cache) / "train.csv.gz").read_bytes() == TRAIN


def test_a_part_that_is_whole_already_is_taken(
    challenge_of: Callable[..., Challenge], server: Server, cache: Path
) -> None:
    challenge = challenge_of()
    server.cuts = [5000] + [0] * fetching.ATTEMPTS
    with pytest.raises(InfrastructureError):
        data.fetch(challenge)
    (downloads(cache) / ".train.csv.gz.part").write_bytes(TRAIN)
    server.requests.clear()
    data.fetch(challenge)
    assert [asked for _, asked in server.requests] == [f"bytes={len(TRAIN)}-", None]
    assert (downloads(cache) / "train.csv.gz").read_bytes() == TRAIN


@pytest.mark.parametrize(
    ("key", "where"),
    [
        (f'sha256 = "{"0" * 64}"\n', "sha256"),
        (f'md5 = "{"0" * 32}"\n', "md5"),
        ('adler32 = "00000000"\n', "adler32"),
        ("size = 17\n", "length"),
    ],
)
def test_a_file_that_is_not_the_pinned_one_is_refused_and_dropped(
    challenge_of: Callable[..., Challenge], cache: Path, key: str, where: str
) -> None:
    with pytest.raises(DataError) as caught:
        data.fetch(challenge_of(key))
    assert caught.value.where == where
    assert [file.name for file in downloads(cache).iterdir()] == [".lock"]


def test_the_pinned_file_is_taken(challenge_of: Callable[..., Challenge], cache: Path) -> None:
    sha = hashlib.sha256(TRAIN).hexdigest().upper()
    adler = f"{zlib.adler32(TRAIN):08x}"
    data.fetch(challenge_of(f'sha256 = "{sha}"\nadler32 = "{adler}"\nsize = {len(TRAIN)}\n'))
    assert (downloads(cache) / "train.csv.gz").read_bytes() == TRAIN


def test_without_a_pin_the_first_download_is_enforced(
    challenge_of: Callable[..., Challenge], server: Server, cache: Path
) -> None:
    challenge = challenge_of()
    data.fetch(challenge)
    (downloads(cache) / "test.csv").unlink()
    server.files["/test.csv"] = b"id,x\n3,9.5\n"
    with pytest.raises(DataError, match="the file at this address has changed") as caught:
        data.fetch(challenge)
    assert caught.value.expected == hashlib.sha256(b"id,x\n3,2.5\n").hexdigest()
    assert not (downloads(cache) / "test.csv").exists()
    server.files["/test.csv"] = b"id,x\n3,2.5\n"
    data.fetch(challenge)
    (downloads(cache) / "test.csv").write_bytes(b"id,x\n3,9.5\n")
    with pytest.raises(DataError, match="delete it to fetch again"):
        data.fetch(challenge)


def test_a_missing_file_is_told_at_once(challenge_of: Callable[..., Challenge], server: Server) -> None:
    del server.files["/train.csv.gz"]
    with pytest.raises(DataError, match="expected 200 OK, found 404"):
        data.fetch(challenge_of())
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again_but_not_forever(
    challenge_of: Callable[..., Challenge], server: Server
) -> None:
    challenge = challenge_of()
    server.statuses = [503, 429]
    data.fetch(challenge)
    assert len(server.requests) == 4
    server.statuses = [500] * 100
    with pytest.raises(InfrastructureError, match="answered 500"):
        fetching.download(f"{server.url}/other", data.cache_root() / "other", checksums={})
    assert 100 - len(server.statuses) == fetching.ATTEMPTS


def test_a_host_that_does_not_answer_is_the_infrastructures_fault(tmp_path: Path, server: Server) -> None:
    url = server.url
    server.server_close()
    with pytest.raises(InfrastructureError, match="the connection failed"):
        fetching.download(f"{url}/a", tmp_path / "a", checksums={})


def test_a_disk_that_is_too_small_is_told_before_it_is_full(
    challenge_of: Callable[..., Challenge], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        InfrastructureError, match=rf"{len(TRAIN)} bytes are still to come but only 100 are free"
    ):
        data.fetch(challenge_of())


def test_a_disk_that_fills_up_keeps_the_part(
    challenge_of: Callable[..., Challenge], server: Server, cache: Path
) -> None:
    challenge = challenge_of()

    def fill(name: str, done: int, total: int | None) -> None:
        if done >= 9000:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InfrastructureError, match="no space left"):
        data.fetch(challenge, progress=fill)
    assert (downloads(cache) / ".train.csv.gz.part").stat().st_size == 9000
    data.fetch(challenge)
    assert server.requests[1] == ("/train.csv.gz", "bytes=9000-")


KAGGLE = '[[source]]\nname = "k"\nkind = "kaggle"\nlocation = "higgs-boson"\nfilename = "training.zip"\n'


def test_sources_with_a_login_are_explained(make_challenge: Callable[..., Challenge]) -> None:
    with pytest.raises(UsageError) as caught:
        data.fetch(make_challenge(toml=KAGGLE))
    for words in (
        "training.zip: log in at https://www.kaggle.com/c/higgs-boson/data",
        "/small --from FOLDER",
    ):
        assert words in str(caught.value)
    with pytest.raises(UsageError, match=r"challenge\.toml names no source"):
        data.fetch(make_challenge())


DOI = '[[source]]\nname = "z"\nkind = "doi"\nlocation = "10.5281/zenodo.77"\nfilename = "{}"\n'


@pytest.fixture
def zenodo(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The local server in the place of Zenodo: a record with the two files and their MD5."""
    import pooch.downloaders

    def describe(name: str) -> dict[str, Any]:
        md5 = hashlib.md5(server.files[f"/{name}"]).hexdigest()
        return {"key": name, "checksum": f"md5:{md5}", "links": {"self": f"{server.url}/{name}"}}

    record = {"id": 77, "files": [describe("train.csv.gz"), describe("test.csv")]}
    server.files["/api/77"] = json.dumps(record).encode()
    monkeypatch.setattr(pooch.downloaders, "doi_to_url", lambda doi, **rest: "https://zenodo.org/records/77")
    monkeypatch.setattr(pooch.downloaders.ZenodoRepository, "base_api_url", f"{server.url}/api")
    return server


def test_a_doi_leads_to_the_file_and_its_checksum(
    make_challenge: Callable[..., Challenge], zenodo: Server, cache: Path
) -> None:
    challenge = make_challenge(toml=DOI.format("train.csv.gz") + DOI.format("test.csv"))
    assert data.read_manifest(data.fetch(challenge)).rows == {"train": 4000, "test": 1}
    (downloads(cache) / "train.csv.gz").unlink()
    (downloads(cache) / ".checksums.json").unlink()
    zenodo.files["/train.csv.gz"] = gzip.compress(b"id,x\n1,1\n")
    with pytest.raises(DataError, match="md5: expected"):
        data.fetch(challenge)


def test_a_file_that_a_record_does_not_hold_is_told(
    make_challenge: Callable[..., Challenge], zenodo: Server
) -> None:
    challenge = make_challenge(toml=DOI.format("valid.csv"))
    with pytest.raises(DataError, match=r"the file valid\.csv, found only test\.csv, train\.csv\.gz"):
        data.fetch(challenge)


@settings(deadline=None)
@example(content=bytes(range(256)))
@given(content=st.binary(max_size=3000))
def test_checksums_are_those_of_the_libraries(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "content"
    file.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        # Many blocks, as a large file has.
        patch.setattr("hepchallenge.data.files._BLOCK", 64)
        found = digests_of(file, ["md5", "sha256", "adler32"])
    assert found == {
        "md5": hashlib.md5(content).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "adler32": f"{zlib.adler32(content):08x}",
    }

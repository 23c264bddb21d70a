"""Downloads of published files: resumed where they were cut, and enforced to be what they were.

A file that is not yet whole is kept hidden as `.<name>.part`, so that a later command continues it. Its
checksum is pinned by `challenge.toml` or the repository, or else recorded at the first download in
`.checksums.json`, and enforced from then on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepchallenge.contract import Challenge, Source
from hepchallenge.contract.config import CHECKSUMS, CONFIG_NAME
from hepchallenge.data.files import digests_of, locked, told_when_full, write_json
from hepchallenge.exceptions import DataError, InfrastructureError, UsageError

if TYPE_CHECKING:
    import requests

__all__ = ["Progress", "download", "download_sources", "explain_login"]

Progress = Callable[[str, int, int | None], None]
"""Called with file name, bytes on disk so far, and bytes in all if the server tells."""

ATTEMPTS = 5
"""How often a download that makes no headway is tried before giving up."""

PAUSE_SECONDS = 1.0
"""Pause before the second attempt; doubled before each further one."""

TIMEOUT_SECONDS = (15.0, 60.0)
"""Longest wait for a connection, and for the next bytes."""

_BLOCK = 1 << 18
_RECORDED = ".checksums.json"


def explain_login(challenge: Challenge) -> str:
    """Return what to do by hand for sources that need a login; empty if there are none."""
    lines = []
    for source in challenge.config.sources:
        if source.kind == "kaggle":
            page = f"https://www.kaggle.com/c/{source.location}/data"
            lines.append(f"{source.filename}: log in at {page}, accept the rules and download it there")
    if not lines:
        return ""
    last = (
        f"then: hepchallenge data {challenge.argument} --from FOLDER (the files as they are, zipped or not)"
    )
    return "\n".join([*lines, last])


def _resolve_doi(source: Source, where: str) -> tuple[str, dict[str, str]]:
    """Ask the data repository for the URL and the checksum of a file; pooch knows the repositories."""
    import pooch.downloaders
    import requests

    class Registry:
        def __init__(self) -> None:
            self.registry: dict[str, str] = {}

    try:
        repository = pooch.downloaders.doi_to_repository(source.location, timeout=TIMEOUT_SECONDS)
        registry = Registry()
        repository.populate_registry(registry)
        if source.filename not in registry.registry:
            there = ", ".join(sorted(registry.registry)) or "none"
            raise DataError(where, source.location, f"the file {source.filename}", f"only {there}")
        url = str(repository.download_url(source.filename))
    except requests.HTTPError as error:
        raise DataError(where, source.location, "a DOI that resolves", str(error)) from error
    except requests.RequestException as error:
        raise InfrastructureError(
            f"{source.location}: the data repository cannot be reached: {error}"
        ) from error
    except (ValueError, KeyError) as error:
        raise DataError(where, source.location, "a record of a known data repository", str(error)) from error
    algorithm, _, digest = registry.registry[source.filename].rpartition(":")
    known = {algorithm or "md5": digest.lower()} if (algorithm or "md5") in CHECKSUMS else {}
    return url, known


class _Recorded:
    """Checksums of files that are pinned nowhere, as they were when first downloaded."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / _RECORDED

    def read(self) -> dict[str, dict[str, str]]:
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise DataError(self.file, "content", "the recorded checksums", str(error)) from None
        if not isinstance(found, dict):
            raise DataError(self.file, "content", "the recorded checksums", type(found).__name__)
        return found

    def get(self, source: Source) -> dict[str, str]:
        record = self.read().get(source.filename, {})
        # A record of another address says nothing about this one.
        return {"sha256": record["sha256"]} if record.get("location") == source.location else {}

    def put(self, source: Source, sha256: str) -> None:
        record = {"location": source.location, "sha256": sha256}
        write_json(self.file, {**self.read(), source.filename: record})


def download_sources(
    challenge: Challenge,
    folder: Path,
    *,
    progress: Progress | None = None,
    waiting: Callable[[], None] | None = None,
) -> list[Path]:
    """Download every source of a challenge that needs no login; files that are there are only verified.

    Returns
    -------
    list of Path
        The files, in the order of `challenge.toml`.

    Raises
    ------
    UsageError
        If there is no such source; the message explains what to do by hand.
    DataError
        If a file is absent at its address, or is not the one that was pinned or first downloaded.
    InfrastructureError
        If the connection fails repeatedly or the disk is full; the next call continues.
    """
    sources = [source for source in challenge.config.sources if source.kind != "kaggle"]
    if not sources:
        by_hand = explain_login(challenge)
        reason = f"\n{by_hand}" if by_hand else f"; {CONFIG_NAME} names no source"
        raise UsageError(f"{challenge.name} has no data that can be downloaded without a login{reason}")
    where = str(challenge.config.file)
    recorded = _Recorded(folder)
    files = []
    with locked(folder / ".lock", waiting):
        for source in sources:
            target = folder / source.filename
            pinned = source.checksums
            if target.is_file():
                _verify(
                    target, target, pinned or recorded.get(source), "the file there; delete it to fetch again"
                )
            else:
                url, known = (source.location, {}) if source.kind == "url" else _resolve_doi(source, where)
                checksums = pinned or recorded.get(source) or known
                download(url, target, checksums=checksums, size=source.size, progress=progress)
            if not pinned and not recorded.get(source):
                recorded.put(source, digests_of(target, ["sha256"])["sha256"])
            files.append(target)
    return files


def _verify(file: Path, named: object, checksums: Mapping[str, str], what: str) -> None:
    found = digests_of(file, checksums)
    for algorithm, digest in checksums.items():
        if found[algorithm] != digest:
            raise DataError(named, algorithm, digest, f"{found[algorithm]} ({what})")


class _Retry(Exception):
    """The connection failed in a way that another attempt may mend."""


class _Part:
    """The hidden, unfinished copy of a file, and what the server said about the version it belongs to."""

    def __init__(self, target: Path) -> None:
        self.file = target.with_name(f".{target.name}.part")
        self.notes_file = target.with_name(f".{target.name}.part.json")

    @property
    def size(self) -> int:
        return self.file.stat().st_size if self.file.is_file() else 0

    def validator(self, url: str) -> str | None:
        """What identifies the version on the server, a strong ETag or a date; None for another URL."""
        try:
            notes = json.loads(self.notes_file.read_text(encoding="utf-8"))
            return notes["validator"] if notes["url"] == url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def note(self, url: str, headers: Mapping[str, str]) -> None:
        tag = headers.get("ETag", "")
        strong = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
        write_json(self.notes_file, {"url": url, "validator": strong})

    def drop(self) -> None:
        self.file.unlink(missing_ok=True)
        self.notes_file.unlink(missing_ok=True)


def download(
    url: str,
    target: Path,
    *,
    checksums: Mapping[str, str],
    size: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Download one file to `target`, continuing an earlier attempt where the server allows.

    Parameters
    ----------
    checksums : mapping
        Algorithm (`sha256`, `md5`, `adler32`) to expected hexadecimal digits; may be empty.
    size : int, optional
        Expected length in bytes.

    Raises
    ------
    DataError
        If the server has no such file, or its length or checksum is another. The unfinished copy is dropped.
    InfrastructureError
        If the connection fails `ATTEMPTS` times in a row without headway, or the disk is full. The
        unfinished copy stays.
    """
    part = _Part(target)
    failures = 0
    while True:
        before = part.size
        try:
            with told_when_full(target):
                _transfer(url, target, part, size=size, pinned=bool(checksums), progress=progress)
            break
        except _Retry as error:
            failures = 0 if part.size > before else failures + 1
            if failures >= ATTEMPTS:
                message = f"{url}: {error}; {part.size} bytes are kept, the same command continues there"
                raise InfrastructureError(message) from error
            time.sleep(PAUSE_SECONDS * 2 ** max(failures - 1, 0))
    if size is not None and part.size != size:
        found = f"{part.size} bytes"
        part.drop()
        raise DataError(url, "length", f"{size} bytes", found)
    try:
        _verify(part.file, url, checksums, "the file at this address has changed or was damaged on the way")
    except DataError:
        part.drop()
        raise
    os.replace(part.file, target)
    part.drop()


def _transfer(
    url: str, target: Path, part: _Part, *, size: int | None, pinned: bool, progress: Progress | None
) -> None:
    """Make one request and append what comes to the part."""
    import requests

    headers = {"Accept-Encoding": "identity"}
    start = part.size
    if start:
        validator = part.validator(url)
        if validator:
            headers["If-Range"] = validator
        elif not pinned:
            # Without a checksum nothing would tell that the two halves are of different versions.
            part.drop()
            start = 0
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
            start, total = _check_response(url, response, part, start)
            if size is not None and total is not None and total != size:
                part.drop()
                raise DataError(url, "length", f"{size} bytes", f"{total} bytes")
            if start is None:
                return
            _check_room(target, (total or 0) - start)
            _receive(response, url, target, part, start, total, progress)
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise _Retry(f"the connection failed: {error}") from error
    except requests.RequestException as error:
        raise DataError(url, "address", "a file that can be downloaded", str(error)) from error


def _check_response(url: str, response: requests.Response, part: _Part, start: int) -> tuple[Any, int | None]:
    """Return where the body begins in the file and the file's length; None for a start if all is here."""
    status = response.status_code
    if status in (408, 425, 429) or status >= 500:
        raise _Retry(f"the server answered {status} {response.reason}")
    span = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", ""))
    total = int(span[2]) if span and span[2] != "*" else None
    if status == 416 and start:
        if total == start:
            return None, total
        part.drop()
        raise _Retry("the server's file is shorter than what is here; starting anew")
    if status == 206:
        if not span or span[1] is None or int(span[1]) != start:
            part.drop()
            raise _Retry("the server sent another range than asked for; starting anew")
        return start, total
    if status != 200:
        raise DataError(url, "answer", "200 OK", f"{status} {response.reason}")
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _check_room(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise InfrastructureError(
            f"{target}: {needed} bytes are still to come but only {free} are free on the disk"
        )


def _receive(
    response: requests.Response,
    url: str,
    target: Path,
    part: _Part,
    start: int,
    total: int | None,
    progress: Progress | None,
) -> None:
    done = start
    if start == 0:
        part.drop()
        part.note(url, response.headers)
    with part.file.open("ab") as stream:
        for block in response.iter_content(_BLOCK):
            stream.write(block)
            done += len(block)
            if progress is not None:
                progress(target.name, done, total)
        stream.flush()
        os.fsync(stream.fileno())
    if total is not None and done < total:
        raise _Retry(f"cut off after {done} of {total} bytes")

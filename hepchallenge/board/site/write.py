"""Writing a site so that a reader finds the old one or the whole new one."""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from hepchallenge.board.ranking import Board
from hepchallenge.board.site.model import Extras, site_board
from hepchallenge.board.site.pages import drawn_files, render_index, site_files
from hepchallenge.exceptions import StoreError, UsageError

__all__ = ["export_site"]

_FOLDER = re.compile(r"site-[0-9a-f]{16}")
_MADE_BY_US = b'<meta name="generator" content="hepchallenge '


def export_site(boards: Sequence[Board], directory: Path, extras: Extras | None = None) -> Path:
    """Write a site that opens from disk and from any web server, and return its `index.html`.

    All else lies in a folder `site-<digest of its content>`. It is complete before `index.html` is replaced,
    and only then are folders of former sites removed.

    Parameters
    ----------
    boards
        The one that is shown first, and those that a reader may switch to. A private board is part of the
        site only if it is given.
    extras
        What is shown besides.

    Raises
    ------
    UsageError
        If there is no board, two rank by the same part, or `index.html` there is somebody else's.
    StoreError
        If the directory cannot be written; a former site is still whole then.
    """
    from hepchallenge.store import write_atomically

    sites = [site_board(board, extras) for board in boards]
    if not sites or len({site.key for site in sites}) < len(sites):
        raise UsageError("a site needs one board or several that rank by different parts")
    index = directory / "index.html"
    figures = drawn_files(sites)
    with _told(directory):
        if index.exists() and _MADE_BY_US not in index.read_bytes()[:4000]:
            raise UsageError(f"{index}: expected a board of hepchallenge to replace, found another page")
        directory.mkdir(parents=True, exist_ok=True)
        building = directory / f".site-{secrets.token_hex(8)}"
        try:
            digest = hashlib.sha256()
            drawn = ((f"figures/{d.stem}.svg", d.content) for of in figures.values() for d in of)
            for pieces in (site_files(sites), drawn):
                for name, content in pieces:
                    digest.update(f"{name}\0{len(content)}\0".encode())
                    digest.update(content)
                    path = building / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
            folder = directory / f"site-{digest.hexdigest()[:16]}"
            # The same content may be there already, and whole: then it stays.
            if not _is_whole(folder, building):
                shutil.rmtree(folder, ignore_errors=True)
                building.rename(folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    write_atomically(index, render_index(sites, folder.name, figures).encode("utf-8"))
    for old in directory.iterdir():
        # A folder that somebody else named so has no such file.
        if _FOLDER.fullmatch(old.name) and old != folder and (old / "data" / "head.js").is_file():
            shutil.rmtree(old, ignore_errors=True)
    return index


def _is_whole(folder: Path, wanted: Path) -> bool:
    def content(root: Path) -> dict[Path, bytes]:
        return {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    return folder.is_dir() and content(folder) == content(wanted)


@contextlib.contextmanager
def _told(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{directory}: cannot write: {error.strerror or error}") from error

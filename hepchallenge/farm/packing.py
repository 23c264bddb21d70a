"""Folders as archives that are always the same bytes: what travels is known by its digest."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from hepchallenge.exceptions import InfrastructureError, InvalidSubmission
from hepchallenge.stage.archive import member_path, open_archive

__all__ = ["pack_challenge", "pack_submission", "unpack_challenge"]

_TOP = "packed"
"""One folder around all, so that no reader mistakes a folder of the submission's own for it."""
_NOT_CODE = frozenset({"data", "submissions", ".git"})
_MOST_MEMBERS = 100_000
_MOST_BYTES = 4 << 30


def _below(folder: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Yield the parts of the relative path of every file below a folder, without what Python compiles."""
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if path.is_file() and "__pycache__" not in parts and not path.name.endswith(".pyc"):
            yield parts, path


def _pack(files: list[tuple[str, bytes]]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files:
            # Neither owner nor date: equal files are equal bytes.
            member = tarfile.TarInfo(f"{_TOP}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def pack_submission(folder: Path) -> tuple[bytes, str]:
    """Return the archive of a submission that was taken in, and the digest of its files as in the store.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    files = [("/".join(parts), path.read_bytes()) for parts, path in sorted(_below(folder))]
    digest = hashlib.sha256()
    for name, content in files:
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return _pack(files), digest.hexdigest()


def pack_challenge(folder: Path) -> bytes:
    """Return the archive of a challenge's Python code, which is all that a submission sees of its folder.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    from hepchallenge.run.container import python_code

    found: dict[str, Path] = {}
    for path in [*map(Path, python_code(folder)), folder / "external_imports"]:
        if path.name in _NOT_CODE:
            continue
        if path.is_file():
            found[path.name] = path
        else:
            found |= {"/".join((path.name, *parts)): inner for parts, inner in _below(path)}
    return _pack([(name, path.read_bytes()) for name, path in sorted(found.items())])


def unpack_challenge(archive: Path, target: Path) -> None:
    """Write the files of a challenge's archive into a folder.

    Raises
    ------
    InfrastructureError
        If it is damaged.
    """
    try:
        with open_archive(
            os.open(archive, os.O_RDONLY | os.O_CLOEXEC), "challenge.tar", target, _MOST_MEMBERS, _MOST_BYTES
        ) as members:
            for member in members:
                file = target.joinpath(*member_path(member.name)[1:])
                file.parent.mkdir(parents=True, exist_ok=True)
                with open(file, "xb") as out:
                    out.writelines(member.chunks())
    except InvalidSubmission as error:
        raise InfrastructureError(f"a challenge's archive that was damaged on its way: {error}") from None

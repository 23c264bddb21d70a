"""Archives as submissions: what is in them, found out without writing or executing any of it.

Read are `.zip`, `.tar`, `.tar.gz` and `.tgz`, always through a descriptor that is open already. All members
are looked at before the first one is read; what is neither a plain file nor a folder, encrypted, or not as
the archive's own directory says, is refused by its name. Nothing but names and contents is taken over. An
archive within an archive is a file like any other.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import stat
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from hepchallenge.exceptions import InfrastructureError, InvalidSubmission

__all__ = ["ARCHIVES", "Member", "is_archive", "member_path", "open_archive"]

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
"""Endings of archives that are taken as submissions."""

_CHUNK = 1 << 20
_MAX_HEADER = 1 << 20
_MAX_DIRECTORY = 8 << 20
_BLOCK = tarfile.BLOCKSIZE
_ZIP_END = struct.Struct("<4s4H2LH")
_ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a fifo",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class Member:
    """One plain file of an archive: its name there, the size it claims, and how to read it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]

    def chunks(self) -> Iterator[bytes]:
        """Give the content in pieces; InvalidSubmission if it is not what the archive's directory says."""
        with _blamed_on(f"{self.name!a:.200}"):
            reader = self.open()
        with contextlib.closing(reader):
            while True:
                with _blamed_on(f"{self.name!a:.200}"):
                    data = reader.read(_CHUNK)
                if not data:
                    return
                yield data


def is_archive(name: str) -> bool:
    """Tell by its name whether a file is an archive; a zipped table (`x.csv.zip`) is none."""
    lower = name.lower()
    return lower.endswith(ARCHIVES) and not lower.endswith(".csv.zip")


def member_path(name: str) -> tuple[str, ...]:
    """Return the parts of a member's name; none for the archive's own top folder.

    Raises
    ------
    InvalidSubmission
        If the name is absolute, leads upward, or means something else on another system.
    """
    if name.startswith("/"):
        raise InvalidSubmission(f"{name!a:.200}: absolute paths are not taken")
    if "\\" in name:
        raise InvalidSubmission(f"{name!a:.200}: names with backslashes are not taken")
    if _DRIVE.match(name):
        raise InvalidSubmission(f"{name!a:.200}: names with drive letters are not taken")
    parts = name.removesuffix("/").split("/")
    while parts and parts[0] == ".":
        del parts[0]
    if ".." in parts:
        raise InvalidSubmission(f"{name!a:.200}: paths that lead upward are not taken")
    if "" in parts or "." in parts:
        raise InvalidSubmission(f"{name!a:.200}: expected a plain path of names between single slashes")
    return tuple(parts)


@contextlib.contextmanager
def open_archive(
    descriptor: int, name: str, scratch: Path, most_members: int, most_bytes: int
) -> Iterator[list[Member]]:
    """Give the plain files of an archive, in its own order.

    Parameters
    ----------
    descriptor
        The open archive; it is closed.
    name
        Its file name, which tells the kind.
    scratch
        Folder for what a compressed archive holds while it is read; nothing stays there.
    most_members, most_bytes
        How many members an archive may have, folders included, and how large it may be, packed and
        unpacked.

    Raises
    ------
    InvalidSubmission
        If the archive is damaged, too large, or has a member that is not taken. Reading a member that was
        given can raise it too.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(os.fdopen(descriptor, "rb"))
        # What happens while the members are in use is not all the archive's fault.
        with _blamed_on(name):
            members = _members(file, name, scratch, most_members, most_bytes, stack)
        yield members


def _members(
    file: IO[bytes],
    name: str,
    scratch: Path,
    most_members: int,
    most_bytes: int,
    stack: contextlib.ExitStack,
) -> list[Member]:
    if os.fstat(file.fileno()).st_size > most_bytes:
        raise InvalidSubmission(f"{name}: larger than the {most_bytes // 2**20} MiB allowed in all")
    if name.lower().endswith(".zip"):
        _check_zip_end(file, most_members)
        return _zip_members(stack.enter_context(zipfile.ZipFile(file)), most_members)
    plain = file
    if not name.lower().endswith(".tar"):
        try:
            unpacked = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - closed by the stack
        except OSError as error:
            raise InfrastructureError(f"cannot unpack {name} in {scratch}: {error.strerror}") from error
        plain = cast("IO[bytes]", stack.enter_context(unpacked))
        # Headers and padding come on top of the contents.
        _unpack(file, plain, most_bytes + most_members * 4 * _BLOCK)
    guarded = cast("IO[bytes]", _Guarded(plain))
    return _tar_members(stack.enter_context(_open_tar(guarded)), plain, most_members)


@contextlib.contextmanager
def _blamed_on(name: str) -> Iterator[None]:
    """Turn whatever the libraries raise about a malformed archive into its author's fault."""
    try:
        yield
    except (InvalidSubmission, InfrastructureError, GeneratorExit, KeyboardInterrupt):
        raise
    except RuntimeError as error:
        # A tar file can nest its headers deeper than Python its calls.
        raise InvalidSubmission(
            f"{name}: damaged or no archive of this kind: {type(error).__name__}"
        ) from None
    except Exception as error:
        # They raise many kinds: of their own, of zlib and struct, ValueError, KeyError, EOFError.
        raise InvalidSubmission(f"{name}: damaged or no archive of this kind: {error!s:.200}") from None


# Zip


def _check_zip_end(file: IO[bytes], most_members: int) -> None:
    """Refuse a central directory that would take much memory to read."""
    size = file.seek(0, os.SEEK_END)
    tail_size = min(size, _ZIP_END.size + 0xFFFF)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < _ZIP_END.size:
        raise InvalidSubmission("a zip archive without its end: truncated, or no zip archive")
    _, _, _, _, count, directory, _, _ = _ZIP_END.unpack_from(tail, place)
    # The large form of archive is for more members and bytes than are taken.
    large = tail[max(0, place - 20) : place].startswith(b"PK\x06\x07")
    if count > most_members or large or directory > _MAX_DIRECTORY:
        raise InvalidSubmission(f"an archive of more than {most_members} members, or of Zip64 form")
    file.seek(0)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return the name as it is in the archive, which a reader may have cut or translated."""
    name = info.orig_filename
    if not info.flag_bits & 0x800 and not name.isascii():
        # Without the flag it is in some other code, most often UTF-8 nevertheless.
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            raise InvalidSubmission(f"{name!a:.200}: file names are UTF-8") from None
    return name


def _zip_members(archive: zipfile.ZipFile, most_members: int) -> list[Member]:
    members = []
    infos = archive.infolist()
    if len(infos) > most_members:
        raise InvalidSubmission(f"an archive of more than {most_members} members")
    for info in infos:
        name = _zip_name(info)
        shown = f"{name!a:.200}"
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InvalidSubmission(
                f"{shown}: expected a plain file, found {_KINDS.get(kind, 'a special one')}"
            )
        if info.flag_bits & 0x41:
            raise InvalidSubmission(f"{shown}: encrypted members are not taken")
        if info.compress_type not in _ZIP_METHODS:
            raise InvalidSubmission(
                f"{shown}: compressed by method {info.compress_type}; expected stored or deflated"
            )
        if name.endswith("/"):
            if info.file_size:
                raise InvalidSubmission(f"{shown}: a folder with content")
            member_path(name)
            continue
        if kind == stat.S_IFDIR:
            raise InvalidSubmission(f"{shown}: a folder that is called like a file")

        def opened(info: zipfile.ZipInfo = info) -> IO[bytes]:
            return archive.open(info)

        members.append(Member(name, info.file_size, opened))
    return members


# Tar


class _Guarded:
    """A file that gives no more at once than a reasonable header needs."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_HEADER:
            raise InvalidSubmission(f"a header of an archive's member is larger than {_MAX_HEADER} bytes")
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _unpack(packed: IO[bytes], plain: IO[bytes], most_bytes: int) -> None:
    size = 0
    with gzip.GzipFile(fileobj=packed) as unpacked:
        while data := unpacked.read(_CHUNK):
            size += len(data)
            if size > most_bytes:
                raise InvalidSubmission(f"unpacks to more than the {most_bytes // 2**20} MiB allowed")
            try:
                plain.write(data)
            except OSError as error:
                raise InfrastructureError(f"cannot unpack an archive: {error.strerror}") from error
    plain.seek(0)


def _open_tar(file: IO[bytes]) -> tarfile.TarFile:
    return tarfile.TarFile(fileobj=file, encoding="utf-8", errors="surrogateescape")


def _tar_members(archive: tarfile.TarFile, file: IO[bytes], most_members: int) -> list[Member]:
    members = []
    count = 0
    for info in archive:
        count += 1
        if count > most_members:
            raise InvalidSubmission(f"an archive of more than {most_members} members")
        shown = f"{info.name!a:.200}"
        if info.isdir():
            member_path(info.name)
            continue
        if not info.isreg() or info.issparse():
            kind = "a link" if info.issym() or info.islnk() else "a fifo" if info.isfifo() else None
            kind = kind or (
                "a device" if info.isdev() else "a sparse one" if info.issparse() else "a special one"
            )
            raise InvalidSubmission(f"{shown}: expected a plain file, found {kind}")

        def opened(info: tarfile.TarInfo = info) -> IO[bytes]:
            reader = archive.extractfile(info)
            assert reader is not None, "only plain files are opened"
            return reader

        if info.size < 0:
            raise InvalidSubmission(f"{shown}: claims a size of {info.size} bytes")
        members.append(Member(info.name, info.size, opened))
    # A broken header in the middle ends the list without a word.
    file.seek(archive.offset)
    end = file.read(_BLOCK)
    if end != bytes(_BLOCK):
        raise InvalidSubmission("a tar archive without its end: truncated, damaged, or no tar archive")
    return members

"""An archive from somewhere becomes a folder, or an error and nothing: no name in it leads outside."""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from skerry.errors import Damaged, InvalidInput, TooLarge, Unsupported
from skerry.serve.update.disk import disk_errors

# A package has some ten files and its golden images; the rest is a bound on inodes.
FILES_MAX = 10_000
NAME_CHARACTERS_MAX = 200
DEPTH_MAX = 4
# What a tar may say about one member before its content: long names need some hundred bytes.
HEADER_BYTES_MAX = 256 * 1024
# A zip's list of contents is read as a whole: 10,000 entries with names of 200 characters.
LISTING_BYTES_MAX = 4 * 1024 * 1024
BLOCK = 256 * 1024

MANIFEST = "manifest.json"

# What the standard library's readers raise for content that is not what it says.
BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    gzip.BadGzipFile,
    EOFError,
    struct.error,
    ValueError,
    OverflowError,
    RecursionError,
    NotImplementedError,
    RuntimeError,
)


class Readable(Protocol):
    """Something that gives bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes; none at the end."""


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    is_folder: bool
    content: Readable | None


def unpack(archive: Path, target: Path, *, bytes_max: int) -> Path:
    """Unpack a .tar, .tar.gz or .zip into the new folder ``target``; the folder of the package in it.

    The package lies at the top or in the one folder there. On any error ``target`` is gone again. Raises
    InvalidInput for a name that leads outside, twice the same or a link, Unsupported for another format,
    Damaged for one that breaks off, TooLarge above ``bytes_max`` unpacked bytes or ``FILES_MAX`` files.
    """
    with disk_errors("the unpacked package"):
        target.mkdir()
        try:
            _write_all(archive, target, bytes_max)
            return _package_folder(target)
        except BaseException:
            shutil.rmtree(target)
            raise


def _write_all(archive: Path, target: Path, bytes_max: int) -> None:
    left, count = bytes_max, 0
    try:
        with archive.open("rb") as stream:
            for member in _members(stream):
                count += 1
                if count > FILES_MAX:
                    raise TooLarge(f"more than {FILES_MAX} files in the archive", limit=FILES_MAX)
                place = target.joinpath(*_parts(member.name))
                if member.is_folder:
                    place.mkdir(parents=True, exist_ok=True)
                elif member.content is not None:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    left -= _write(member.content, place, left, bytes_max)
    except (FileExistsError, NotADirectoryError) as exc:
        raise InvalidInput("two things in the archive have the same name") from exc
    except BROKEN as exc:
        if isinstance(exc, gzip.BadGzipFile | tarfile.TarError | zipfile.BadZipFile | ValueError | EOFError):
            raise Damaged(f"the archive is broken: {exc}") from exc
        raise Damaged(f"the archive is broken: {type(exc).__name__}") from exc


def _write(content: Readable, place: Path, left: int, bytes_max: int) -> int:
    written = 0
    with place.open("xb") as stream:
        while block := content.read(BLOCK):
            written += len(block)
            if written > left:
                raise TooLarge(f"the archive holds more than {bytes_max} bytes", limit=bytes_max)
            stream.write(block)
    return written


def _parts(name: str) -> tuple[str, ...]:
    """The steps of a relative path that stays inside. Raises InvalidInput."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    outside = name.startswith("/") or ".." in parts
    strange = any(ord(char) < 32 or char in "\\:\x7f" or 0xD800 <= ord(char) <= 0xDFFF for char in name)
    if outside or strange or len(name) > NAME_CHARACTERS_MAX or len(parts) > DEPTH_MAX:
        raise InvalidInput(
            f"the archive has a name that is not one inside it: {name[:100]!r}", name=name[:100]
        )
    return parts


def _package_folder(target: Path) -> Path:
    if (target / MANIFEST).is_file():
        return target
    found = list(target.iterdir())
    if len(found) == 1 and (found[0] / MANIFEST).is_file():
        return found[0]
    raise InvalidInput(
        f"the archive is no model package: no {MANIFEST} at its top",
        hint="pack the folder that skerry model build wrote",
    )


def _members(stream: IO[bytes]) -> Iterator[_Member]:
    head = stream.read(512)
    stream.seek(0)
    if head.startswith(b"PK\x03\x04"):
        return _zip_members(stream)
    if head.startswith(b"\x1f\x8b"):
        return _tar_members(gzip.GzipFile(fileobj=stream, mode="rb"))
    if head[257:262] == b"ustar":
        return _tar_members(stream)
    raise Unsupported("the archive is neither tar, tar.gz nor zip", hint="pack the package as one of these")


class _Metered(io.RawIOBase):
    """A stream that gives only so much until it is allowed more, against headers that never end."""

    def __init__(self, stream: Readable) -> None:
        super().__init__()
        self._stream = stream
        self.allowance = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self.allowance -= len(data)
        if self.allowance < 0:
            raise InvalidInput("the archive says too much about one file")
        return data


def _tar_members(stream: Readable) -> Iterator[_Member]:
    metered = _Metered(stream)
    # As a stream: nothing is sought, nothing is read twice, and a size in a header is only a claim.
    metered.allowance = HEADER_BYTES_MAX
    with tarfile.open(fileobj=metered, mode="r|") as tar:
        while (info := tar.next()) is not None:
            if info.isdir():
                yield _Member(info.name, True, None)
            elif info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and info.sparse is None:
                metered.allowance = info.size + HEADER_BYTES_MAX
                yield _Member(info.name, False, tar.extractfile(info))
            else:
                raise InvalidInput(
                    f"the archive holds a link or device: {info.name[:100]!r}", name=info.name[:100]
                )
            metered.allowance = HEADER_BYTES_MAX


def _zip_members(stream: IO[bytes]) -> Iterator[_Member]:
    _check_listing(stream)
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            if not info.filename:
                # zipfile's own is_dir() fails on it.
                raise InvalidInput("the archive has a file without a name")
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise InvalidInput(
                    f"the archive holds a link or device: {info.filename[:100]!r}", name=info.filename[:100]
                )
            if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Unsupported("the zip is encrypted or compressed in another way than deflate")
            if info.is_dir():
                yield _Member(info.filename, True, None)
                continue
            with archive.open(info) as content:
                yield _Member(info.orig_filename, False, content)


def _check_listing(stream: IO[bytes]) -> None:
    """Refuse a zip whose list of contents would fill the memory (APPNOTE.TXT 4.3.16)."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - 65_557))
    tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise Damaged("the archive is broken: the end of the zip is missing")
    if tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
        raise Unsupported("the archive is a zip64", hint="a package needs no zip of 4 GB")
    entries, listing = struct.unpack("<HI", tail[at + 10 : at + 16])
    if listing > LISTING_BYTES_MAX or entries > FILES_MAX:
        raise TooLarge(f"the zip lists more than {FILES_MAX} files", limit=FILES_MAX)

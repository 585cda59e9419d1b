"""A Debian package file opened: its control paragraph and its files (deb(5))."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from skerry.errors import Damaged, Unsupported
from skerry.oci.layer import Directory, Entry, File, Symlink
from skerry.oci.validate import member_path

MAGIC = b"!<arch>\n"
HEADER_BYTES = 60
# What Python unpacks without a further library; Debian 12 packages are xz.
COMPRESSIONS = ("", ".gz", ".xz", ".bz2")


@dataclass(frozen=True, slots=True)
class Deb:
    """``control`` is the paragraph as text, ``entries`` the files of the package."""

    control: str
    entries: tuple[Entry, ...]


def read_deb(data: bytes) -> Deb:
    """The package in ``data``. ``Damaged`` when it is none, ``Unsupported`` for a compression we lack."""
    control = data_entries = None
    for name, content in _ar_members(data):
        if name.startswith("control.tar"):
            control = _control(_tar(name, content))
        elif name.startswith("data.tar"):
            data_entries = tuple(_entries(_tar(name, content)))
    if control is None or data_entries is None:
        raise Damaged("the file is not a Debian package", hint="control.tar or data.tar is missing")
    return Deb(control, data_entries)


def _ar_members(data: bytes) -> Iterator[tuple[str, bytes]]:
    if not data.startswith(MAGIC):
        raise Damaged("the file is not a Debian package", hint="it does not begin with !<arch>")
    at = len(MAGIC)
    while at < len(data):
        header = data[at : at + HEADER_BYTES]
        size = header[48:58].strip()
        if len(header) < HEADER_BYTES or header[58:] != b"`\n" or not size.isdigit():
            raise Damaged("the Debian package has a malformed member header", position=at)
        start = at + HEADER_BYTES
        end = start + int(size)
        if end > len(data):
            raise Damaged("the Debian package is cut short", position=at)
        yield header[:16].decode("ascii", "replace").rstrip(" /"), data[start:end]
        at = end + end % 2


def _tar(name: str, content: bytes) -> tarfile.TarFile:
    suffix = name.partition(".tar")[2]
    if suffix not in COMPRESSIONS:
        raise Unsupported(
            f"cannot open {name}", hint=f"supported: {', '.join(COMPRESSIONS[1:])}", value=suffix
        )
    try:
        return tarfile.open(fileobj=io.BytesIO(content), mode="r:*")
    except tarfile.TarError as exc:
        raise Damaged(f"{name} in the Debian package is no tar archive") from exc


def _control(tar: tarfile.TarFile) -> str:
    with tar:
        for member in tar:
            if member_path(member.name) == ("control",):
                return _content(tar, member).decode()
    raise Damaged("the Debian package has no control file")


def _entries(tar: tarfile.TarFile) -> Iterator[Entry]:
    with tar:
        for member in tar:
            path = "/".join(member_path(member.name))
            if not path:
                continue
            if member.isdir():
                yield Directory(path, member.mode)
            elif member.issym():
                yield Symlink(path, member.linkname)
            elif member.isreg() or member.islnk():
                # A hard link becomes a file of its own: what it names may be left out of the image.
                yield File(path, _content(tar, member), member.mode)
            else:
                raise Damaged(f"the Debian package holds a device or pipe: {path}", path=path)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    if file is None:
        raise Damaged(f"{member.name} in the Debian package cannot be read", path=member.name)
    with file:
        return file.read()

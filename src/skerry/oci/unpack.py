"""The root file system of an image, unpacked where nothing can get out of the directory.

A layer is foreign data. It may name ``../x``, put a link in the way of a later file or bring a device: all
of that is refused as ``Damaged``, and a directory that was refused does not appear at all.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from skerry.errors import AlreadyExists, Damaged
from skerry.oci.files import whole_directory
from skerry.oci.image import Layer
from skerry.oci.layer import CHUNK_BYTES
from skerry.oci.layer_stream import open_layer
from skerry.oci.layout import blob_path, read_layout
from skerry.oci.validate import member_path

# image-spec, layer.md, "Whiteouts".
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
# Links in a path are followed this often, as Linux does (path_resolution(7), MAXSYMLINKS).
LINKS_MAX = 40
# Ten times what a full desktop image has; more is taken for an attack on the file system.
MEMBERS_MAX = 2_000_000
# Set-id and sticky bits are dropped: the files belong to whoever unpacks, not to root.
MODE_BITS = 0o777
OWNER_BITS = 0o700


def unpack(layout: Path, directory: Path) -> None:
    """The image of the layout as one merged tree at ``directory``, which must not exist yet.

    Owners become the caller; no privilege is needed. Links in the tree are meant for a process whose root
    it is: an absolute one read from outside leads elsewhere. ``Damaged`` for content that is not what the
    manifest names or that reaches outside, ``AlreadyExists`` when the directory is there.
    """
    image = read_layout(layout)
    if directory.exists():
        raise AlreadyExists(f"{directory} exists", hint="unpack into a new directory", path=str(directory))
    with whole_directory(directory) as work:
        for layer in image.layers:
            apply_layer(blob_path(layout, layer.descriptor.digest), layer, work)


def apply_layer(blob: Path, layer: Layer, root: Path) -> None:
    """Lay one layer over what is in ``root``, whiteouts included. On an error ``root`` is half done."""
    tree = _Tree(root)
    try:
        with (
            open_layer(blob, layer) as plain,
            tarfile.open(fileobj=plain, mode="r|", bufsize=CHUNK_BYTES) as tar,
        ):
            for count, member in enumerate(tar):
                if count >= MEMBERS_MAX:
                    raise Damaged(f"a layer has more than {MEMBERS_MAX} members")
                tree.add(tar, member)
    except (tarfile.TarError, EOFError) as exc:
        raise Damaged(f"a layer is not a tar archive: {exc}", digest=layer.descriptor.digest) from exc
    tree.set_directory_modes()


class _Tree:
    """The tree one layer is laid over; remembers what this layer brought, which whiteouts do not touch."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._fresh: set[Path] = set()
        self._modes: dict[Path, int] = {}

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        parts = member_path(member.name)
        if not parts:
            return
        parent = self._directory(parts[:-1], member.name)
        if parts[-1].startswith(WHITEOUT):
            self._whiteout(parent, parts[-1], member.name)
            return
        path = parent / parts[-1]
        if member.isdir():
            self._make_directory(path, member.mode)
        elif member.isreg():
            self._make_file(tar, member, path)
        elif member.issym():
            self._make_symlink(path, member)
        elif member.islnk():
            self._make_hard_link(path, member)
        else:
            raise Damaged(f"the layer holds a device or pipe: {member.name}", path=member.name)
        self._remember(path)

    def set_directory_modes(self) -> None:
        """Last, so that a read-only directory could be filled; the owner keeps access to all of it."""
        for path, mode in self._modes.items():
            if path.is_dir() and not path.is_symlink():
                path.chmod(mode & MODE_BITS | OWNER_BITS)

    def _directory(self, parts: tuple[str, ...], name: str) -> Path:
        """The directory below the root that ``parts`` lead to, links resolved inside; made where missing."""
        place: list[str] = []
        todo = list(reversed(parts))
        links = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not place:
                    raise Damaged(f"a link leads {name} out of the root", path=name)
                place.pop()
                continue
            path = self._root.joinpath(*place, part)
            if path.is_symlink():
                links += 1
                target = os.readlink(path)
                if links > LINKS_MAX:
                    raise Damaged(f"too many links on the way to {name}", path=name)
                if target.startswith("/"):
                    place.clear()
                todo.extend(reversed(target.split("/")))
                continue
            if path.exists() and not path.is_dir():
                raise Damaged(f"a file is in the way of {name}", path=name)
            path.mkdir(exist_ok=True)
            place.append(part)
        return self._root.joinpath(*place)

    def _make_directory(self, path: Path, mode: int) -> None:
        if path.is_symlink() or not path.is_dir():
            _remove(path)
            path.mkdir()
        self._modes[path] = mode

    def _make_file(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
        _remove(path)
        source = tar.extractfile(member)
        assert source is not None
        with source, path.open("xb") as file:
            shutil.copyfileobj(source, file, CHUNK_BYTES)
            os.fchmod(file.fileno(), member.mode & MODE_BITS | 0o400)

    def _make_symlink(self, path: Path, member: tarfile.TarInfo) -> None:
        depth = len(path.parent.relative_to(self._root).parts)
        for step in () if member.linkname.startswith("/") else member.linkname.split("/"):
            depth += {"..": -1, ".": 0, "": 0}.get(step, 1)
            if depth < 0:
                raise Damaged(
                    f"the link {member.name} leaves the root", path=member.name, target=member.linkname
                )
        _remove(path)
        path.symlink_to(member.linkname)

    def _make_hard_link(self, path: Path, member: tarfile.TarInfo) -> None:
        parts = member_path(member.linkname)
        target = self._directory(parts[:-1], member.name) / parts[-1] if parts else self._root
        if target.is_symlink() or not target.is_file():
            raise Damaged(f"the hard link {member.name} names no file of the image", path=member.name)
        if target != path:
            _remove(path)
            os.link(target, path)

    def _whiteout(self, parent: Path, name: str, member: str) -> None:
        if name == OPAQUE:
            for path in list(parent.iterdir()):
                self._remove_lower(path)
            return
        hidden = name.removeprefix(WHITEOUT)
        if hidden in ("", ".", ".."):
            raise Damaged(f"the layer holds a malformed whiteout: {member}", path=member)
        self._remove_lower(parent / hidden)

    def _remove_lower(self, path: Path) -> None:
        """Remove what lower layers put there; what this layer brought stays."""
        if path not in self._fresh:
            _remove(path)
        elif path.is_dir() and not path.is_symlink():
            for inner in list(path.iterdir()):
                self._remove_lower(inner)

    def _remember(self, path: Path) -> None:
        while path not in self._fresh and path != self._root:
            self._fresh.add(path)
            path = path.parent


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

"""Images unpacked for the process engine: every layer once, shared by hard links.

A tree is named by its chain, the digest over the diff ids up to it (image-spec, config.md, "Layer ChainID"):
the tree of n layers is the tree of the first n − 1, linked, with the last one laid over it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skerry.edge.engine.pulled import PulledImages
from skerry.edge.engine.space import plain_bytes
from skerry.errors import Damaged, NotFound
from skerry.oci.files import whole_directory, whole_file
from skerry.oci.image import Image as OciImage
from skerry.oci.image import Layer
from skerry.oci.layout import blob_path, find_layout, read_layout
from skerry.oci.unpack import apply_layer


@dataclass(frozen=True)
class Image:
    """An unpacked image: where its root is, and what its config says to run."""

    id: str
    root: Path
    entrypoint: Sequence[str]
    cmd: Sequence[str]
    env: Mapping[str, str]
    working_dir: str
    user: str
    stop_signal: str
    healthcheck: Mapping[str, Any] | None
    volumes: Sequence[str] = ()


class ImageStore:
    """Layouts below ``images`` in, trees below ``state`` out."""

    def __init__(self, images: Path, state: Path, pulled: PulledImages | None = None) -> None:
        self._images = images
        self._pulled = pulled
        self._state = state
        # Images share trees; two that are unpacked at once must not make the same one.
        self._unpacking = threading.Lock()

    def is_unpacked(self, image: str) -> bool:
        """Whether ``find`` would succeed."""
        layout = self._find(image)
        return layout is not None and self._tree(_chain(read_layout(layout))).is_dir()

    def unpack(self, image: str) -> Image:
        """Have the tree of ``image``; layers already here are not unpacked again.

        ``NotFound`` when there is no such layout, ``Damaged`` when it is not what its digests say,
        ``StorageFull`` is the caller's to tell from ``OSError``.
        """
        with self._unpacking:
            self._unpack(self._layout(image))
        return self.find(image)

    def _unpack(self, layout: Path) -> None:
        found = read_layout(layout)
        below: Path | None = None
        for count, layer in enumerate(found.layers, start=1):
            tree = self._tree(_chain(found, count))
            if not tree.is_dir():
                with whole_directory(tree) as work:
                    if below is not None:
                        shutil.copytree(below, work, symlinks=True, copy_function=os.link, dirs_exist_ok=True)
                    apply_layer(blob_path(layout, layer.descriptor.digest), layer, work)
            below = tree
        chain = _chain(found)
        if not self._sums(chain).exists():
            with whole_file(self._sums(chain)) as file:
                file.write(json.dumps(_digests(self._tree(chain))).encode())

    def lacking(self, image: OciImage) -> list[Layer]:
        """The layers of an image that are not unpacked here."""
        return [
            layer
            for count, layer in enumerate(image.layers, start=1)
            if not self._tree(_chain(image, count)).is_dir()
        ]

    def size(self, image: str) -> int:
        """About how many bytes unpacking ``image`` would take now: its layers that are not here yet."""
        layout = self._layout(image)
        lacking = self.lacking(read_layout(layout))
        return sum(plain_bytes(blob_path(layout, layer.descriptor.digest)) for layer in lacking)

    def remove(self, image: str, used: Iterable[str]) -> None:
        """Remove the trees of ``image`` but those of the images in ``used``; its layout is not ours."""
        with self._unpacking:
            if (layout := self._find(image)) is None:
                return
            kept = {
                _chain(read_layout(other))
                for name in used
                if name != image and (other := self._find(name)) is not None
            }
            found = read_layout(layout)
            for count in range(1, len(found.layers) + 1):
                if (chain := _chain(found, count)) not in kept:
                    shutil.rmtree(self._tree(chain), ignore_errors=True)
                    self._sums(chain).unlink(missing_ok=True)

    def verify(self, image: str) -> None:
        """Read the tree of ``image`` again; Damaged when a file is not what was unpacked."""
        chain = _chain(read_layout(self._layout(image)))
        try:
            expected = json.loads(self._sums(chain).read_text())
        except FileNotFoundError:
            raise Damaged(f"nobody knows what image {image} has to look like", image=image) from None
        changed = [name for name, digest in expected.items() if _digest(self._tree(chain) / name) != digest]
        if changed:
            raise Damaged(
                f"{len(changed)} files of image {image} were changed on this device, {changed[0]} among them",
                hint="somebody altered them, or the disk is failing: remove the image, it is unpacked again",
                image=image,
            )

    def find(self, image: str) -> Image:
        """An unpacked image. ``NotFound`` when it is not here or not unpacked."""
        found = read_layout(self._layout(image))
        tree = self._tree(_chain(found))
        if not tree.is_dir():
            raise NotFound(f"image {image} is not unpacked", image=image)
        config = json.loads(found.config).get("config") or {}
        env = dict(item.partition("=")[::2] for item in config.get("Env") or [])
        return Image(
            id=str(found.config_digest),
            root=tree,
            entrypoint=config.get("Entrypoint") or [],
            cmd=config.get("Cmd") or [],
            env=env,
            working_dir=config.get("WorkingDir") or "/",
            user=str(config.get("User") or ""),
            stop_signal=str(config.get("StopSignal") or "SIGTERM"),
            healthcheck=config.get("Healthcheck"),
            volumes=sorted(config.get("Volumes") or {}),
        )

    def _layout(self, image: str) -> Path:
        layout = self._find(image)
        if layout is None:
            raise NotFound(
                f"there is no image {image}",
                hint=f"put its OCI layout into {self._images}/<name>/<tag>, or name its registry",
                image=image,
            )
        return layout

    def _find(self, image: str) -> Path | None:
        """What somebody put here comes first, then what was pulled."""
        given = find_layout(self._images, image)
        return given if given is not None or self._pulled is None else self._pulled.layout(image)

    def _tree(self, chain: str) -> Path:
        return self._state / chain

    def _sums(self, chain: str) -> Path:
        return self._state / f"{chain}.files"


def _chain(image: OciImage, count: int | None = None) -> str:
    chain = hashlib.sha256()
    for layer in image.layers[:count]:
        chain = hashlib.sha256(f"{chain.hexdigest()} {layer.diff_id}".encode())
    return chain.hexdigest()


def _digests(root: Path) -> dict[str, str]:
    names = (Path(folder) / name for folder, _, files in os.walk(root) for name in files)
    return {
        str(path.relative_to(root)): _digest(path) for path in names if path.is_symlink() or path.is_file()
    }


def _digest(path: Path) -> str:
    if path.is_symlink():
        return os.readlink(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""

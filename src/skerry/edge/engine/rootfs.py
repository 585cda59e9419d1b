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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skerry.errors import NotFound
from skerry.oci.files import whole_directory
from skerry.oci.image import Image as OciImage
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
    user: int | None


class ImageStore:
    """Layouts below ``images`` in, trees below ``state`` out."""

    def __init__(self, images: Path, state: Path) -> None:
        self._images = images
        self._state = state
        # Images share trees; two that are unpacked at once must not make the same one.
        self._unpacking = threading.Lock()

    def is_unpacked(self, image: str) -> bool:
        """Whether ``find`` would succeed."""
        layout = find_layout(self._images, image)
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

    def find(self, image: str) -> Image:
        """An unpacked image. ``NotFound`` when it is not here or not unpacked."""
        found = read_layout(self._layout(image))
        tree = self._tree(_chain(found))
        if not tree.is_dir():
            raise NotFound(f"image {image} is not unpacked", image=image)
        config = json.loads(found.config).get("config") or {}
        env = dict(item.partition("=")[::2] for item in config.get("Env") or [])
        user = str(config.get("User") or "").partition(":")[0]
        return Image(
            id=str(found.config_digest),
            root=tree,
            entrypoint=config.get("Entrypoint") or [],
            cmd=config.get("Cmd") or [],
            env=env,
            working_dir=config.get("WorkingDir") or "/",
            user=int(user) if user.isdigit() else None,
        )

    def _layout(self, image: str) -> Path:
        layout = find_layout(self._images, image)
        if layout is None:
            raise NotFound(
                f"there is no image {image}",
                hint=f"put its OCI layout into {self._images}/<name>/<tag>, or use the Docker engine",
                image=image,
            )
        return layout

    def _tree(self, chain: str) -> Path:
        return self._state / chain


def _chain(image: OciImage, count: int | None = None) -> str:
    chain = hashlib.sha256()
    for layer in image.layers[:count]:
        chain = hashlib.sha256(f"{chain.hexdigest()} {layer.diff_id}".encode())
    return chain.hexdigest()

"""Names and sizes of images in a Docker Engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skerry.edge.engine.space import GROWTH, check_room, plain_bytes
from skerry.oci.layout import blob_path, read_layout

# Part of the tag under which an image that is pinned by its digest is loaded: it cannot have the digest.
PINNED = "pinned-"
PINNED_CHARACTERS = 24


def local_name(image: str) -> str:
    """The name under which an image from a layout is kept: Docker knows digests of pulled images only."""
    name, at, digest = image.partition("@sha256:")
    if not at:
        return image
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}:{PINNED}{digest[:PINNED_CHARACTERS]}"


def layout_bytes(layout: Path) -> int:
    """About how many bytes an image takes once it is loaded: the archive on the way, then the layers."""
    found = read_layout(layout)
    return 2 * sum(plain_bytes(blob_path(layout, layer.descriptor.digest)) for layer in found.layers)


class PullRoom:
    """Watches a pull: its layers tell their sizes as they come, so it ends before the disk is full."""

    def __init__(self, image: str, root: Path) -> None:
        self._image = image
        self._root = root
        self._sizes: dict[str, int] = {}
        self._got: dict[str, int] = {}

    def progress(self, told: Mapping[str, Any]) -> None:
        """Take a progress message. StorageFull when what is still to come does not fit."""
        detail, layer = told.get("progressDetail") or {}, str(told.get("id", ""))
        if told.get("status") != "Downloading" or not detail.get("total"):
            return
        known = self._sizes.get(layer)
        self._sizes[layer], self._got[layer] = int(detail["total"]), int(detail.get("current", 0))
        if known is None:
            to_come = sum(self._sizes.values()) * (1 + GROWTH) - sum(self._got.values())
            check_room(self._image, to_come, self._root)

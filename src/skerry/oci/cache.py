"""Compressed layers kept by what they are made of, so that nothing is packed twice."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from skerry.errors import InvalidInput
from skerry.oci.digest import Digest, digest_of
from skerry.oci.files import whole_file
from skerry.oci.image import OCI_LAYER_GZIP, Descriptor, Layer, canonical_json
from skerry.oci.layer import COMPRESSION_LEVEL, Entry, diff_id, pack

# How a file of the cache may fail to be what we wrote; the layer is then made again.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, InvalidInput)


class LayerCache:
    """Layers below a directory: blobs by digest, found again by diff id or by the key of their inputs.

    A file that does not read back is no error; the layer is made again. Safe for several processes: every
    file appears whole.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory

    def layer(self, label: str, key: str, make: Callable[[], Iterable[Entry]]) -> Layer:
        """The layer that ``make`` gives, from the cache when one with ``key`` or the same content is there.

        ``key`` must change whenever ``make`` would give something else.
        """
        name = digest_of(key.encode())
        known = self._pointer("keys", name)
        if known is not None and (found := self._known(label, known)) is not None:
            return found
        entries = list(make())
        content = diff_id(entries)
        layer = self._known(label, content) or self._pack(label, entries)
        self._point("keys", name, {"diff_id": layer.diff_id})
        return layer

    def blob(self, digest: Digest) -> Path:
        """Where a layer's compressed bytes lie."""
        return self._directory / "blobs" / digest.hex

    def _known(self, label: str, content: Digest) -> Layer | None:
        try:
            found = json.loads(self._file("diff-ids", content).read_bytes())
            descriptor = Descriptor(OCI_LAYER_GZIP, Digest(found["digest"]), int(found["size"]))
            with self.blob(descriptor.digest).open("rb") as file:
                read_back = hashlib.file_digest(file, "sha256").hexdigest()
            if found["level"] != COMPRESSION_LEVEL or read_back != descriptor.digest.hex:
                return None
        except UNREADABLE:
            return None
        return Layer(descriptor, content, label)

    def _pack(self, label: str, entries: list[Entry]) -> Layer:
        with tempfile.TemporaryDirectory(prefix="packing-", dir=self._directory) as work:
            part = Path(work) / "layer"
            with part.open("wb") as file:
                packed = pack(entries, file)
            self.blob(packed.digest).parent.mkdir(exist_ok=True)
            part.replace(self.blob(packed.digest))
        about = {"digest": packed.digest, "size": packed.size, "level": COMPRESSION_LEVEL}
        self._point("diff-ids", packed.diff_id, about)
        return Layer(Descriptor(OCI_LAYER_GZIP, packed.digest, packed.size), packed.diff_id, label)

    def _pointer(self, kind: str, name: Digest) -> Digest | None:
        try:
            return Digest(json.loads(self._file(kind, name).read_bytes())["diff_id"])
        except UNREADABLE:
            return None

    def _point(self, kind: str, name: Digest, document: dict[str, object]) -> None:
        with whole_file(self._file(kind, name)) as file:
            file.write(canonical_json(document))

    def _file(self, kind: str, name: Digest) -> Path:
        return self._directory / kind / f"{name.hex}.json"

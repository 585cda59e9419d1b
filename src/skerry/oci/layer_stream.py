"""A stored layer read back as its plain tar, verified on the way."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from skerry.errors import Damaged
from skerry.oci.image import Layer
from skerry.oci.layer import CHUNK_BYTES, GZIP_WINDOW_BITS
from skerry.oci.validate import GZIPPED

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# A layer that unpacks to more is taken for a bomb: ten times the largest image we know of on a device.
LAYER_BYTES_MAX = 16 << 30


@contextmanager
def open_layer(blob: Path, layer: Layer) -> Iterator[IO[bytes]]:
    """The plain tar of ``layer`` out of the file ``blob``, as a stream to read once.

    When the block ends well the rest is read and both digests are compared: ``Damaged`` means that what was
    read is not to be used.
    """
    try:
        file = blob.open("rb")
    except FileNotFoundError as exc:
        raise Damaged("a layer is missing from the image layout", digest=layer.descriptor.digest) from exc
    with file:
        stream = _LayerStream(file, gzipped=layer.descriptor.media_type in GZIPPED)
        with io.BufferedReader(stream, CHUNK_BYTES) as reader:
            yield reader
            while reader.read(CHUNK_BYTES):
                pass
        if stream.blob_hex != layer.descriptor.digest.hex or stream.plain_hex != layer.diff_id.hex:
            raise Damaged("a layer is not what the image names", digest=layer.descriptor.digest)


class _LayerStream(io.RawIOBase):
    """Reads, hashes, unpacks, hashes again; knows gzip streams of several members (RFC 1952 §2.2)."""

    def __init__(self, file: BinaryIO, *, gzipped: bool) -> None:
        self._file = file
        self._gzipped = gzipped
        self._zlib = zlib.decompressobj(GZIP_WINDOW_BITS)
        self._pending = b""
        self._blob = hashlib.sha256()
        self._plain = hashlib.sha256()
        self._size = 0

    @property
    def blob_hex(self) -> str:
        return self._blob.hexdigest()

    @property
    def plain_hex(self) -> str:
        return self._plain.hexdigest()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        room = memoryview(buffer).cast("B")
        data = self._unpacked(len(room)) if self._gzipped else self._raw(len(room))
        room[: len(data)] = data
        self._plain.update(data)
        self._size += len(data)
        if self._size > LAYER_BYTES_MAX:
            raise Damaged(f"a layer unpacks to more than {LAYER_BYTES_MAX} bytes")
        return len(data)

    def _raw(self, count: int) -> bytes:
        data = self._file.read(count)
        self._blob.update(data)
        return data

    def _unpacked(self, count: int) -> bytes:
        while True:
            if self._zlib.eof and not self._next_member():
                return b""
            source = self._pending or self._raw(CHUNK_BYTES)
            try:
                data = self._zlib.decompress(source, count)
            except zlib.error as exc:
                raise Damaged("a layer is not a gzip stream") from exc
            self._pending = self._zlib.unconsumed_tail
            if data:
                return data
            if not source and not self._zlib.eof:
                raise Damaged("a layer ends in the middle of its gzip stream")

    def _next_member(self) -> bool:
        following = self._zlib.unused_data or self._raw(CHUNK_BYTES)
        if not following:
            return False  # the finished decompressor stays, so that the end is the end however often read
        self._pending = following
        self._zlib = zlib.decompressobj(GZIP_WINDOW_BITS)
        return True

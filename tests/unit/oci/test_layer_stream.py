import gzip
from pathlib import Path

import pytest

from skerry.errors import Damaged
from skerry.oci.digest import digest_of
from skerry.oci.image import OCI_LAYER, OCI_LAYER_GZIP, Descriptor, Layer
from skerry.oci.layer_stream import open_layer

PLAIN = bytes(range(256)) * 10_000


def layer(blob: bytes, plain: bytes = PLAIN, media_type: str = OCI_LAYER_GZIP) -> Layer:
    return Layer(Descriptor(media_type, digest_of(blob), len(blob)), digest_of(plain), "")


def read(tmp_path: Path, blob: bytes, described: Layer) -> bytes:
    (tmp_path / "blob").write_bytes(blob)
    with open_layer(tmp_path / "blob", described) as stream:
        return stream.read()


@pytest.mark.parametrize(
    "blob",
    [
        gzip.compress(PLAIN),
        gzip.compress(PLAIN[:70_000]) + gzip.compress(PLAIN[70_000:]),
        gzip.compress(b"") + gzip.compress(PLAIN),
    ],
)
def test_gzip_of_one_or_more_members_is_read(tmp_path: Path, blob: bytes) -> None:
    assert read(tmp_path, blob, layer(blob)) == PLAIN


def test_plain_layer_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, PLAIN, layer(PLAIN, media_type=OCI_LAYER)) == PLAIN


def test_layer_is_verified_even_when_only_its_head_was_read(tmp_path: Path) -> None:
    blob = gzip.compress(PLAIN)
    (tmp_path / "blob").write_bytes(blob)
    with pytest.raises(Damaged), open_layer(tmp_path / "blob", layer(blob, PLAIN + b"x")) as stream:
        assert stream.read(1) == b"\0"


@pytest.mark.parametrize("blob", [b"not gzip", b"", gzip.compress(PLAIN)[:-10], gzip.compress(PLAIN) + b"x"])
def test_broken_gzip_is_damaged(tmp_path: Path, blob: bytes) -> None:
    with pytest.raises(Damaged):
        read(tmp_path, blob, layer(blob))


def test_other_compressed_bytes_of_the_same_content_are_damaged(tmp_path: Path) -> None:
    with pytest.raises(Damaged):
        read(tmp_path, gzip.compress(PLAIN, 1), layer(gzip.compress(PLAIN, 9)))


def test_missing_layer_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(Damaged), open_layer(tmp_path / "none", layer(b"")):
        pytest.fail("a missing layer was opened")

"""A layout is whole, or the file that is not is named."""

from pathlib import Path

import pytest

from skerry.errors import Damaged
from skerry.oci.layer import File
from skerry.oci.layout import blob_path
from skerry.oci.whole import check_whole
from tests.unit.oci.builders import stored, write_image


def test_every_file_is_read_and_a_changed_or_missing_one_is_named(tmp_path: Path) -> None:
    layers = [stored(tmp_path / "blobs", [File("data", data)]) for data in (b"base", b"model")]
    image = write_image(tmp_path / "image", tmp_path / "blobs", layers)
    sizes = sum(layer.descriptor.size for layer in layers) + len(image.config) + len(image.manifest)
    assert check_whole(tmp_path / "image") == sizes
    digests = [layers[0].descriptor.digest, image.config_digest, image.manifest_digest]
    for digest in digests:
        path = blob_path(tmp_path / "image", digest)
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(Damaged, match=f"blobs/sha256/{digest.hex} is missing"):
            check_whole(tmp_path / "image")
        path.write_bytes(whole[:-1] + b"x")
        with pytest.raises(Damaged, match=f"blobs/sha256/{digest.hex} is not what its name says") as caught:
            check_whole(tmp_path / "image")
        assert caught.value.fields["path"] == f"blobs/sha256/{digest.hex}"
        path.write_bytes(whole)
    check_whole(tmp_path / "image")

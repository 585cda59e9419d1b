"""A base of one's own: from a layout, an index, Docker's tar; what does not fit is refused by name."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from skerry.errors import Damaged, InvalidInput, NotFound, Unsupported
from skerry.oci.base_image import open_base
from skerry.oci.digest import Digest, digest_of
from skerry.oci.image import OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, Descriptor, Layer, RunConfig, assemble
from skerry.oci.layer import File, pack
from skerry.oci.layout import blob_path, read_layout, to_docker_archive, write_layout

PYTHON = File("usr/local/bin/python3.11", b"elf", 0o755)
CERTIFICATES = File("etc/ssl/certs/ca-certificates.crt", b"pem")


def write_base(place: Path, *files: File, architecture: str = "amd64") -> Path:
    """A layout of an image with these files."""
    blobs = place.with_name(f"{place.name}-blobs")
    blobs.mkdir(parents=True)
    with (blobs / "new").open("wb") as file:
        packed = pack(files, file)
    (blobs / "new").rename(blobs / packed.digest.hex)
    layer = Layer(Descriptor(OCI_LAYER_GZIP, packed.digest, packed.size), packed.diff_id, "all")
    run = RunConfig(("/bin/sh",), env={"PATH": "/usr/local/bin:/usr/bin", "LANG": "C.UTF-8"})
    image = assemble([layer], run, architecture)
    write_layout(place, image, "base:1", lambda digest: blobs / digest.hex)
    return place


def test_a_layout_gives_its_layers_its_interpreter_and_its_environment(tmp_path: Path) -> None:
    layout = write_base(tmp_path / "base", PYTHON, CERTIFICATES)
    image = read_layout(layout)
    found = open_base(layout, "amd64", tmp_path / "cache", pinned=str(image.manifest_digest))
    assert (found.python, found.has_certificates) == ("/usr/local/bin/python3.11", True)
    assert found.env == {"PATH": "/usr/local/bin:/usr/bin", "LANG": "C.UTF-8"}
    assert found.digest == image.manifest_digest
    assert [(one.descriptor, one.diff_id) for one in found.layers] == [
        (one.descriptor, one.diff_id) for one in image.layers
    ]
    assert (
        digest_of(found.blob(image.layers[0].descriptor.digest).read_bytes())
        == found.layers[0].descriptor.digest
    )


def test_dockers_tar_gives_the_same_files(tmp_path: Path) -> None:
    layout = write_base(tmp_path / "base", PYTHON)
    to_docker_archive(layout, tmp_path / "base.tar")
    first, again = (open_base(tmp_path / "base.tar", "amd64", tmp_path / "cache") for _ in range(2))
    assert first.digest == again.digest
    assert [layer.diff_id for layer in first.layers] == [
        layer.diff_id for layer in read_layout(layout).layers
    ]
    assert [layer.descriptor.media_type for layer in first.layers] == [OCI_LAYER]
    assert first.python == "/usr/local/bin/python3.11"


def test_an_oci_archive_is_a_layout_in_a_tar(tmp_path: Path) -> None:
    layout = write_base(tmp_path / "base", PYTHON)
    with tarfile.open(tmp_path / "base.tar", "w") as tar:
        tar.add(layout, ".")
    found = open_base(tmp_path / "base.tar", "amd64", tmp_path / "cache")
    assert found.digest == read_layout(layout).manifest_digest


def test_of_an_index_the_right_platform_is_taken(tmp_path: Path) -> None:
    several = write_base(tmp_path / "several", PYTHON)
    other = write_base(tmp_path / "other", PYTHON, CERTIFICATES, architecture="arm64")
    entries = [json.loads((one / "index.json").read_bytes())["manifests"][0] for one in (several, other)]
    for blob in (other / "blobs/sha256").iterdir():
        blob_path(several, Digest(f"sha256:{blob.name}")).write_bytes(blob.read_bytes())
    (several / "index.json").write_text(
        json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
    )
    found = open_base(several, "arm64", tmp_path / "cache")
    assert found.digest == read_layout(other).manifest_digest
    with pytest.raises(NotFound, match="no image for linux/riscv64") as caught:
        open_base(several, "riscv64", tmp_path / "cache")
    assert caught.value.hint == "it has linux/amd64, linux/arm64"


def test_a_base_without_our_python_is_refused(tmp_path: Path) -> None:
    layout = write_base(tmp_path / "base", File("usr/bin/python3.12", b"elf", 0o755))
    with pytest.raises(Unsupported, match=r"has no Python 3\.11"):
        open_base(layout, "amd64", tmp_path / "cache")


def test_another_digest_than_the_pinned_one_and_a_changed_layer_are_damage(tmp_path: Path) -> None:
    layout = write_base(tmp_path / "base", PYTHON)
    with pytest.raises(Damaged, match="the base base is sha256:"):
        open_base(layout, "amd64", tmp_path / "cache", pinned="sha256:" + "1" * 64)
    blob = blob_path(layout, read_layout(layout).layers[0].descriptor.digest)
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.unlink()
    blob.write_bytes(data)
    with pytest.raises(Damaged):
        open_base(layout, "amd64", tmp_path / "cache")


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        open_base(tmp_path / "nothing.tar", "amd64", tmp_path / "cache")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(InvalidInput, match="neither a layout nor an archive"):
        open_base(tmp_path / "text", "amd64", tmp_path / "cache")
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(InvalidInput, match="does not hold exactly one image"):
        open_base(tmp_path / "empty.tar", "amd64", tmp_path / "cache")

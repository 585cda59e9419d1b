import json
import tarfile
from pathlib import Path

import pytest

from skerry.errors import Damaged, NotFound
from skerry.oci.digest import digest_of
from skerry.oci.image import RunConfig
from skerry.oci.layer import File, diff_id
from skerry.oci.layout import (
    blob_path,
    find_layout,
    image_config_digest,
    layout_path,
    read_layout,
    reference_name,
    to_docker_archive,
)
from skerry.oci.reference import parse_reference
from tests.unit.oci.builders import stored, write_image

BASE = [File("etc/os", b"base\n")]
APP = [File("opt/app", b"app\n")]


def two_layers(tmp_path: Path, directory: Path) -> None:
    blobs = tmp_path / "blobs"
    write_image(directory, blobs, [stored(blobs, BASE), stored(blobs, APP)])


def test_layout_reads_back_as_what_was_written(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    image = write_image(tmp_path / "image", blobs, [stored(blobs, BASE), stored(blobs, APP)])
    read = read_layout(tmp_path / "image")
    assert (read.manifest, read.config) == (image.manifest, image.config)
    assert [layer.diff_id for layer in read.layers] == [diff_id(BASE), diff_id(APP)]
    assert image_config_digest(tmp_path / "image") == image.config_digest
    assert reference_name(tmp_path / "image") == "test:1"
    assert json.loads((tmp_path / "image/oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}


def test_writing_again_replaces_the_layout_and_leaves_nothing_behind(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    write_image(tmp_path / "out/image", blobs, [stored(blobs, BASE)])
    second = write_image(tmp_path / "out/image", blobs, [stored(blobs, APP)])
    assert read_layout(tmp_path / "out/image").manifest_digest == second.manifest_digest
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["image"]
    assert len(list((tmp_path / "out/image/blobs/sha256").iterdir())) == 3


def test_failed_write_leaves_the_old_layout(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    first = write_image(tmp_path / "out/image", blobs, [stored(blobs, BASE)])
    lost = stored(blobs, APP)
    (blobs / lost.descriptor.digest.hex).unlink()
    with pytest.raises(FileNotFoundError):
        write_image(tmp_path / "out/image", blobs, [lost])
    assert read_layout(tmp_path / "out/image").manifest_digest == first.manifest_digest
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["image"]


def test_image_is_found_by_its_reference(tmp_path: Path) -> None:
    place = layout_path(tmp_path, parse_reference("127.0.0.1:5000/solar/cnn:2"))
    two_layers(tmp_path, place)
    digest = read_layout(place).manifest_digest
    assert find_layout(tmp_path, "127.0.0.1:5000/solar/cnn:2") == place
    assert find_layout(tmp_path, f"127.0.0.1:5000/solar/cnn:2@{digest}") == place
    assert find_layout(tmp_path, f"127.0.0.1:5000/solar/cnn:2@{digest_of(b'')}") is None
    assert find_layout(tmp_path, "solar/cnn:2") is None
    assert find_layout(tmp_path, "127.0.0.1:5000/solar/cnn") is None


def test_missing_layout_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_layout(tmp_path / "nothing")


def test_changed_config_is_damaged(tmp_path: Path) -> None:
    two_layers(tmp_path, tmp_path / "image")
    path = blob_path(tmp_path / "image", image_config_digest(tmp_path / "image"))
    path.write_bytes(path.read_bytes().replace(b"amd64", b"arm64"))
    with pytest.raises(Damaged):
        read_layout(tmp_path / "image")


def test_missing_config_is_damaged(tmp_path: Path) -> None:
    two_layers(tmp_path, tmp_path / "image")
    blob_path(tmp_path / "image", image_config_digest(tmp_path / "image")).unlink()
    with pytest.raises(Damaged):
        read_layout(tmp_path / "image")


@pytest.mark.parametrize("index", [{"manifests": []}, {"manifests": ["x"]}, {}, {"manifests": [{}, {}]}])
def test_index_without_exactly_one_image_is_damaged(tmp_path: Path, index: object) -> None:
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(Damaged):
        read_layout(tmp_path)


def test_docker_archive_holds_config_plain_layers_and_the_tag(tmp_path: Path) -> None:
    two_layers(tmp_path, tmp_path / "image")
    to_docker_archive(tmp_path / "image", tmp_path / "image.tar", "solar/cnn:7")
    config = image_config_digest(tmp_path / "image")
    with tarfile.open(tmp_path / "image.tar") as tar:
        read = {member.name: tar.extractfile(member) for member in tar}
        contents = {name: file.read() for name, file in read.items() if file is not None}
    layers = [f"{diff_id(BASE).hex}/layer.tar", f"{diff_id(APP).hex}/layer.tar"]
    assert json.loads(contents["manifest.json"]) == [
        {"Config": f"{config.hex}.json", "RepoTags": ["solar/cnn:7"], "Layers": layers}
    ]
    assert [digest_of(contents[name]) for name in layers] == [diff_id(BASE), diff_id(APP)]
    assert digest_of(contents[f"{config.hex}.json"]) == config


def test_docker_archive_is_the_same_twice_and_named_by_the_layout(tmp_path: Path) -> None:
    two_layers(tmp_path, tmp_path / "image")
    to_docker_archive(tmp_path / "image", tmp_path / "1.tar")
    to_docker_archive(tmp_path / "image", tmp_path / "2.tar", "test:1")
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()


def test_docker_archive_of_a_damaged_layer_is_not_written(tmp_path: Path) -> None:
    two_layers(tmp_path, tmp_path / "image")
    layer = read_layout(tmp_path / "image").layers[0].descriptor.digest
    path = blob_path(tmp_path / "image", layer)
    path.unlink()
    path.write_bytes(b"not the layer")
    with pytest.raises(Damaged):
        to_docker_archive(tmp_path / "image", tmp_path / "image.tar")
    assert not (tmp_path / "image.tar").exists()


def test_labels_come_out_of_the_config(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    run = RunConfig(entrypoint=("x",), labels={"io.skerry.model.digest": "d"})
    write_image(tmp_path / "image", blobs, [stored(blobs, BASE)], run)
    config = json.loads(read_layout(tmp_path / "image").config)["config"]
    assert config["Labels"] == {"io.skerry.model.digest": "d"}

import json
from typing import Any

import pytest

from skerry.errors import Damaged
from skerry.oci import validate
from skerry.oci.digest import digest_of
from skerry.oci.image import OCI_LAYER_GZIP, Descriptor, Image, Layer, RunConfig, assemble, canonical_json

IMAGE = assemble(
    [Layer(Descriptor(OCI_LAYER_GZIP, digest_of(b"gz"), 2), digest_of(b"tar"), "base")],
    RunConfig(entrypoint=("x",)),
    "arm64",
)


def changed(config: dict[str, Any]) -> tuple[bytes, bytes]:
    """Manifest and config with ``config`` merged into the latter, still pointing to each other."""
    made = canonical_json({**json.loads(IMAGE.config), **config})
    manifest = json.loads(IMAGE.manifest)
    manifest["config"] |= {"digest": digest_of(made), "size": len(made)}
    return canonical_json(manifest), made


def test_what_we_assemble_reads_back_as_itself() -> None:
    read = validate.image(IMAGE.manifest, IMAGE.config)
    assert read == Image(
        IMAGE.manifest,
        IMAGE.config,
        (Layer(IMAGE.layers[0].descriptor, IMAGE.layers[0].diff_id, "skerry: base"),),
        "arm64",
    )


def test_config_of_another_image_is_damaged() -> None:
    _, config = changed({"created": "2000-01-01T00:00:00Z"})
    with pytest.raises(Damaged, match="not the one the manifest names"):
        validate.image(IMAGE.manifest, config)


@pytest.mark.parametrize(
    "change",
    [
        {"rootfs": {"diff_ids": []}},
        {"rootfs": {"diff_ids": ["sha256:12"]}},
        {"rootfs": None},
        {"architecture": None},
        {"os": "windows"},
    ],
)
def test_inconsistent_config_is_damaged(change: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        validate.image(*changed(change))


def test_image_without_history_is_read() -> None:
    assert [layer.label for layer in validate.image(*changed({"history": None})).layers] == [""]


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 1},
        {"layers": None},
        {"layers": [{"mediaType": "text/plain", "digest": digest_of(b""), "size": 0}]},
        {"layers": [{"mediaType": OCI_LAYER_GZIP, "digest": "sha256:xx", "size": 0}]},
        {"layers": [{"mediaType": OCI_LAYER_GZIP, "digest": digest_of(b""), "size": -1}]},
        {"layers": [{"mediaType": OCI_LAYER_GZIP, "digest": digest_of(b""), "size": True}]},
        {"layers": ["x"]},
        {"config": None},
    ],
)
def test_malformed_manifest_is_damaged(change: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        validate.manifest_descriptors(canonical_json({**json.loads(IMAGE.manifest), **change}))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b" " * (validate.DOCUMENT_BYTES_MAX + 1)])
def test_what_is_no_document_is_damaged(data: bytes) -> None:
    with pytest.raises(Damaged):
        validate.document(data, "manifest")


@pytest.mark.parametrize(
    ("name", "parts"),
    [("./a/b", ("a", "b")), ("/etc/x", ("etc", "x")), (".", ()), ("./", ()), ("a//b/", ("a", "b"))],
)
def test_member_names_are_normalised(name: str, parts: tuple[str, ...]) -> None:
    assert validate.member_path(name) == parts


@pytest.mark.parametrize("name", ["..", "a/../b", "../../etc/passwd", "a\0"])
def test_member_names_that_leave_the_root_are_damaged(name: str) -> None:
    with pytest.raises(Damaged):
        validate.member_path(name)

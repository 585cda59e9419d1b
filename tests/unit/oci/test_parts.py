"""What a manifest points at."""

import json
from typing import Any

import pytest

from skerry.errors import Damaged
from skerry.oci.digest import digest_of
from skerry.oci.image import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Descriptor
from skerry.oci.parts import DOCKER_INDEX, Child, Parts, parts_of
from skerry.oci.validate import DOCKER_MANIFEST

CONFIG = Descriptor(OCI_CONFIG, digest_of(b"config"), 6)
LAYER = Descriptor(OCI_LAYER, digest_of(b"layer"), 5)


def manifest(**changes: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": CONFIG.to_json(),
        "layers": [LAYER.to_json()],
        **changes,
    }


def of(document: Any, media_type: str | None = None) -> Parts:
    return parts_of(json.dumps(document).encode(), media_type)


def test_a_manifest_points_at_its_config_and_layers() -> None:
    assert of(manifest()) == Parts(OCI_MANIFEST, (CONFIG, LAYER), artifact_type=OCI_CONFIG)


def test_a_manifest_without_a_media_type_is_what_it_was_sent_as() -> None:
    bare = manifest()
    del bare["mediaType"]
    assert of(bare, DOCKER_MANIFEST).media_type == DOCKER_MANIFEST
    with pytest.raises(Damaged):
        of(bare)


def test_an_artifact_says_its_type_and_what_it_is_attached_to() -> None:
    found = of(
        manifest(artifactType="application/x", subject=LAYER.to_json(), annotations={"a": "b", "c": 1})
    )
    assert (found.artifact_type, found.subject, found.annotations) == (
        "application/x",
        LAYER.digest,
        {"a": "b"},
    )


def test_a_document_nested_without_end_is_damaged() -> None:
    with pytest.raises(Damaged, match="nested"):
        parts_of(b'{"a":' + b"[" * 1_000_000)


@pytest.mark.parametrize("kind", [OCI_INDEX, DOCKER_INDEX])
def test_an_index_points_at_manifests_of_platforms(kind: str) -> None:
    pointed = Descriptor(OCI_MANIFEST, digest_of(b"one"), 3)
    platform = {"os": "linux", "architecture": "arm", "variant": "v7"}
    children = [{**pointed.to_json(), "platform": platform}, pointed.to_json()]
    found = of({"schemaVersion": 2, "mediaType": kind, "manifests": children})
    assert found == Parts(kind, children=(Child(pointed, "linux", "arm", "v7"), Child(pointed)))


def test_layers_that_nobody_may_distribute_are_left_out() -> None:
    windows = {**LAYER.to_json(), "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}
    assert of(manifest(layers=[windows, LAYER.to_json()])).blobs == (CONFIG, LAYER)


@pytest.mark.parametrize(
    "changes",
    [
        {"schemaVersion": 1},
        {"mediaType": "text/plain"},
        {"config": None},
        {"layers": None},
        {"layers": [7]},
        {"layers": [{**LAYER.to_json(), "size": True}]},
        {"layers": [{**LAYER.to_json(), "digest": "sha512:1"}]},
        {"layers": [{**LAYER.to_json(), "mediaType": ""}]},
        {"layers": [LAYER.to_json()] * 1001},
        {"layers": [{**LAYER.to_json(), "mediaType": "\ud800"}]},
        {"artifactType": 7},
        {"artifactType": "\ud800"},
        {"subject": "x"},
    ],
)
def test_what_is_half_valid_is_damaged(changes: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        of(manifest(**changes))

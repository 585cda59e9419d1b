import json

import pytest

from skerry.errors import InvalidInput
from skerry.oci.digest import digest_of
from skerry.oci.image import (
    OCI_LAYER_GZIP,
    Descriptor,
    Healthcheck,
    Layer,
    RunConfig,
    assemble,
    canonical_json,
)

LAYERS = [
    Layer(Descriptor(OCI_LAYER_GZIP, digest_of(b"gz1"), 3), digest_of(b"tar1"), "base"),
    Layer(Descriptor(OCI_LAYER_GZIP, digest_of(b"gz2"), 3), digest_of(b"tar2"), "model"),
]
RUN = RunConfig(
    entrypoint=("/usr/bin/python3", "-m", "app"),
    env={"B": "2", "A": "1=1"},
    exposed_ports=("5001/tcp",),
    labels={"z": "1", "a": "2"},
    healthcheck=Healthcheck(("CMD", "/usr/bin/true"), interval_s=0.5),
)


def test_config_says_what_runs_and_what_it_is_made_of() -> None:
    image = assemble(LAYERS, RUN, "amd64")
    assert json.loads(image.config) == {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": ["/usr/bin/python3", "-m", "app"],
            "Env": ["A=1=1", "B=2"],
            "User": "1000:1000",
            "WorkingDir": "/",
            "StopSignal": "SIGTERM",
            "ExposedPorts": {"5001/tcp": {}},
            "Labels": {"a": "2", "z": "1"},
            "Healthcheck": {
                "Test": ["CMD", "/usr/bin/true"],
                "Interval": 500_000_000,
                "Timeout": 5_000_000_000,
                "StartPeriod": 5_000_000_000,
                "Retries": 3,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [digest_of(b"tar1"), digest_of(b"tar2")]},
        "history": [
            {"created": "1970-01-01T00:00:00Z", "created_by": "skerry: base"},
            {"created": "1970-01-01T00:00:00Z", "created_by": "skerry: model"},
        ],
    }


def test_manifest_points_to_config_and_layers() -> None:
    image = assemble(LAYERS, RUN, "amd64")
    manifest = json.loads(image.manifest)
    assert manifest["config"]["digest"] == digest_of(image.config) == image.config_digest
    assert manifest["config"]["size"] == len(image.config)
    assert [layer["digest"] for layer in manifest["layers"]] == [digest_of(b"gz1"), digest_of(b"gz2")]
    assert image.manifest_digest == digest_of(image.manifest)


def test_equal_values_give_equal_bytes_however_they_were_built() -> None:
    turned = RunConfig(
        entrypoint=RUN.entrypoint,
        env={"A": "1=1", "B": "2"},
        exposed_ports=RUN.exposed_ports,
        labels={"a": "2", "z": "1"},
        healthcheck=RUN.healthcheck,
    )
    assert assemble(LAYERS, turned, "amd64") == assemble(tuple(LAYERS), RUN, "amd64")


def test_another_layer_gives_another_digest() -> None:
    assert (
        assemble(LAYERS[:1], RUN, "amd64").manifest_digest != assemble(LAYERS, RUN, "amd64").manifest_digest
    )


def test_canonical_json_sorts_and_keeps_letters() -> None:
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()


def test_image_without_entrypoint_is_refused() -> None:
    with pytest.raises(InvalidInput):
        RunConfig(entrypoint=())


def test_variable_name_with_equals_sign_is_refused() -> None:
    with pytest.raises(InvalidInput):
        RunConfig(entrypoint=("x",), env={"A=B": "1"})


def test_unknown_architecture_is_refused() -> None:
    with pytest.raises(InvalidInput):
        assemble(LAYERS, RUN, "x86_64")

"""An image as data: frozen config, canonical manifest (OCI image-spec 1.1, config.md, manifest.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from skerry.errors import InvalidInput
from skerry.oci.digest import Digest, digest_of

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
# The annotation that names an image inside a layout (image-spec, annotations.md).
REF_NAME = "org.opencontainers.image.ref.name"
# The one moment every image of ours is made at, so that two builds give the same bytes.
EPOCH = "1970-01-01T00:00:00Z"
ARCHITECTURES = ("amd64", "arm64")


def canonical_json(document: Any) -> bytes:
    """UTF-8, keys sorted, no spaces: one document, one sequence of bytes."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A typed pointer to a blob; ``size`` in bytes."""

    media_type: str
    digest: Digest
    size: int

    def to_json(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, slots=True)
class Layer:
    """A stored layer: its blob, the digest of its plain tar, and what people call it."""

    descriptor: Descriptor
    diff_id: Digest
    label: str


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """Docker's extension of the config (moby image spec v1.2, "Healthcheck"); times in seconds."""

    test: tuple[str, ...]
    interval_s: float = 10
    timeout_s: float = 5
    start_period_s: float = 5
    retries: int = 3

    def to_json(self) -> dict[str, Any]:
        return {
            "Test": list(self.test),
            "Interval": _nanoseconds(self.interval_s),
            "Timeout": _nanoseconds(self.timeout_s),
            "StartPeriod": _nanoseconds(self.start_period_s),
            "Retries": self.retries,
        }


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What a container of the image runs as; ``user`` is ``uid:gid``, ports read ``5001/tcp``."""

    entrypoint: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = "1000:1000"
    working_dir: str = "/"
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    healthcheck: Healthcheck | None = None
    stop_signal: str = "SIGTERM"

    def __post_init__(self) -> None:
        if not self.entrypoint:
            raise InvalidInput("an image needs an entrypoint", field="entrypoint")
        for name in self.env:
            if not name or "=" in name:
                raise InvalidInput(f"not a variable name: {name!r}", field="env", value=name)

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "Entrypoint": list(self.entrypoint),
            # PATH first: docker build begins every image with it, and the same Dockerfile gives the same Env.
            "Env": [f"{name}={self.env[name]}" for name in sorted(self.env, key=lambda n: (n != "PATH", n))],
            "User": self.user,
            "WorkingDir": self.working_dir,
            "StopSignal": self.stop_signal,
        }
        if self.exposed_ports:
            document["ExposedPorts"] = {port: {} for port in sorted(self.exposed_ports)}
        if self.volumes:
            document["Volumes"] = {path: {} for path in sorted(self.volumes)}
        if self.labels:
            document["Labels"] = dict(self.labels)
        if self.healthcheck is not None:
            document["Healthcheck"] = self.healthcheck.to_json()
        return document


@dataclass(frozen=True, slots=True)
class Image:
    """A finished image: the exact bytes of manifest and config, and its layers from the lowest up."""

    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]
    architecture: str

    @property
    def manifest_digest(self) -> Digest:
        return digest_of(self.manifest)

    @property
    def config_digest(self) -> Digest:
        """What Docker calls the image id."""
        return digest_of(self.config)


def assemble(
    layers: Sequence[Layer],
    run: RunConfig,
    architecture: str,
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """The image made of ``layers``; equal arguments give equal bytes."""
    if architecture not in ARCHITECTURES:
        raise InvalidInput(
            f"no images for {architecture!r}", hint=f"one of {', '.join(ARCHITECTURES)}", field="architecture"
        )
    config = canonical_json(
        {
            "architecture": architecture,
            "os": "linux",
            "created": EPOCH,
            "config": run.to_json(),
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": EPOCH, "created_by": f"skerry: {layer.label}"} for layer in layers],
        }
    )
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": Descriptor(OCI_CONFIG, digest_of(config), len(config)).to_json(),
            "layers": [layer.descriptor.to_json() for layer in layers],
            **({"annotations": dict(annotations)} if annotations else {}),
        }
    )
    return Image(manifest, config, tuple(layers), architecture)


def index(image: Image, reference_name: str) -> bytes:
    """The ``index.json`` of a layout that holds ``image`` under ``reference_name`` (image-layout.md)."""
    entry = {
        **Descriptor(OCI_MANIFEST, image.manifest_digest, len(image.manifest)).to_json(),
        "platform": {"architecture": image.architecture, "os": "linux"},
        "annotations": {REF_NAME: reference_name},
    }
    return canonical_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]})


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000_000)

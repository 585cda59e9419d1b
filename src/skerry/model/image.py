"""The CNN module as an image: our base, an inference engine, the serving code, the model package."""

from __future__ import annotations

import os
from pathlib import Path

import skerry
from skerry.model.engine_wheels import engine_wheels
from skerry.oci.base_image import BaseImage
from skerry.oci.debian.mirror import Mirror, find_mirror
from skerry.oci.download import Progress
from skerry.oci.image import Healthcheck, RunConfig
from skerry.oci.layer import Directory, File
from skerry.oci.python_image import PYTHON, BuiltImage, Content, build_python_image, environment_on
from skerry.oci.sources import source_entries
from skerry.oci.wheels import BASIC_WHEELS, SITE, WEB_WHEELS, WheelGroup
from skerry.package.manifest import Package
from skerry.package.trust import TRUSTED_KEYS, public_key_text, read_public_keys

ModuleImage = BuiltImage

MODEL_DIRECTORY = "opt/skerry/model"
PORT = 5001
# A volume gets the mode of the folder that it is laid over.
STATE_DIRECTORY = "var/lib/skerry"
# What the serving process may import (tests/tidy); hub, edge, model, oci and sim stay at home.
PARTS = ("errors", "clock", "contract", "mqtt", "protocol", "package", "service", "serve")
# Only where a key is trusted: the module then serves nothing that the key's owner has not signed.
SIGNING = WheelGroup("cryptography", ("cryptography", "cffi", "pycparser"))
# Only where it is asked for: seven megabytes for a protocol that few callers speak.
GRPC = WheelGroup(
    "grpc", ("grpcio", "protobuf"), drop=r"grpc/_cython/_credentials/.*|google/protobuf/compiler/.*"
)
TRUSTED = "opt/skerry/trusted.pub"
HEALTHCHECK = ("-m", "skerry.serve.healthcheck")


def build_module_image(
    package: Path,
    *,
    name: str,
    tag: str,
    output: Path,
    cache: Path,
    progress: Progress,
    architecture: str | None = None,
    mirror: Mirror | None = None,
    trusted_key: Path | None = None,
    base: BaseImage | None = None,
    grpc: bool = False,
) -> ModuleImage:
    """The image ``name:tag`` that serves the model package, as a layout at ``<output>/<name>/<tag>``.

    The package is verified first (``Damaged``); the image has an engine for each of its candidates. A new
    model changes the topmost layer only. Models that arrive later, and what was measured on the device, are
    kept in a volume: the file system may be read-only. With a ``trusted_key`` (a public key file) the module
    serves only what that key signed, and so must this package be (``NotAllowed``). ``base`` (for the same
    architecture) takes the place of our own. With ``grpc`` the module can speak it (``SKERRY_GRPC_PORT``).
    """
    trusted = None if trusted_key is None else read_public_keys(trusted_key)
    found = Package.open(package, trusted_keys=trusted)
    engines = engine_wheels(found.candidates)
    trust = {} if trusted is None else {TRUSTED_KEYS: f"/{TRUSTED}"}
    python = PYTHON if base is None else base.python
    run = RunConfig(
        entrypoint=(python, "-m", "skerry.serve.main"),
        # onnxruntime from 1.29 on reports telemetry; ours is older, and stays quiet should it be replaced.
        env={
            **environment_on(base),
            "ORT_DISABLE_TELEMETRY": "1",
            # numpy's own threads: preparing an image needs none; making them is a quarter of the start.
            "OPENBLAS_NUM_THREADS": "1",
            "SKERRY_MODEL_DIR": f"/{MODEL_DIRECTORY}",
            "SKERRY_STATE_DIR": f"/{STATE_DIRECTORY}",
            **trust,
        },
        volumes=(f"/{STATE_DIRECTORY}",),
        exposed_ports=(f"{PORT}/tcp",),
        labels={
            "org.opencontainers.image.title": name,
            "org.opencontainers.image.version": tag,
            "org.opencontainers.image.description": "Skerry CNN module",
            "io.skerry.model.digest": found.digest,
        },
        healthcheck=Healthcheck(("CMD", python, *HEALTHCHECK)),
    )
    sources = source_entries(Path(skerry.__file__).parent, PARTS, SITE)
    state = Directory(STATE_DIRECTORY, 0o1777)
    contents = [Content("skerry: serve", (state, *sources)), Content("model", model_files(package))]
    wheels = [BASIC_WHEELS, *engines, WEB_WHEELS, *([GRPC] if grpc else [])]
    if trusted is not None:
        keys = "".join(public_key_text(key) for key in trusted).encode()
        contents.insert(1, Content("trusted keys", (File(TRUSTED, keys),)))
        wheels.append(SIGNING)
    return build_python_image(
        wheels,
        contents,
        run,
        name=name,
        tag=tag,
        output=output,
        cache=cache,
        progress=progress,
        mirror=mirror or find_mirror(os.environ),
        architecture=architecture,
        base=base,
    )


def model_files(package: Path) -> tuple[File, ...]:
    """The files of the package as they lie in the image."""
    paths = sorted(path for path in package.rglob("*") if path.is_file())
    return tuple(
        File(f"{MODEL_DIRECTORY}/{path.relative_to(package).as_posix()}", path.read_bytes()) for path in paths
    )

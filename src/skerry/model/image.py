"""The CNN module as an image: our base, an inference engine, the serving code, the model package."""

from __future__ import annotations

import os
from pathlib import Path

import skerry
from skerry.oci.debian.mirror import Mirror, find_mirror
from skerry.oci.download import Progress
from skerry.oci.image import Healthcheck, RunConfig
from skerry.oci.layer import File
from skerry.oci.python_image import ENVIRONMENT, PYTHON, BuiltImage, Content, build_python_image
from skerry.oci.sources import source_entries
from skerry.oci.wheels import BASIC_WHEELS, SITE, WheelGroup
from skerry.package.manifest import Package

ModuleImage = BuiltImage

MODEL_DIRECTORY = "opt/skerry/model"
PORT = 5001
# What the serving process may import (tests/tidy); hub, edge, model, oci and sim stay at home.
PARTS = ("errors", "clock", "contract", "mqtt", "protocol", "package", "service", "serve")
# The Python module holds the engine itself; the C library and the offline tools are for others.
ENGINE = WheelGroup(
    "onnxruntime",
    ("onnxruntime",),
    drop=r"onnxruntime/capi/libonnxruntime\.so.*"
    r"|onnxruntime/(?:transformers|quantization|tools|datasets|backend)/.*",
)
HEALTHCHECK = Healthcheck(("CMD", PYTHON, "-m", "skerry.serve.healthcheck"))


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
) -> ModuleImage:
    """The image ``name:tag`` that serves the model package, as a layout at ``<output>/<name>/<tag>``.

    The package is verified first (``Damaged``). A new model changes the topmost layer only.
    """
    digest = Package.open(package).digest
    run = RunConfig(
        entrypoint=(PYTHON, "-m", "skerry.serve.main"),
        # onnxruntime from 1.29 on reports telemetry; ours is older, and stays quiet should it be replaced.
        env={**ENVIRONMENT, "ORT_DISABLE_TELEMETRY": "1", "SKERRY_MODEL_DIR": f"/{MODEL_DIRECTORY}"},
        exposed_ports=(f"{PORT}/tcp",),
        labels={
            "org.opencontainers.image.title": name,
            "org.opencontainers.image.version": tag,
            "org.opencontainers.image.description": "Skerry CNN module",
            "io.skerry.model.digest": digest,
        },
        healthcheck=HEALTHCHECK,
    )
    sources = source_entries(Path(skerry.__file__).parent, PARTS, SITE)
    contents = (Content("skerry: serve", tuple(sources)), Content("model", model_files(package)))
    return build_python_image(
        (BASIC_WHEELS, ENGINE),
        contents,
        run,
        name=name,
        tag=tag,
        output=output,
        cache=cache,
        progress=progress,
        mirror=mirror or find_mirror(os.environ),
        architecture=architecture,
    )


def model_files(package: Path) -> tuple[File, ...]:
    """The files of the package as they lie in the image."""
    paths = sorted(path for path in package.rglob("*") if path.is_file())
    return tuple(
        File(f"{MODEL_DIRECTORY}/{path.relative_to(package).as_posix()}", path.read_bytes()) for path in paths
    )

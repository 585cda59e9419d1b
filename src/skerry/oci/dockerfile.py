"""A build context that makes the same image with Docker, for whoever wants it as a Dockerfile.

``ADD`` unpacks a local tar with its owners, modes and times (Dockerfile reference, "ADD"), so each layer goes
in as it is; the rest are the config's fields as instructions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from skerry.oci.files import link_or_copy, whole_directory
from skerry.oci.image import Image
from skerry.oci.layout import blob_path, read_layout, reference_name
from skerry.oci.validate import GZIPPED

DOCKERFILE = "Dockerfile"
NANOSECONDS = 1_000_000_000
_TIMES = {"Interval": "interval", "Timeout": "timeout", "StartPeriod": "start-period"}


def write_context(layout: Path, directory: Path) -> Path:
    """The folder ``directory`` with the ``Dockerfile`` and layers of the layout's image; returns the file.

    What was there is replaced, whole or not at all. Raises NotFound or Damaged for the layout.
    """
    image = read_layout(layout)
    with whole_directory(directory) as work:
        for name, layer in zip(_names(image), image.layers, strict=True):
            link_or_copy(blob_path(layout, layer.descriptor.digest), work / name)
        (work / DOCKERFILE).write_text(dockerfile(image, reference_name(layout) or "image"))
    return directory / DOCKERFILE


def dockerfile(image: Image, name: str) -> str:
    """The text of the Dockerfile."""
    config = json.loads(image.config).get("config") or {}
    lines = [f"# {name} for linux/{image.architecture}: docker build --tag {name} .", "FROM scratch"]
    for file, layer in zip(_names(image), image.layers, strict=True):
        lines += [f"# {layer.label}", f"ADD {file} /"]
    return "\n".join([*lines, *_instructions(config)]) + "\n"


def _names(image: Image) -> list[str]:
    return [
        f"layer-{number}.tar{'.gz' if layer.descriptor.media_type in GZIPPED else ''}"
        for number, layer in enumerate(image.layers, start=1)
    ]


def _instructions(config: Mapping[str, Any]) -> Iterator[str]:
    for item in config.get("Env") or []:
        name, _, value = item.partition("=")
        yield f"ENV {name}={_quoted(value)}"
    for name, value in sorted((config.get("Labels") or {}).items()):
        yield f"LABEL {_quoted(name)}={_quoted(value)}"
    if config.get("WorkingDir"):
        yield f"WORKDIR {config['WorkingDir']}"
    for port in sorted(config.get("ExposedPorts") or {}):
        yield f"EXPOSE {port}"
    if volumes := sorted(config.get("Volumes") or {}):
        yield f"VOLUME {json.dumps(volumes)}"
    if config.get("User"):
        yield f"USER {config['User']}"
    if config.get("StopSignal"):
        yield f"STOPSIGNAL {config['StopSignal']}"
    if config.get("Healthcheck"):
        yield _healthcheck(config["Healthcheck"])
    for key, word in (("Entrypoint", "ENTRYPOINT"), ("Cmd", "CMD")):
        if config.get(key):
            yield f"{word} {json.dumps(config[key])}"


def _healthcheck(check: Mapping[str, Any]) -> str:
    options = [
        f"--{option}={int(check[key]) / NANOSECONDS:g}s" for key, option in _TIMES.items() if check.get(key)
    ]
    if check.get("Retries"):
        options.append(f"--retries={check['Retries']}")
    kind, *words = check["Test"]
    command = json.dumps(words) if kind == "CMD" else " ".join(words)
    return " ".join(["HEALTHCHECK", *options, "CMD", command])


def _quoted(value: str) -> str:
    """A word of a Dockerfile: quotes and backslashes escaped, ``$`` not replaced."""
    for special in ("\\", '"', "$"):
        value = value.replace(special, "\\" + special)
    return f'"{value}"'

"""An OCI layout into a Docker Engine's own store, without a registry."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiodocker

from skerry.edge.engine.docker_errors import translated
from skerry.errors import Unavailable
from skerry.oci.layout import image_config_digest, to_docker_archive

log = logging.getLogger(__name__)

CHUNK_BYTES = 1024 * 1024


async def load_into_docker(layout: Path, image: str) -> bool:
    """Load ``image`` unless the engine has exactly it; False when no Docker Engine answers.

    Raises StorageFull, Damaged, InvalidInput.
    """
    try:
        docker = aiodocker.Docker()
    except (AssertionError, ValueError):  # no socket at any of the usual places
        return False
    async with docker:
        try:
            with translated("reach the Docker Engine"):
                await docker.version()
        except Unavailable:
            return False
        await load(docker, layout, image)
    return True


async def load(docker: aiodocker.Docker, layout: Path, image: str) -> None:
    """The same into an engine that is known to answer."""
    if await _has(docker, layout, image):
        return
    with tempfile.TemporaryDirectory(prefix="skerry-load-") as work, translated(f"load {image}", image=image):
        archive = Path(work) / "image.tar"
        await asyncio.to_thread(to_docker_archive, layout, archive, image)
        await docker.images.import_image(_chunks(archive), timeout=None)
    log.info("image %s loaded into the Docker Engine", image)


async def _has(docker: aiodocker.Docker, layout: Path, image: str) -> bool:
    with translated(f"inspect {image}", image=image):
        try:
            found = await docker.images.inspect(image)
        except aiodocker.DockerError as exc:
            if exc.status == 404:
                return False
            raise
    return bool(found["Id"] == image_config_digest(layout))


async def _chunks(archive: Path) -> AsyncIterator[bytes]:
    with archive.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk

"""Images into a Docker Engine: from a layout on this device, by the engine's own pull, or by ours.

The engine believes only the registries it was set up for. Where it does not believe one that we do, such as
the hub with its own authority, the image is pulled by us and loaded: nothing has to be installed for it.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import aiodocker

from skerry.contract.manifest import RegistryCredentials
from skerry.edge.engine.docker_errors import translated
from skerry.edge.engine.docker_images import PullRoom, layout_bytes, local_name
from skerry.edge.engine.docker_load import load
from skerry.edge.engine.pulled import PulledImages
from skerry.edge.engine.registries import Registries
from skerry.edge.engine.space import check_room
from skerry.errors import SkerryError
from skerry.oci.layout import find_layout

log = logging.getLogger(__name__)

# How engines say that a registry is not one they believe, or that it speaks no TLS.
UNBELIEVED = ("x509:", "gave HTTP response to HTTPS client")


class DockerPulls:
    """Has images in the engine; knows which of them came out of a layout."""

    def __init__(
        self,
        docker: aiodocker.Docker,
        root: Path,
        images_dir: Path,
        registries: Registries | None,
        pulled: Path | None,
    ) -> None:
        self._docker = docker
        self._root = root
        self._images_dir = images_dir
        self._registries = registries
        self._pulled = None if registries is None or pulled is None else PulledImages(pulled, registries)

    def layout(self, image: str) -> Path | None:
        """The layout an image was loaded from, if it was."""
        given = find_layout(self._images_dir, image)
        return given if given is not None or self._pulled is None else self._pulled.layout(image)

    async def pull(self, image: str, given: RegistryCredentials | None) -> None:
        """Have it in the engine. Raises as the engine port says."""
        layout = find_layout(self._images_dir, image)
        if layout is not None:
            await self._load(image, layout)
            return
        login = given if self._registries is None else self._registries.login(image, given)
        if self._pulled is not None and login is not None and not login.password:
            # It would have to show the device's certificate, which the engine cannot.
            await self._by_us(self._pulled, image, login)
            return
        try:
            await self._by_engine(image, login)
        except SkerryError as error:
            if self._pulled is None or not any(sign in error.what for sign in UNBELIEVED):
                raise
            log.info("the engine does not believe the registry of %s; it is pulled for it", image)
            await self._by_us(self._pulled, image, login)
        else:
            self.forget(image)

    def forget(self, image: str) -> None:
        """Nothing of the image is needed here any more."""
        if self._pulled is not None and self._pulled.layout(image) is not None:
            self._pulled.forget(image)

    async def _load(self, image: str, layout: Path) -> None:
        needed = await asyncio.to_thread(layout_bytes, layout)
        check_room(image, needed, self._root)
        await load(self._docker, layout, local_name(image))

    async def _by_us(self, pulled: PulledImages, image: str, login: RegistryCredentials | None) -> None:
        await self._load(image, await pulled.pull(image, login, lambda found: found.layers))
        await asyncio.to_thread(pulled.done, image)

    async def _by_engine(self, image: str, login: RegistryCredentials | None) -> None:
        auth = None if login is None else {"username": login.username, "password": login.password}
        with translated(f"pull {image}", image=image):
            name = image if "@" in image or ":" in image.rsplit("/", 1)[-1] else f"{image}:latest"
            room = PullRoom(image, self._root)
            async for progress in self._docker.images.pull(name, auth=auth, stream=True):
                room.progress(progress)

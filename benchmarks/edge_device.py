"""A hub and an edge device as real processes with real images, on the process engine: the demo's stage."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.models import Model, lite0, small
from benchmarks.process import ticks
from benchmarks.rounds import Options
from skerry.cli.demo.manifest import CAMERA, CNN, deployment
from skerry.cli.demo.stage import DEVICE, Place, Stage, preload
from skerry.cli.demo.watch import Watch
from skerry.clock import SystemClock
from skerry.errors import NotFound
from skerry.hub.client import ServiceClient
from skerry.model.image import build_module_image
from skerry.sim.image import build_camera_image

CNN_IMAGE, CAMERA_IMAGE = "benchmark/cnn:1", "benchmark/camera:1"
POLL_S = 0.02
PATIENCE_S = 90.0


@dataclass
class Device:
    """It is provisioned and connected; nothing is deployed."""

    stage: Stage
    client: ServiceClient
    watch: Watch

    async def load(self) -> None:
        """Have the images in the engine."""
        await preload(self.stage.engine, self.stage.place, [CNN_IMAGE, CAMERA_IMAGE])

    async def deploy(self, *, frames: int, cameras: int = 1) -> None:
        """Camera → CNN → hub; each camera sends ``frames`` frames as soon as it runs."""
        document = deployment(CAMERA_IMAGE, CNN_IMAGE)
        modules = document["modulesContent"]["$edgeAgent"]["properties.desired"]["modules"]
        env = {"SKERRY_FRAMES_PER_SECOND": {"value": 25}, "SKERRY_COUNT": {"value": frames}}
        for name in (CAMERA, *(f"{CAMERA}{number}" for number in range(1, cameras))):
            modules[name] = {**modules[CAMERA], "env": env}
        await self.client.apply_configuration(DEVICE, document)

    async def running(self, *names: str) -> None:
        """Wait until the hub has heard that they run."""
        await self.reported(
            lambda modules: all((modules.get(name) or {}).get("runtimeStatus") == "running" for name in names)
        )

    async def predicted(self, count: int) -> None:
        """Wait until the hub has so many predictions."""
        await self.watch.until(lambda: len(self.watch.arrivals) >= count, PATIENCE_S, "no prediction arrived")

    async def reported(self, holds: Callable[[Mapping[str, Any]], bool]) -> None:
        """Wait until the device has acted on the newest deployment and its modules are so."""
        version = (await self.client.twin(DEVICE, "$edgeAgent"))["properties"]["desired"]["$version"]

        async def done() -> bool:
            try:
                said = (await self.client.twin(DEVICE, "$edgeAgent"))["properties"]["reported"]
            except NotFound:
                return False
            return said.get("lastDesiredVersion") == version and holds(said.get("modules") or {})

        await until(done)


async def until(done: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        async for _ in ticks(POLL_S):
            if await done():
                return


async def images(options: Options) -> Path:
    """The folder with the images that are deployed, built once."""
    model = small(options.work / "model") if options.quick else lite0(options.work / "model", options.cache)
    folder = options.work / "images"
    await asyncio.to_thread(_build_images, model, folder, options)
    return folder


@asynccontextmanager
async def device(root: Path, images: Path) -> AsyncIterator[Device]:
    """A new hub and a new device below ``root`` that has ``images``; all is taken down at the end."""
    place = Place(root)
    os.makedirs(root)
    os.symlink(images, place.images)
    clock = SystemClock()
    stage = Stage(place, "process", clock)
    try:
        client = await stage.open_hub()
        await client.create_device(DEVICE, edge=True)
        await stage.provision(await client.device_connection_string(DEVICE))
        await stage.open_edge()
        watch = Watch(client, DEVICE, CNN, clock)
        watching = asyncio.create_task(watch.run())
        try:
            yield Device(stage, client, watch)
        finally:
            watching.cancel()
            await asyncio.wait([watching])
    finally:
        await stage.close()


def _build_images(model: Model, folder: Path, options: Options) -> None:
    name, _, tag = CNN_IMAGE.partition(":")
    build_module_image(
        model.package,
        name=name,
        tag=tag,
        output=folder,
        cache=options.cache,
        progress=lambda text: None,
    )
    name, _, tag = CAMERA_IMAGE.partition(":")
    build_camera_image(
        model.pictures[0].parent,
        name=name,
        tag=tag,
        output=folder,
        cache=options.cache,
        progress=lambda text: None,
    )

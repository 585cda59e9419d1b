"""A hub and an edge device as real processes with real images, on the process engine: the demo's stage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.models import Model, lite0, small
from benchmarks.rounds import Options
from skerry.cli.demo.manifest import CAMERA, CNN, deployment
from skerry.cli.demo.stage import DEVICE, Place, Stage
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

    async def deploy(self, *, frames: int, cameras: int = 1) -> None:
        """Camera → CNN → hub; each camera sends ``frames`` frames as soon as it runs."""
        document = deployment(CAMERA_IMAGE, CNN_IMAGE)
        content = document["modulesContent"]
        modules = content["$edgeAgent"]["properties.desired"]["modules"]
        for name in (CAMERA, *(f"{CAMERA}{number}" for number in range(1, cameras))):
            modules[name] = modules[CAMERA]
            content[name] = {"properties.desired": {"framesPerSecond": 25, "count": frames, "loop": False}}
        await self._apply(document)

    async def clear(self) -> None:
        """Take all modules away, and wait until they are gone."""
        document = deployment(CAMERA_IMAGE, CNN_IMAGE)
        content = document["modulesContent"]
        content["$edgeAgent"]["properties.desired"]["modules"] = {}
        await self._apply({"modulesContent": {name: content[name] for name in ("$edgeAgent", "$edgeHub")}})
        await self.reported(lambda modules: not modules)

    async def running(self, *names: str) -> None:
        """Wait until the hub has heard that they run."""
        await self.reported(
            lambda modules: all((modules.get(name) or {}).get("runtimeStatus") == "running" for name in names)
        )

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

    async def _apply(self, document: dict[str, Any]) -> None:
        await self.client.apply_configuration(DEVICE, document)


async def until(done: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await done():
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def device(options: Options) -> AsyncIterator[Device]:
    """Build the images, start the processes; all is taken down at the end."""
    place = Place(options.work / "stage")
    place.root.mkdir()
    model = small(options.work / "model") if options.quick else lite0(options.work / "model", options.cache)
    await asyncio.to_thread(_build_images, model, place, options)
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


def _build_images(model: Model, place: Place, options: Options) -> None:
    name, _, tag = CNN_IMAGE.partition(":")
    build_module_image(
        model.package, name=name, tag=tag, output=place.images, cache=options.cache, progress=lambda text: None
    )
    name, _, tag = CAMERA_IMAGE.partition(":")
    build_camera_image(
        model.pictures[0].parent,
        name=name,
        tag=tag,
        output=place.images,
        cache=options.cache,
        progress=lambda text: None,
    )

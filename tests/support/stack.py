"""A hub and an edge device at the ports Microsoft's SDKs insist on; to be used in a private network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from skerry.clock import SystemClock
from skerry.edge import main as edge_main
from skerry.edge.agent.environment import WORKLOAD_DIRECTORY
from skerry.edge.daemon.provisioning import provision
from skerry.hub import app
from skerry.hub.client import ServiceClient
from skerry.hub.settings import HubSettings
from skerry.hub.setup import connection_string
from tests.support.engine import MemoryEngine, World
from tests.support.namespace import GATEWAY_ADDRESS, GATEWAY_NAME, HUB_ADDRESS, HUB_NAME

Json = dict[str, Any]
T = TypeVar("T")
IMAGE = "skerry-test/module:1"


class Service:
    """One of our servers in this loop, that can be stopped and started over the same data."""

    def __init__(self, main: Callable[[asyncio.Event, Callable[[Any], None]], Coroutine[Any, Any, None]]) -> None:
        self._main = main
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> Any:
        """The addresses it serves at; raises what it raises when it cannot start."""
        self._stop = asyncio.Event()
        ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._main(self._stop, ready.set_result))
        await asyncio.wait([ready, self._task], return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            self._task.result()
        return ready.result()

    async def stop(self) -> None:
        """Wait until it is down; nothing happens when it is."""
        task, self._task = self._task, None
        if task is not None:
            self._stop.set()
            await task


class Hub(Service):
    """A hub at hub.skerry.test."""

    def __init__(self, data_dir: Path) -> None:
        settings = HubSettings(data_dir=data_dir, host_name=HUB_NAME, bind=HUB_ADDRESS)
        super().__init__(lambda stop, ready: app.run(settings, stop, ready))
        self.data_dir = data_dir
        self.ca_file = data_dir
        self._service: ServiceClient | None = None

    async def start(self) -> Any:
        addresses = await super().start()
        self.ca_file = addresses.ca_file
        if self._service is None:
            self._service = ServiceClient(self.service_string, ca_pem=self.ca_pem)
        return addresses

    @property
    def service(self) -> ServiceClient:
        assert self._service is not None
        return self._service

    @property
    def service_string(self) -> str:
        return connection_string(self.data_dir, "iothubowner")

    @property
    def ca_pem(self) -> str:
        return self.ca_file.read_text()

    async def create_device(self, device: str, *, edge: bool = False) -> str:
        """Its connection string."""
        await self.service.create_device(device, edge=edge)
        return await self.service.device_connection_string(device)

    async def events(self, count: int, **only: str) -> list[Json]:
        """The first ``count`` events of the telemetry log, waited for if need be."""
        got: list[Json] = []
        async for event in self.service.events("earliest", **only):
            got.append(event)
            if len(got) == count:
                break
        return got

    async def close(self) -> None:
        """Stop, and give up the client."""
        if self._service is not None:
            await self._service.close()
        await self.stop()


class Edge(Service):
    """An edge device at gateway.skerry.test whose modules' programs are played by the test."""

    def __init__(self, data_dir: Path, device_string: str, hub_ca: Path) -> None:
        options = {"hostname": GATEWAY_NAME, "listen": GATEWAY_ADDRESS}
        made = provision(data_dir, device_string, hub_ca=hub_ca, options=options)
        self.world = World(registry={IMAGE})
        clock = SystemClock()
        super().__init__(
            lambda stop, ready: edge_main.run(
                made.settings, stop, ready, clock, MemoryEngine(clock, self.world)
            )
        )

    async def environment(self, module: str) -> dict[str, str]:
        """What the agent gave ``module`` once it runs, with the workload socket where the host has it."""
        await eventually(lambda: f"start {module}" in self.world.journal)
        spec = self.world.specs[module]
        (mount,) = [mount for mount in spec.mounts if mount.target == WORKLOAD_DIRECTORY]
        uri = spec.env["IOTEDGE_WORKLOADURI"].replace(mount.target, mount.source)
        assert spec.hosts.keys() == {GATEWAY_NAME}
        return {**spec.env, "IOTEDGE_WORKLOADURI": uri}


@asynccontextmanager
async def running_hub(data_dir: Path) -> AsyncIterator[Hub]:
    hub = Hub(data_dir)
    try:
        await hub.start()
        yield hub
    finally:
        await hub.close()


@asynccontextmanager
async def running_edge(data_dir: Path, device_string: str, hub_ca: Path) -> AsyncIterator[Edge]:
    edge = Edge(data_dir, device_string, hub_ca)
    try:
        await edge.start()
        yield edge
    finally:
        await edge.stop()


def deployment(*modules: str, routes: Json, **desired: Json) -> Json:
    """A manifest of these modules; ``desired`` gives a module desired properties."""
    specs = {
        name: {
            "type": "docker",
            "status": "running",
            "restartPolicy": "always",
            "settings": {"image": IMAGE, "createOptions": "{}"},
        }
        for name in modules
    }
    system = {
        "edgeAgent": {"type": "docker", "settings": {"image": "skerry:1"}},
        "edgeHub": {
            "type": "docker",
            "status": "running",
            "restartPolicy": "always",
            "settings": {"image": "skerry:1"},
        },
    }
    agent = {
        "schemaVersion": "1.1",
        "runtime": {"type": "docker", "settings": {"minDockerVersion": "v1.25"}},
        "systemModules": system,
        "modules": specs,
    }
    hub = {
        "schemaVersion": "1.1",
        "routes": routes,
        "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
    }
    content = {"$edgeAgent": agent, "$edgeHub": hub, **desired}
    return {"modulesContent": {name: {"properties.desired": document} for name, document in content.items()}}


async def eventually(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait for something that no event announces."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)

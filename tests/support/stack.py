"""A hub and an edge device at the ports Microsoft's SDKs insist on; to be used in a private network."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from skerry.clock import SystemClock
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.edge import main as edge_main
from skerry.edge.agent.environment import WORKLOAD_DIRECTORY
from skerry.edge.daemon.provisioning import provision
from skerry.hub import app, certificates
from skerry.hub.client import ServiceClient
from skerry.hub.settings import HubSettings
from skerry.hub.setup import connection_string
from tests.support.engine import MemoryEngine, World
from tests.support.namespace import GATEWAY_ADDRESS, GATEWAY_NAME, HUB_ADDRESS, HUB_NAME

Json = dict[str, Any]
T = TypeVar("T")
Main = Callable[[asyncio.Event, Callable[[Any], None]], Coroutine[Any, Any, None]]
IMAGE = "skerry-test/module:1"

# Everything in here is local; what takes longer has failed.
WAIT_S = 20.0
POLL_S = 0.02


class Loop:
    """An event loop in a thread of its own: Microsoft's clients block the thread that calls them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers", daemon=True)

    def __enter__(self) -> Loop:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` returns or raises; TimeoutError after WAIT_S."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, WAIT_S), self._loop).result()


class Service:
    """One of our servers, that can be stopped and started over the same data."""

    def __init__(self, loop: Loop, main: Main) -> None:
        self._loop = loop
        self._main = main
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> Any:
        """The addresses it serves at; raises what it raises when it cannot start."""
        return self._loop.run(self._start())

    def stop(self) -> None:
        """Wait until it is down; nothing happens when it is."""
        self._loop.run(self._end())

    async def _start(self) -> Any:
        self._stop = asyncio.Event()
        ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._main(self._stop, ready.set_result))
        await asyncio.wait([ready, self._task], return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            self._task.result()
        return ready.result()

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._stop.set()
            await task


class Hub(Service):
    """A hub at hub.skerry.test."""

    def __init__(self, loop: Loop, data_dir: Path, **changes: Any) -> None:
        settings = HubSettings(data_dir=data_dir, host_name=HUB_NAME, bind=HUB_ADDRESS, **changes)
        super().__init__(loop, lambda stop, ready: app.run(settings, stop, ready))
        self.data_dir = data_dir

    @property
    def ca_file(self) -> Path:
        return certificates.ca_file(self.data_dir)

    @property
    def service_string(self) -> str:
        return connection_string(self.data_dir, "iothubowner")

    def call(self, verb: Callable[[ServiceClient], Coroutine[Any, Any, T]]) -> T:
        """What a verb of our own service client returns."""

        async def work() -> T:
            async with ServiceClient(self.service_string, ca_pem=self.ca_file.read_text()) as service:
                return await verb(service)

        return self._loop.run(work())

    def create_device(self, device: str, *, edge: bool = False) -> str:
        """Its connection string."""
        self.call(lambda service: service.create_device(device, edge=edge))
        return self.call(lambda service: service.device_connection_string(device))

    def invoke(
        self, device: str, method: str, payload: Any = None, module: str | None = None
    ) -> MethodResponse:
        """The device's answer; it may take a moment to connect and to answer."""
        request = MethodRequest(method, payload, response_timeout_s=10, connect_timeout_s=10)
        return self.call(lambda service: service.invoke_method(device, request, module))

    def events(self, count: int, **only: str) -> list[Json]:
        """The first ``count`` events of the telemetry log, waited for if need be."""

        async def read(service: ServiceClient) -> list[Json]:
            got: list[Json] = []
            async with contextlib.aclosing(service.events("earliest", **only)) as events:
                async for event in events:
                    got.append(event)
                    if len(got) == count:
                        break
            return got

        return self.call(read)


class Edge(Service):
    """An edge device at gateway.skerry.test whose modules' programs are played by the test."""

    def __init__(self, loop: Loop, data_dir: Path, device_string: str, hub_ca: Path) -> None:
        options = {"hostname": GATEWAY_NAME, "listen": GATEWAY_ADDRESS}
        settings = provision(data_dir, device_string, hub_ca=hub_ca, options=options).settings
        clock = SystemClock()
        self.ca_file = settings.ca_directory / "ca.pem"
        self.world = World(registry={IMAGE})
        super().__init__(
            loop,
            lambda stop, ready: edge_main.run(settings, stop, ready, clock, MemoryEngine(clock, self.world)),
        )

    def environment(self, module: str) -> dict[str, str]:
        """What the agent gave ``module`` once it runs, with the workload socket where the host has it."""
        eventually(lambda: f"start {module}" in self.world.journal)
        spec = self.world.specs[module]
        (mount,) = [mount for mount in spec.mounts if mount.target == WORKLOAD_DIRECTORY]
        assert spec.hosts.keys() == {GATEWAY_NAME}
        uri = spec.env["IOTEDGE_WORKLOADURI"].replace(mount.target, mount.source)
        return {**spec.env, "IOTEDGE_WORKLOADURI": uri}


@contextmanager
def running_hub(data_dir: Path, **changes: Any) -> Iterator[Hub]:
    """A hub that serves until the context ends; ``changes`` are to its settings."""
    with Loop() as loop:
        hub = Hub(loop, data_dir, **changes)
        hub.start()
        try:
            yield hub
        finally:
            hub.stop()


@contextmanager
def running_edge(data_dir: Path, device_string: str, hub_ca: Path) -> Iterator[Edge]:
    """An edge runtime that serves until the context ends."""
    with Loop() as loop:
        edge = Edge(loop, data_dir, device_string, hub_ca)
        edge.start()
        try:
            yield edge
        finally:
            edge.stop()


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


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for something that no event announces; TimeoutError after WAIT_S."""

    async def wait() -> None:
        while not condition():
            await asyncio.sleep(POLL_S)

    asyncio.run(asyncio.wait_for(wait(), WAIT_S))

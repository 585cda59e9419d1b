"""Everything the demo starts, in one folder, and how it is all taken down again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from skerry.cli.demo.manifest import CAMERA_IMAGE, CNN_IMAGE
from skerry.cli.demo.processes import Process, free_ports, is_free, run_once
from skerry.clock import Clock
from skerry.edge.daemon.provisioning import read_settings
from skerry.edge.engine.choose import choose_engine
from skerry.edge.engine.docker import DockerEngine
from skerry.edge.engine.port import Engine
from skerry.errors import SkerryError
from skerry.hub.certificates import ca_file
from skerry.hub.client import ServiceClient
from skerry.hub.setup import connection_string
from skerry.sim.outage import LinkProxy, PortMapping

DEVICE = "demo-device"
# What modules see: the port Microsoft's SDKs insist on (contract: hard-coded in the clients).
MODULE_MQTT_PORT = 8883
DOCKER_NETWORK = "skerry-demo"
DOCKER_PREFIX = "skerry-demo-"
LOG_LINES_KEPT = 200


@dataclass(frozen=True)
class Place:
    """The demo's folder and what lies where in it."""

    root: Path

    @property
    def hub(self) -> Path:
        return self.root / "hub"

    @property
    def device(self) -> Path:
        return self.root / "edge"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def claims(self) -> Path:
        """What is too large for a message, between the modules."""
        return self.root / "claims"

    @property
    def manifest(self) -> Path:
        return self.root / "deployment.json"


class Stage:
    """A hub and a device as real processes, with a link between them that can be cut."""

    def __init__(self, place: Place, engine: str, clock: Clock) -> None:
        self.place = place
        self.engine = engine
        self._clock = clock
        self._https_port, self._mqtt_port, self._module_https_port = free_ports(3)
        self.module_port = MODULE_MQTT_PORT if is_free(MODULE_MQTT_PORT) else free_ports(1)[0]
        self.link: LinkProxy | None = None
        self.client: ServiceClient | None = None
        self._hub = Process(
            "the hub",
            [
                *("hub", "up", "--dir", str(place.hub)),
                *("--https-port", str(self._https_port), "--mqtt-port", str(self._mqtt_port)),
            ],
            place.logs / "hub.log",
            clock,
        )
        self.edge = Process(
            "the edge runtime", ["edge", "run", "--dir", str(place.device)], place.logs / "edge.log", clock
        )

    @property
    def hub_options(self) -> str:
        """How to point a ``skerry`` command at this hub."""
        return f"--hub-dir {self.place.hub} --hub-port {self._https_port}"

    @property
    def dashboard(self) -> str:
        return f"https://localhost:{self._https_port}/dashboard"

    @property
    def management_socket(self) -> Path:
        """Where the edge runtime answers."""
        return read_settings(self.place.device).management_socket

    async def open_hub(self) -> ServiceClient:
        """Start the hub and the link to it, and be its service."""
        self.place.logs.mkdir(parents=True, exist_ok=True)
        await self._hub.start()
        ca = ca_file(self.place.hub)
        await self._hub.until(lambda: _answers(self._https_port, ca.exists))
        text = connection_string(self.place.hub, "iothubowner")
        self.client = ServiceClient(text, https_port=self._https_port, ca_pem=ca.read_text())
        self.link = await LinkProxy.start(
            [PortMapping("127.0.0.1", self._mqtt_port), PortMapping("127.0.0.1", self._https_port)]
        )
        return self.client

    async def provision(self, device_connection_string: str) -> str:
        """``skerry edge provision`` with the string on its standard input; what it printed."""
        assert self.link is not None
        mqtt_port, https_port = self.link.ports
        return await run_once(
            [
                *("edge", "provision", "--dir", str(self.place.device), "--connection-string-file", "-"),
                *("--hub-mqtt-port", str(mqtt_port), "--hub-https-port", str(https_port)),
                *("--hub-ca", str(ca_file(self.place.hub))),
                *("--mqtt-port", str(self.module_port), "--https-port", str(self._module_https_port)),
                *("--engine", self.engine, "--images", str(self.place.images)),
                # Processes share this machine's names; containers get theirs from the runtime.
                *("--hostname", "localhost" if self.engine == "process" else "skerry-edge"),
                *("--container-prefix", DOCKER_PREFIX, "--network", DOCKER_NETWORK),
            ],
            text_in=device_connection_string,
        )

    async def open_edge(self) -> None:
        """Start the runtime; it is up when its management socket answers."""
        await self.edge.start()
        socket = self.management_socket

        async def up() -> bool:
            try:
                _, writer = await asyncio.open_unix_connection(str(socket))
            except OSError:
                return False
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return True

        await self.edge.until(up)

    async def close(self) -> None:
        """Stop all of it, and leave nothing running, no container, no image, no network."""
        await self.edge.stop()
        await self._hub.stop()
        if self.client is not None:
            await self.client.close()
        if self.link is not None:
            await self.link.close()
        with contextlib.suppress(SkerryError):
            await save_module_logs(self.engine, self.place)
            await sweep(self.engine, self.place)


async def preload(kind: str, place: Place, images: Sequence[str]) -> None:
    """Bring images into the engine, from their layouts."""
    async with _engine(kind, place) as engine:
        for image in images:
            await engine.pull(image)


async def save_module_logs(kind: str, place: Place) -> None:
    """Put what the modules said last into the demo's logs, before they are removed."""
    async with _engine(kind, place) as engine:
        for module in await engine.observe():
            lines = [line async for line in engine.logs(module.name, tail=LOG_LINES_KEPT)]
            state = f"{module.name}: {module.status}, exit code {module.exit_code}\n"
            (place.logs / f"{module.name}.log").write_bytes(state.encode() + b"\n".join(lines) + b"\n")


async def sweep(kind: str, place: Place) -> None:
    """Remove the demo's modules, also those of a run that was killed."""
    async with _engine(kind, place) as engine:
        for module in await engine.observe():
            await engine.remove(module.name)
        if isinstance(engine, DockerEngine):
            await engine.forget((CAMERA_IMAGE, CNN_IMAGE))


@contextlib.asynccontextmanager
async def _engine(kind: str, place: Place) -> AsyncIterator[Engine]:
    engine = await choose_engine(
        kind,
        images_dir=place.images,
        state_dir=place.device / "engine",
        device=DEVICE,
        prefix=DOCKER_PREFIX,
        network=DOCKER_NETWORK,
    )
    try:
        yield engine
    finally:
        await engine.close()


def clear(place: Place) -> None:
    """An empty folder to begin in; downloads are elsewhere and stay."""
    shutil.rmtree(place.root, ignore_errors=True)
    place.root.mkdir(parents=True)
    os.chmod(place.root, 0o700)


async def _answers(port: int, has_ca: Callable[[], bool]) -> bool:
    if not has_ca():
        return False
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True

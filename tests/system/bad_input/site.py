"""A hub as a process of its own, with what a test needs to address it."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from skerry.contract.credentials import ConnectionString
from skerry.edge.daemon.identity_source import Source
from skerry.edge.daemon.provisioning import provision
from skerry.edge.engine.choose import choose_engine
from skerry.edge.settings import EdgeSettings
from skerry.hub.certificates import ca_file
from skerry.hub.client import ServiceClient
from skerry.hub.setup import connection_string
from tests.support.ports import free_ports
from tests.system.bad_input.command import Outcome, Running, skerry

T = TypeVar("T")


class Site:
    """A hub's folder and ports; ``serving`` runs it, again and again if need be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub_dir = folder / "hub"
        self.https_port, self.mqtt_port = free_ports(2)

    @contextmanager
    def serving(self) -> Iterator[Running]:
        """The hub, up."""
        ports = ("--https-port", str(self.https_port), "--mqtt-port", str(self.mqtt_port))
        with Running("hub", "up", "--dir", self.hub_dir, *ports) as hub:
            hub.wait_for("its CA")
            yield hub

    def skerry(self, *arguments: str | Path) -> Outcome:
        """A command against this hub with the rights of its owner."""
        where = ("--hub-dir", self.hub_dir, "--hub-port", str(self.https_port))
        return skerry(*arguments, *where)

    @property
    def owner(self) -> str:
        """The owner's connection string."""
        return connection_string(self.hub_dir, "iothubowner")

    @property
    def owner_key(self) -> str:
        return ConnectionString.parse(self.owner).shared_access_key or ""

    @property
    def ca_pem(self) -> str:
        return ca_file(self.hub_dir).read_text()

    def create_device(self, device: str) -> str:
        """A new edge device's connection string."""

        async def ask(client: ServiceClient) -> str:
            await client.create_device(device, edge=True)
            return await client.device_connection_string(device)

        return self.ask(ask)

    def ask(self, question: Callable[[ServiceClient], Awaitable[T]]) -> T:
        """What the hub answers its owner."""

        async def ask() -> T:
            async with ServiceClient(self.owner, self.https_port, self.ca_pem) as client:
                return await question(client)

        return asyncio.run(ask())

    def provision(self, folder: Path, source: Source | str, **options: Any) -> EdgeSettings:
        """A device of this hub, its modules processes, its ports free ones."""
        return provision(
            folder,
            source,
            hub_ca=ca_file(self.hub_dir),
            force=True,
            options={
                "hub_mqtt_port": self.mqtt_port,
                "hub_https_port": self.https_port,
                "hostname": "localhost",
                "listen": "127.0.0.1",
                "mqtt_port": free_ports(1)[0],
                "https_port": -1,
                "engine": "process",
                **options,
            },
        ).settings

    @contextmanager
    def running_edge(self, settings: EdgeSettings) -> Iterator[Running]:
        """The device's runtime; its modules, which outlive it, are removed at the end."""
        try:
            with Running("edge", "run", "--dir", settings.data_dir) as edge:
                yield edge
        finally:
            asyncio.run(_remove_modules(settings))


async def _remove_modules(settings: EdgeSettings) -> None:
    state_dir = settings.data_dir / "engine"
    engine = await choose_engine(settings.engine, images_dir=settings.images, state_dir=state_dir)
    try:
        for module in await engine.observe():
            await engine.remove(module.name)
    finally:
        await engine.close()


def some_key() -> str:
    """A key that nobody knows."""
    return base64.b64encode(secrets.token_bytes(32)).decode()

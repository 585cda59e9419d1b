"""An edge device in a test: provisioned, its identities and twins as after a first contact with a hub."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skerry.clock import Clock, SystemClock
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.edge.daemon.provisioning import provision
from skerry.edge.engine.port import Engine
from skerry.edge.hub.twin_cache import CachedTwin
from skerry.edge.main import EdgeAddresses, run
from skerry.edge.settings import EdgeSettings
from skerry.protocol.client import Backoff, DeviceClient, Endpoint
from skerry.protocol.tokens import KeyTokens
from skerry.service.tls import client_context
from skerry.store.database import Database
from skerry.store.documents import DOCUMENTS, Documents
from tests.support.engine import MemoryEngine

HUB = "hub.test"
DEVICE = DeviceId("edge-1")


def key_of(name: str) -> str:
    return base64.b64encode(name.encode().ljust(32, b"k")).decode()


def module(name: str) -> Identity:
    return Identity(DEVICE, ModuleId(name))


def agent_desired(version: int = 1, /, **images: str) -> dict[str, Any]:
    """A deployment with these modules by image."""
    return {
        "schemaVersion": "1.1",
        "runtime": {"type": "docker", "settings": {}},
        "systemModules": {},
        "modules": {
            name: {
                "type": "docker",
                "status": "running",
                "restartPolicy": "always",
                "settings": {"image": image, "createOptions": "{}"},
            }
            for name, image in images.items()
        },
    }


def hub_desired(**routes: Any) -> dict[str, Any]:
    return {
        "schemaVersion": "1.1",
        "routes": routes,
        "storeAndForwardConfiguration": {"timeToLiveSecs": -1},
    }


@dataclass
class Device:
    """A provisioned data directory."""

    settings: EdgeSettings

    @classmethod
    def provisioned(cls, data_dir: Path, *, hub_ca: Path | None = None, **options: Any) -> Device:
        text = f"HostName={HUB};DeviceId={DEVICE};SharedAccessKey={key_of(DEVICE)}"
        defaults = {"hostname": "localhost", "listen": "127.0.0.1", "mqtt_port": 0, "https_port": 0}
        made = provision(data_dir, text, hub_ca=hub_ca, options={"upstream": False, **defaults, **options})
        return cls(made.settings)

    async def knows(self, *modules: str, version: int = 1, **twins: Mapping[str, Any]) -> None:
        """As after a contact with a hub: identities of ``modules``, and desired properties by module."""
        database = await Database.open(self.settings.database_file, [DOCUMENTS])
        try:
            identities = Documents(database, "identities")
            for name in ("$edgeAgent", "$edgeHub", *modules):
                await identities.put(
                    name,
                    {
                        "generationId": "1",
                        "primaryKey": key_of(name),
                        "secondaryKey": key_of(name + "2"),
                        "managedBy": "iotEdge",
                        "etag": "",
                    },
                )
            names = {"agent": "$edgeAgent", "hub": "$edgeHub"}
            for name, desired in twins.items():
                twin = CachedTwin(desired=dict(desired), desired_version=version, known=True)
                identity = module(names.get(name, name))
                await Documents(database, "twins").put(identity.client_id, twin.to_json())
        finally:
            await database.close()

    @asynccontextmanager
    async def running(
        self, engine: Engine | None = None, clock: Clock | None = None
    ) -> AsyncIterator[EdgeAddresses]:
        """The runtime, up; taken down at the end."""
        clock = clock or SystemClock()
        stop, up = asyncio.Event(), asyncio.get_running_loop().create_future()
        task = asyncio.create_task(
            run(self.settings, stop, up.set_result, clock, engine or MemoryEngine(clock))
        )
        await asyncio.wait([up, task], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        try:
            yield up.result()
        finally:
            stop.set()
            await task
            if not self.settings.run_directory.is_relative_to(self.settings.data_dir):
                shutil.rmtree(self.settings.run_directory, ignore_errors=True)

    def client(self, name: str, addresses: EdgeAddresses, clock: Clock | None = None) -> DeviceClient:
        """A module's client, not started."""
        clock = clock or SystemClock()
        tls = client_context(addresses.ca_file.read_text())
        endpoint = Endpoint("127.0.0.1", addresses.mqtt_port, tls, "localhost")
        tokens = KeyTokens(key_of(name), clock)
        return DeviceClient(module(name), HUB, endpoint, tokens, clock=clock, backoff=Backoff(0.02, 0.1))

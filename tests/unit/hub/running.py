"""A real hub on free ports, with real clients for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from skerry.clock import Clock, SystemClock
from skerry.contract.credentials import ConnectionString, key_signer, make_token
from skerry.contract.names import Identity
from skerry.errors import NotAuthenticated
from skerry.hub.app import HubAddresses, hub
from skerry.hub.client import ServiceClient
from skerry.hub.settings import HubSettings
from skerry.hub.setup import connection_string
from skerry.protocol.client import DeviceClient, Endpoint
from skerry.protocol.connect import tls_trusting
from skerry.protocol.tokens import KeyTokens, TokenSource
from skerry.service.tls import client_context

Json = dict[str, Any]


@dataclass
class RunningHub:
    """Addresses and clients of a hub that serves in this loop."""

    data_dir: Path
    addresses: HubAddresses
    service: ServiceClient
    clock: Clock

    @property
    def ca_pem(self) -> str:
        return self.addresses.ca_file.read_text()

    def client(self, policy: str) -> ServiceClient:
        text = connection_string(self.data_dir, policy)
        return ServiceClient(text, self.addresses.https_port, self.ca_pem, clock=self.clock)

    async def raw(
        self,
        method: str,
        path: str,
        authorization: str | None = None,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """One request as it stands, with the owner's token unless ``authorization`` is given ("" is none)."""
        token = self.token("iothubowner") if authorization is None else authorization
        sent = {**({"authorization": token} if token else {}), **(headers or {})}
        url = f"https://localhost:{self.addresses.https_port}{path}"
        async with httpx.AsyncClient(verify=client_context(self.ca_pem), trust_env=False) as http:
            return await http.request(method, url, json=body, headers=sent, content=content)

    def token(self, policy: str, *, lifetime_s: int = 600, audience: str = "localhost") -> str:
        key = ConnectionString.parse(connection_string(self.data_dir, policy)).shared_access_key
        assert key is not None
        expiry = int(self.clock.now().timestamp()) + lifetime_s
        return make_token(audience, key_signer(key), expiry, policy)

    def device_token(self, document: Json, *, lifetime_s: int = 600) -> str:
        """A token of a device or module by its own key."""
        expiry = int(self.clock.now().timestamp()) + lifetime_s
        return make_token(_identity(document).resource("localhost"), key_signer(key_of(document)), expiry)

    def device(self, document: Json, key: str = "primaryKey") -> DeviceClient:
        """A client for the device or module of a registry document; not started."""
        return self.client_with_key(_identity(document), key_of(document, key))

    def client_with_key(self, identity: Identity, key: str, lifetime_s: int = 3600) -> DeviceClient:
        return self.client_with_token(identity, KeyTokens(key, self.clock, lifetime_s))

    def client_with_token(self, identity: Identity, tokens: TokenSource) -> DeviceClient:
        endpoint = Endpoint("127.0.0.1", self.addresses.mqtt_port, tls_trusting(self.ca_pem), "localhost")
        return DeviceClient(identity, "localhost", endpoint, tokens, clock=self.clock)


@asynccontextmanager
async def running_hub(
    data_dir: Path, *, root_pem: str | None = None, **changes: Any
) -> AsyncIterator[RunningHub]:
    """``root_pem`` is what its clients trust, if that is not the hub's own root."""
    clock = SystemClock()
    settings = HubSettings(**{"data_dir": data_dir, "https_port": 0, "mqtt_port": 0, **changes})
    async with hub(settings, clock) as addresses:
        text = connection_string(data_dir, "iothubowner")
        ca_pem = root_pem or addresses.ca_file.read_text()
        async with ServiceClient(text, addresses.https_port, ca_pem, clock=clock) as service:
            yield RunningHub(data_dir, addresses, service, clock)


@asynccontextmanager
async def connected(client: DeviceClient) -> AsyncIterator[DeviceClient]:
    await client.start()
    try:
        await client.wait_connected()
        yield client
    finally:
        await client.stop()


async def refused(client: DeviceClient) -> bool:
    """Whether the hub refuses this client for good (CONNACK 5), rather than for now."""
    await client.start()
    try:
        async with asyncio.timeout(10):
            while client.last_error is None:
                await asyncio.sleep(0.01)
        assert not client.connected
        return isinstance(client.last_error, NotAuthenticated)
    finally:
        await client.stop()


def key_of(document: Json, key: str = "primaryKey") -> str:
    return str(document["authentication"]["symmetricKey"][key])


def _identity(document: Json) -> Identity:
    module = f"/{document['moduleId']}" if "moduleId" in document else ""
    return Identity.parse(f"{document['deviceId']}{module}")


EDGE_AGENT: Json = {
    "schemaVersion": "1.1",
    "runtime": {"type": "docker", "settings": {"minDockerVersion": "v1.25"}},
    "systemModules": {
        "edgeAgent": {"type": "docker", "settings": {"image": "agent:1"}},
        "edgeHub": {
            "type": "docker",
            "status": "running",
            "restartPolicy": "always",
            "settings": {"image": "hub:1"},
        },
    },
}


def manifest(*modules: str, routes: Json | None = None, **desired: Json) -> Json:
    """A deployment of these modules; ``desired`` gives the desired properties of a module."""
    specs = {
        name: {
            "type": "docker",
            "status": "running",
            "restartPolicy": "always",
            "settings": {"image": f"{name}:1"},
        }
        for name in modules
    }
    edge_hub = {
        "schemaVersion": "1.1",
        "routes": routes or {},
        "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
    }
    return {
        "modulesContent": {
            "$edgeAgent": {"properties.desired": {**EDGE_AGENT, "modules": specs}},
            "$edgeHub": {"properties.desired": edge_hub},
            **{name: {"properties.desired": document} for name, document in desired.items()},
        }
    }

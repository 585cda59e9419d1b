"""A leaf device behind an edge device, against the real hub: online, and while the hub is away."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.contract.names import DeviceId, Identity
from skerry.edge.daemon.provisioning import provision
from skerry.edge.main import EdgeAddresses
from skerry.hub.client import ServiceClient
from skerry.hub.settings import HubSettings
from skerry.protocol.client import Backoff, DeviceClient, Endpoint
from skerry.protocol.tokens import KeyTokens, NoToken
from skerry.service.certificates import Authority, Issued, self_signed
from skerry.service.tls import client_context, load_certificate
from tests.support.edge import agent_desired, hub_desired
from tests.support.engine import MemoryEngine, World
from tests.support.ports import free_ports
from tests.system.test_edge_with_hub import System, bodies, until
from tests.unit.hub.certified import thumbprint

pytestmark = pytest.mark.system

LEAF = Identity(DeviceId("leaf-1"))
MANIFEST = {
    "modulesContent": {
        "$edgeAgent": {"properties.desired": agent_desired(1)},
        "$edgeHub": {"properties.desired": hub_desired(up="FROM /messages/* INTO $upstream")},
    }
}


def leaf_client(addresses: EdgeAddresses, key: str, name: Identity = LEAF) -> DeviceClient:
    """The leaf's client, which knows the gateway's CA and the hub's name."""
    clock = SystemClock()
    tls = client_context(addresses.ca_file.read_text())
    endpoint = Endpoint("127.0.0.1", addresses.mqtt_port, tls, "localhost")
    return DeviceClient(
        name, "localhost", endpoint, KeyTokens(key, clock), clock=clock, backoff=Backoff(0.05, 0.2)
    )


async def registered(service: ServiceClient) -> str:
    """The edge device and its child; the child's key."""
    edge = await service.create_device("edge-1", edge=True)
    leaf = await service.create_device("leaf-1")
    await service.create_device("stranger")
    leaf = await service.update_device({**leaf, "deviceScope": edge["deviceScope"]})
    return str(leaf["authentication"]["symmetricKey"]["primaryKey"])


async def messages_of(service: ServiceClient, device: str, count: int) -> list[bytes]:
    found: list[dict[str, Any]] = []
    async with (
        asyncio.timeout(20),
        contextlib.aclosing(service.events("earliest", device=device)) as events,
    ):
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return bodies(found)


async def test_a_leaf_device_works_through_the_gateway_and_offline(tmp_path: Path) -> None:
    mqtt_port, https_port, edge_mqtt_port = free_ports(3)
    system = System(HubSettings(tmp_path / "hub", mqtt_port=mqtt_port, https_port=https_port))
    engine = MemoryEngine(SystemClock(), World())
    options = {
        "hostname": "localhost",
        "listen": "127.0.0.1",
        "hub_mqtt_port": mqtt_port,
        "hub_https_port": https_port,
        "mqtt_port": edge_mqtt_port,
        "https_port": -1,
    }
    async with system.hub_up() as (hub_addresses, service):
        key = await registered(service)
        stranger = await service.device("stranger")
        system.edge = provision(
            tmp_path / "edge",
            await service.device_connection_string("edge-1"),
            hub_ca=hub_addresses.ca_file,
            options=options,
        ).settings
        await service.apply_configuration("edge-1", MANIFEST)
        await service.patch_twin("leaf-1", desired={"period": 5})
        async with system.device_up(engine) as addresses:

            async def routed() -> bool:
                twin = await service.twin("edge-1", "$edgeHub")
                return bool(twin["properties"]["reported"].get("lastDesiredStatus", {}).get("code") == 200)

            await until(routed)
            leaf = leaf_client(addresses, key)

            async def on_method(request: MethodRequest) -> MethodResponse:
                return MethodResponse(200, {"echo": request.payload})

            leaf.on_method = on_method
            await leaf.start()
            await asyncio.wait_for(leaf.send(Message(b"online")), 15)
            assert (await leaf.twin())["desired"]["period"] == 5
            assert await leaf.report({"state": "up"}) is not None
            answer = await service.invoke_method("leaf-1", MethodRequest("echo", 7, connect_timeout_s=10))
            assert answer == MethodResponse(200, {"echo": 7})
            assert await messages_of(service, "leaf-1", 1) == [b"online"]

            strange = leaf_client(
                addresses,
                stranger["authentication"]["symmetricKey"]["primaryKey"],
                Identity(DeviceId("stranger")),
            )
            await strange.start()
            await asyncio.sleep(0.5)
            assert not strange.connected
            await strange.stop()
            await leaf.stop()

    # Both the device and the leaf start while the hub is away.
    async with system.device_up(engine) as addresses:
        leaf = leaf_client(addresses, key)
        await leaf.start()
        await asyncio.wait_for(leaf.send(Message(b"offline")), 15)
        assert (await leaf.twin())["desired"]["period"] == 5
        await leaf.report({"state": "alone"})
        async with system.hub_up() as (_, service):
            assert await messages_of(service, "leaf-1", 2) == [b"online", b"offline"]

            async def reported() -> bool:
                twin = await service.twin("leaf-1")
                return bool(twin["properties"]["reported"].get("state") == "alone")

            await until(reported)
            (account,) = await service.ledger("leaf-1")
            assert (account["sent"], account["received"], account["lost"]) == (2, 2, 0)
            assert (account["proven"], account["altered"]) == (1, 0)
            await leaf.stop()


def certified_client(addresses: EdgeAddresses, own: Issued) -> DeviceClient:
    """A leaf that shows a certificate, and has no key."""
    tls = client_context(addresses.ca_file.read_text())
    load_certificate(tls, own.cert_chain_pem, own.key_pem)
    endpoint = Endpoint("127.0.0.1", addresses.mqtt_port, tls, "localhost")
    backoff = Backoff(0.05, 0.2)
    return DeviceClient(LEAF, "localhost", endpoint, NoToken(), clock=SystemClock(), backoff=backoff)


@pytest.mark.parametrize("method", ["selfSigned", "certificateAuthority"])
async def test_a_leaf_device_with_a_certificate_works_through_the_gateway_and_offline(
    tmp_path: Path, method: str
) -> None:
    """The gateway holds no key of it: it vouches for it at the hub as itself."""
    mqtt_port, https_port, edge_mqtt_port = free_ports(3)
    system = System(HubSettings(tmp_path / "hub", mqtt_port=mqtt_port, https_port=https_port))
    engine = MemoryEngine(SystemClock(), World())
    plant = Authority.create("plant", SystemClock())
    own = plant.issue_intermediate("line").issue_client("leaf-1")
    foreign = self_signed("leaf-1", SystemClock())
    options = {
        "hostname": "localhost",
        "listen": "127.0.0.1",
        "hub_mqtt_port": mqtt_port,
        "hub_https_port": https_port,
        "mqtt_port": edge_mqtt_port,
        "https_port": -1,
    }
    async with system.hub_up() as (hub_addresses, service):
        await service.put_certificate("plant", plant.certificate_pem, verified=True)
        edge = await service.create_device("edge-1", edge=True)
        prints = {"primaryThumbprint": thumbprint(own)}
        leaf = await service.create_device(
            "leaf-1", authentication={"type": method, "x509Thumbprint": prints}
        )
        await service.update_device({**leaf, "deviceScope": edge["deviceScope"]})
        await service.patch_twin("leaf-1", desired={"period": 5})
        await service.apply_configuration("edge-1", MANIFEST)
        text = await service.device_connection_string("edge-1")
        system.edge = provision(
            tmp_path / "edge", text, hub_ca=hub_addresses.ca_file, options=options
        ).settings
        async with system.device_up(engine) as addresses:

            async def routed() -> bool:
                twin = await service.twin("edge-1", "$edgeHub")
                return bool(twin["properties"]["reported"].get("lastDesiredStatus", {}).get("code") == 200)

            await until(routed)
            client = certified_client(addresses, own)

            async def on_method(request: MethodRequest) -> MethodResponse:
                return MethodResponse(200, {"echo": request.payload})

            client.on_method = on_method
            await client.start()
            await asyncio.wait_for(client.send(Message(b"online")), 15)
            assert (await client.twin())["desired"]["period"] == 5
            answer = await service.invoke_method("leaf-1", MethodRequest("echo", 7, connect_timeout_s=10))
            assert answer == MethodResponse(200, {"echo": 7})
            assert await messages_of(service, "leaf-1", 1) == [b"online"]
            await client.stop()
            stranger = certified_client(addresses, foreign)
            await stranger.start()
            await until(lambda: _has_error(stranger))
            assert not stranger.connected
            await stranger.stop()

    # Both the device and the leaf start while the hub is away.
    async with system.device_up(engine) as addresses:
        client = certified_client(addresses, own)
        await client.start()
        await asyncio.wait_for(client.send(Message(b"offline")), 15)
        assert (await client.twin())["desired"]["period"] == 5
        async with system.hub_up() as (_, service):
            assert await messages_of(service, "leaf-1", 2) == [b"online", b"offline"]
            await client.stop()


async def _has_error(client: DeviceClient) -> bool:
    return client.last_error is not None

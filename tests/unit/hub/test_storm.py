"""Every device comes back after a restart of the hub, whatever it met meanwhile, and none is locked out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from skerry.contract.message import Message
from skerry.contract.names import DeviceId, Identity
from skerry.errors import NotAuthenticated
from skerry.protocol.client import Backoff, DeviceClient, Endpoint
from skerry.protocol.connect import tls_trusting
from skerry.protocol.tokens import KeyTokens
from tests.support.ports import free_ports
from tests.unit.hub.running import running_hub

KEY = "b25lIGtleSBmb3IgYWxsIG9mIHRoZW0gaW4gaGVyZQ=="
DEVICES = 150
PATIENCE_S = 60.0


async def test_a_storm_after_a_restart_ends_with_everybody_connected(tmp_path: Path) -> None:
    https_port, mqtt_port = free_ports(2)
    ports: dict[str, Any] = {"https_port": https_port, "mqtt_port": mqtt_port}
    clients: list[DeviceClient] = []
    refusals: list[str] = []
    try:
        async with running_hub(tmp_path, **ports) as hub:
            key = {"primaryKey": KEY, "secondaryKey": KEY}
            entries = [
                {"id": f"d{number}", "importMode": "create", "authentication": {"symmetricKey": key}}
                for number in range(DEVICES)
            ]
            for first in range(0, DEVICES, 100):
                path = "/devices?api-version=2021-04-12"
                answer = await hub.raw("POST", path, body=entries[first : first + 100])
                assert answer.status_code == 200
            endpoint = Endpoint("127.0.0.1", mqtt_port, tls_trusting(hub.ca_pem), "localhost")
            for number in range(DEVICES):
                identity = Identity(DeviceId(f"d{number}"))
                tokens = KeyTokens(KEY, hub.clock, 3600)
                # All of them are as impatient as can be.
                impatient = Backoff(0.01, 0.5)
                clients.append(
                    DeviceClient(identity, "localhost", endpoint, tokens, clock=hub.clock, backoff=impatient)
                )
            await asyncio.gather(*(client.start() for client in clients))
            await _all_send(clients)
        watching = asyncio.create_task(_watch(clients, refusals))
        async with running_hub(tmp_path, **ports):
            await _all_send(clients)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    finally:
        await asyncio.gather(*(client.stop() for client in clients))
    assert refusals == []


async def _all_send(clients: list[DeviceClient]) -> None:
    """Each has its message acknowledged, over as many connections as that takes."""
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(client.send(Message(b"here")) for client in clients))


async def _watch(clients: list[DeviceClient], refusals: list[str]) -> None:
    """CONNACK 5 would tell a device for good that it is not wanted."""
    while True:
        refusals += [str(one.last_error) for one in clients if isinstance(one.last_error, NotAuthenticated)]
        await asyncio.sleep(0.02)

"""The edge hub's certificate is renewed under modules that publish: no gap, no loss, no restart.

``SKERRY_RENEWALS=20 SKERRY_CERTIFICATE_LIFE_S=60`` is the long run; CI has a short one.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from cryptography import x509

from skerry.contract.message import Message
from skerry.edge.main import EdgeAddresses
from skerry.service.tls import client_context
from tests.support.edge import Device, hub_desired
from tests.support.ports import free_ports

RENEWALS = int(os.environ.get("SKERRY_RENEWALS", "1"))
# Certificates know whole seconds only: a much shorter life would be none.
LIFE_S = float(os.environ.get("SKERRY_CERTIFICATE_LIFE_S", "6"))
PUBLISHERS = 3
# What a client may have to wait for its PUBACK while the certificate changes.
GAP_S = 2.0

pytestmark = [pytest.mark.system, pytest.mark.timeout(120 + RENEWALS * LIFE_S)]


class Publisher:
    """A module that sends one message after the other, over one connection."""

    def __init__(self, device: Device, name: str, addresses: EdgeAddresses, stop: asyncio.Event) -> None:
        self.client = device.client(name, addresses)
        self.losses = 0
        self.sent = 0
        self._stop = stop
        self.client.on_connection_changed = self._changed

    async def run(self) -> None:
        await self.client.start()
        await self.client.wait_connected()
        while not self._stop.is_set():
            async with asyncio.timeout(GAP_S):
                await self.client.send(Message(b"%d" % self.sent), "up")
            self.sent += 1
            await asyncio.sleep(0.02)
        await self.client.stop()

    def _changed(self, connected: bool) -> None:
        self.losses += not connected and not self._stop.is_set()


async def serials(addresses: EdgeAddresses, wanted: int) -> set[int]:
    """Connect again and again, judging dates as a leaf device does, until so many certificates were seen."""
    tls = client_context(addresses.ca_file.read_text())
    seen: set[int] = set()
    while len(seen) < wanted:
        async with asyncio.timeout(GAP_S):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", addresses.mqtt_port, ssl=tls, server_hostname="localhost"
            )
        der = writer.get_extra_info("ssl_object").getpeercert(True)
        seen.add(x509.load_der_x509_certificate(der).serial_number)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.1)
    return seen


async def test_nobody_notices_renewals(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    device = Device.provisioned(
        tmp_path / "d", mqtt_port=port, https_port=-1, certificate_valid_s=LIFE_S, upstream=False
    )
    names = [f"m{n}" for n in range(PUBLISHERS)]
    routes = hub_desired(up='FROM /messages/* INTO BrokeredEndpoint("/modules/sink/inputs/in")')
    await device.knows(*names, "sink", hub=routes)
    got: list[tuple[str, int]] = []
    async with device.running() as addresses:
        sink = device.client("sink", addresses)

        async def on_input(name: str, message: Message) -> None:
            got.append((message.system["connectionModuleId"], int(message.body)))

        sink.on_input = on_input
        await sink.start()
        stop = asyncio.Event()
        publishers = [Publisher(device, name, addresses, stop) for name in names]
        running = [asyncio.create_task(publisher.run()) for publisher in publishers]
        try:
            await serials(addresses, RENEWALS + 1)
        finally:
            stop.set()
        await asyncio.gather(*running)
        async with asyncio.timeout(20):
            while len(got) < sum(publisher.sent for publisher in publishers):
                await asyncio.sleep(0.02)
        await sink.stop()
    assert [publisher.losses for publisher in publishers] == [0] * PUBLISHERS
    for name, publisher in zip(names, publishers, strict=True):
        assert [n for who, n in got if who == name] == list(range(publisher.sent)), "in order, once"

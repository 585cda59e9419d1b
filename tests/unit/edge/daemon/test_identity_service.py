"""The real hub's identity endpoints, with the device's own credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry.clock import SystemClock
from skerry.contract.credentials import ConnectionString
from skerry.contract.names import ModuleId
from skerry.edge.daemon.identities import generate_key
from skerry.edge.daemon.identity_service import HubIdentityService
from skerry.errors import AlreadyExists, NotAuthenticated, NotFound, Unavailable
from skerry.hub.app import hub
from skerry.hub.client import ServiceClient
from skerry.hub.settings import HubSettings
from skerry.hub.setup import connection_string
from skerry.service.tls import client_context

CNN = ModuleId("cnn")
CLOCK = SystemClock()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[str, int, str]]:
    """The device's connection string, the hub's port and its CA."""
    settings = HubSettings(tmp_path / "hub", https_port=0, mqtt_port=0)
    async with hub(settings, CLOCK) as addresses:
        ca = addresses.ca_file.read_text()
        text = connection_string(settings.data_dir, "iothubowner")
        async with ServiceClient(text, addresses.https_port, ca) as service:
            await service.create_device("edge-1", edge=True)
            yield await service.device_connection_string("edge-1"), addresses.https_port, ca


def service_of(place: tuple[str, int, str], key: str | None = None) -> HubIdentityService:
    text, port, ca = place
    connection = ConnectionString.parse(text)
    if key is not None:
        connection = ConnectionString.parse(f"HostName=localhost;DeviceId=edge-1;SharedAccessKey={key}")
    return HubIdentityService(connection, address="127.0.0.1", port=port, tls=client_context(ca), clock=CLOCK)


async def test_identities_are_made_read_and_removed(place: tuple[str, int, str]) -> None:
    service = service_of(place)
    try:
        with pytest.raises(NotFound):
            await service.get(CNN)
        primary, secondary = generate_key(), generate_key()
        made = await service.create(CNN, primary, secondary)
        assert made.keys == (primary, secondary)
        assert made.generation_id
        assert made.managed_by == "iotEdge"
        assert await service.get(CNN) == made
        with pytest.raises(AlreadyExists):
            await service.create(CNN, primary, secondary)
        assert {i.module for i in await service.list()} == {"$edgeAgent", "$edgeHub", "cnn"}
        await service.delete(CNN, "")
        with pytest.raises(NotFound):
            await service.delete(CNN, "")
    finally:
        await service.close()


async def test_a_wrong_key_is_told(place: tuple[str, int, str]) -> None:
    service = service_of(place, generate_key())
    with pytest.raises(NotAuthenticated):
        await service.list()
    await service.close()


async def test_a_hub_that_is_away_is_unavailable(place: tuple[str, int, str]) -> None:
    service = service_of((place[0], 1, place[2]))
    with pytest.raises(Unavailable, match="does not answer"):
        await service.list()
    await service.close()

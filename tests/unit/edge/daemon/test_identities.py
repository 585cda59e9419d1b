"""Identities are asked for once and known for ever."""

from __future__ import annotations

import asyncio

import pytest

from skerry.clock import ManualClock
from skerry.contract.credentials import ConnectionString, key_signer
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.edge.daemon.identities import Identities, NoIdentityService, ensure_system_identities
from skerry.edge.daemon.identity_watch import IdentityWatch
from skerry.errors import NotFound, Unavailable
from skerry.store.database import Database
from skerry.store.documents import Documents
from tests.support.edge import key_of
from tests.unit.edge.daemon.memory import MemoryIdentityService

CNN = ModuleId("cnn")
CONNECTION = ConnectionString.parse(f"HostName=hub.test;DeviceId=edge-1;SharedAccessKey={key_of('edge-1')}")


@pytest.fixture
def service() -> MemoryIdentityService:
    made = MemoryIdentityService()
    made.add("$edgeAgent")
    made.add("$edgeHub")
    return made


async def opened(database: Database, service: MemoryIdentityService) -> Identities:
    identities = Identities(CONNECTION, Documents(database, "identities"), service)
    await identities.load()
    return identities


async def test_a_module_known_once_needs_no_hub(database: Database, service: MemoryIdentityService) -> None:
    first = await (await opened(database, service)).ensure(CNN)
    service.reachable = False
    again = await opened(database, service)
    assert await again.ensure(CNN) == first
    with pytest.raises(Unavailable):
        await again.ensure(ModuleId("new"))


async def test_keys_are_made_here_or_taken_from_the_hub(
    database: Database, service: MemoryIdentityService
) -> None:
    identities = await opened(database, service)
    made = await identities.ensure(CNN)
    assert service.identities[CNN].primary_key == made.primary_key
    assert len(key_signer(made.primary_key)(b"x")) == 32
    given = service.add("camera")
    assert await identities.ensure(ModuleId("camera")) == given


async def test_many_asking_at_once_make_one_identity(
    database: Database, service: MemoryIdentityService
) -> None:
    identities = await opened(database, service)
    before = service.generation
    await asyncio.gather(*(identities.ensure(CNN) for _ in range(5)))
    assert service.generation == before + 1


async def test_keys_by_identity(database: Database, service: MemoryIdentityService) -> None:
    identities = await opened(database, service)
    made = await identities.ensure(CNN)
    device = Identity(DeviceId("edge-1"))
    assert identities.keys(device) == (key_of("edge-1"),)
    assert identities.keys(Identity(device.device, CNN)) == (made.primary_key, made.secondary_key)
    assert identities.keys(Identity(device.device, ModuleId("x"))) == ()
    assert identities.keys(Identity(DeviceId("other"))) == ()
    assert identities.signer(device)(b"data") == key_signer(key_of("edge-1"))(b"data")
    with pytest.raises(NotFound):
        identities.signer(Identity(device.device, ModuleId("x")))


async def test_refresh_takes_new_keys(database: Database, service: MemoryIdentityService) -> None:
    identities = await opened(database, service)
    await identities.ensure(CNN)
    await ensure_system_identities(identities)
    assert await identities.refresh() is False
    service.rekey("cnn", "bmV3")
    assert await identities.refresh() is True
    assert (await opened(database, service)).get(CNN).primary_key == "bmV3"


async def test_an_identity_deleted_at_the_hub_is_made_again(
    database: Database, service: MemoryIdentityService
) -> None:
    identities = await opened(database, service)
    await ensure_system_identities(identities)
    old = await identities.ensure(CNN)
    del service.identities[CNN]
    assert await identities.refresh() is True
    assert identities.get(CNN) == service.identities[CNN]
    assert identities.get(CNN).generation_id != old.generation_id


async def test_only_what_we_made_is_removed(database: Database, service: MemoryIdentityService) -> None:
    identities = await opened(database, service)
    await ensure_system_identities(identities)
    await identities.ensure(CNN)
    service.add("camera")
    await identities.ensure(ModuleId("camera"))
    for name in ("cnn", "camera", "$edgeHub", "unknown"):
        await identities.remove(ModuleId(name))
    assert set(service.identities) == {"$edgeAgent", "$edgeHub", "camera"}
    assert set(identities.known) == {"$edgeAgent", "$edgeHub", "camera"}


async def test_a_module_the_hub_took_out_of_the_deployment_is_forgotten(
    database: Database, service: MemoryIdentityService
) -> None:
    identities = await opened(database, service)
    await ensure_system_identities(identities)
    await identities.ensure(CNN)
    del service.identities[CNN]
    await identities.refresh(lambda module: False)
    assert CNN not in identities.known
    assert CNN not in service.identities
    assert set(identities.known) == {"$edgeAgent", "$edgeHub"}


async def test_a_newer_identity_at_the_hub_is_kept_when_the_old_one_is_removed(
    database: Database, service: MemoryIdentityService
) -> None:
    identities = await opened(database, service)
    old = await identities.ensure(CNN)
    heard: list[tuple[object, object]] = []
    identities.listeners.append(lambda before, after: heard.append((before, after)))
    newer = service.add("cnn", "iotEdge")
    await identities.remove(CNN)
    assert service.identities[CNN] == identities.get(CNN) == newer
    assert heard == [(old, newer)]


async def test_without_a_hub_nothing_new_is_made(database: Database) -> None:
    identities = Identities(CONNECTION, Documents(database, "identities"), NoIdentityService())
    with pytest.raises(Unavailable, match="switched off"):
        await identities.ensure(CNN)


async def test_the_watch_tries_until_the_first_contact_and_tells_of_changes(
    database: Database, service: MemoryIdentityService, clock: ManualClock
) -> None:
    identities = await opened(database, service)
    service.reachable = False
    changes: list[str] = []
    watch = IdentityWatch(
        identities, connected=lambda: False, changed=lambda: changes.append("changed"), clock=clock
    )
    task = asyncio.create_task(watch.run())

    async def passes(seconds: float) -> None:
        for _ in range(int(seconds)):
            await clock.advance(1)
            await asyncio.sleep(0.005)

    await passes(10)
    assert not identities.known
    service.reachable = True
    await passes(20)
    assert set(identities.known) == {"$edgeAgent", "$edgeHub"}
    service.rekey("$edgeHub", "bmV3")
    await passes(70)
    assert changes == ["changed"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_refused_key_is_looked_up_again_at_once(
    database: Database, service: MemoryIdentityService, clock: ManualClock
) -> None:
    identities = await opened(database, service)
    await ensure_system_identities(identities)
    changes: list[str] = []
    watch = IdentityWatch(
        identities, connected=lambda: True, changed=lambda: changes.append("changed"), clock=clock
    )
    task = asyncio.create_task(watch.run())
    await asyncio.sleep(0.05)
    service.rekey("$edgeHub", "bmV3")
    watch.ask()
    async with asyncio.timeout(5):
        while not changes:
            await asyncio.sleep(0.005)
    assert identities.get(ModuleId("$edgeHub")).primary_key == "bmV3"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

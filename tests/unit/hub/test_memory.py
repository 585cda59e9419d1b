"""The verbs run on any storage: here on one in memory, with the hub's whole schema."""

from __future__ import annotations

from skerry.clock import SystemClock
from skerry.contract.hub_limits import PROFILES
from skerry.contract.names import DeviceId, Identity
from skerry.contract.resources import parse_device_request
from skerry.hub.changes import Changes
from skerry.hub.connections import Connections
from skerry.hub.journal import Journal
from skerry.hub.queries import Queries
from skerry.hub.registry import Registry
from skerry.hub.schema import HUB_MIGRATIONS
from skerry.hub.twins import Twins
from tests.support.memory_storage import MemoryStorage


async def test_devices_twins_and_queries_work_without_a_file() -> None:
    clock, changes, storage = SystemClock(), Changes(), MemoryStorage(HUB_MIGRATIONS)
    owners, journal, limits = Connections(clock), Journal("hub", (), clock), PROFILES["relaxed"]
    registry = Registry(storage, owners, clock, changes, journal, limits.modules_per_device)
    twins = Twins(storage, owners, clock, changes, journal, limits)
    queries = Queries(storage, owners)
    await queries.prepare()
    for n in range(5):
        await registry.put_device(parse_device_request({"deviceId": f"d{n}"}, f"d{n}"), None)
        await twins.patch(Identity(DeviceId(f"d{n}")), {"tags": {"n": n}}, None)
    page = await queries.page("SELECT deviceId FROM devices WHERE tags.n % 2 = 0", 2)
    assert page.items == [{"deviceId": "d0"}, {"deviceId": "d2"}]
    rest = await queries.page("SELECT deviceId FROM devices WHERE tags.n % 2 = 0", 2, page.continuation)
    assert rest.items == [{"deviceId": "d4"}]
    await storage.close()

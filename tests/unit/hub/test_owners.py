"""What every implementation of ``Owners`` has to do: in one process, and over a bus between two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from skerry.clock import SystemClock
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.errors import NotAuthenticated, NotFound, TimedOut
from skerry.hub.connections import Connections
from skerry.hub.owners import Owners
from skerry.protocol.device_session import DeviceSession
from skerry.protocol.head import Head
from tests.support.owner_bus import Bus, BusOwners
from tests.unit.mqtt.ends import eventually
from tests.unit.protocol.ends import DEVICE, HOST, MODULE, Hub, SmallHub, started


class Attaching(SmallHub):
    """A backend whose sessions are those of a ``Connections``."""

    def __init__(self, connections: Connections) -> None:
        super().__init__(SystemClock())
        self._connections = connections

    def attached(self, session: DeviceSession) -> None:
        self._connections.attach(session)

    def detached(self, session: DeviceSession) -> None:
        self._connections.detach(session)


class Place(Hub):
    """Where devices connect."""

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self.connections = connections
        self.backend = Attaching(connections)
        self.head = Head(self.backend, host_names=lambda name: name == HOST, clock=self.clock)


@dataclass
class Ends:
    """Devices connect at ``place`` or, later, at ``other``; a verb elsewhere asks through ``owners``."""

    owners: Owners
    place: Place
    other: Place


@asynccontextmanager
async def one_process() -> AsyncIterator[Ends]:
    async with listening(connections := Connections(SystemClock())) as place:
        yield Ends(connections, place, place)


@asynccontextmanager
async def over_a_bus() -> AsyncIterator[Ends]:
    clock, bus = SystemClock(), Bus()
    async with AsyncExitStack() as stack:
        near, middle, far = (Connections(clock) for _ in range(3))
        asking, *holding = (BusOwners(bus, connections, clock) for connections in (near, middle, far))
        for owners in (asking, *holding):
            stack.push_async_callback(owners.drain)
        places = [await stack.enter_async_context(listening(one)) for one in (middle, far)]
        yield Ends(asking, *places)


@asynccontextmanager
async def listening(connections: Connections) -> AsyncIterator[Place]:
    place = Place(connections)
    await place.start()
    try:
        yield place
    finally:
        await place.stop()


@pytest.fixture(params=[one_process, over_a_bus])
async def ends(request: pytest.FixtureRequest) -> AsyncIterator[Ends]:
    async with request.param() as ends:
        yield ends


async def echo(request: MethodRequest) -> MethodResponse:
    return MethodResponse(207, {"name": request.name, "payload": request.payload})


async def test_a_method_is_answered_by_whoever_is_asked(ends: Ends) -> None:
    for identity in (DEVICE, MODULE):
        client = ends.place.client(identity)
        client.on_method = echo
        async with started(client):
            for payload in (None, "", 0, [1, {"a": None}], "ü\u2028"):
                asked = MethodRequest("go", payload, connect_timeout_s=5)
                answer = await ends.owners.invoke(identity, asked)
                assert answer == MethodResponse(207, {"name": "go", "payload": payload})


async def test_nobody_there_is_offline_at_once_and_later(ends: Ends) -> None:
    for connect_timeout_s in (0, 0.05):
        with pytest.raises(NotFound) as caught:
            await ends.owners.invoke(DEVICE, MethodRequest("go", connect_timeout_s=connect_timeout_s))
        assert caught.value.fields["code_name"] == "DeviceNotOnline"
    await ends.owners.tell_desired(DEVICE, {"a": 1}, 2)
    ends.owners.queued(DEVICE.device)
    ends.owners.close(DEVICE, "nobody is there")


async def test_who_is_connected_without_a_handler_is_offline_for_methods(ends: Ends) -> None:
    async with started(ends.place.client()):
        await eventually(lambda: ends.owners.is_connected(DEVICE))
        with pytest.raises(NotFound) as caught:
            await ends.owners.invoke(DEVICE, MethodRequest("go", connect_timeout_s=0.05))
        assert caught.value.fields["code_name"] == "DeviceNotOnline"


async def test_a_call_waits_for_a_connection(ends: Ends) -> None:
    call = asyncio.ensure_future(ends.owners.invoke(DEVICE, MethodRequest("go", 1, connect_timeout_s=10)))
    await asyncio.sleep(0.02)
    assert not call.done()
    client = ends.place.client()
    client.on_method = echo
    async with started(client):
        assert (await call).status == 207


async def test_leaving_before_the_answer_is_told_apart_from_offline(ends: Ends) -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def late(request: MethodRequest) -> MethodResponse:
        asked.set()
        await released.wait()
        return MethodResponse(200)

    client = ends.place.client()
    client.on_method = late
    async with started(client):
        call = asyncio.ensure_future(ends.owners.invoke(DEVICE, MethodRequest("go", connect_timeout_s=5)))
        await asked.wait()
        ends.place.session().close("test")
        with pytest.raises(TimedOut):
            await call
        released.set()


async def test_desired_changes_arrive_in_the_order_of_the_calls(ends: Ends) -> None:
    got: list[object] = []
    client = ends.place.client()

    async def keep(patch: dict[str, Any], version: int) -> None:
        got.append((patch["n"], version))

    client.on_desired = keep
    async with started(client):
        await eventually(lambda: hears_desired(ends.place))
        calls = [asyncio.ensure_future(ends.owners.tell_desired(DEVICE, {"n": n}, n)) for n in range(2, 30)]
        await asyncio.gather(*calls)
        await eventually(lambda: len(got) >= 28)
    assert got[-28:] == [(n, n) for n in range(2, 30)]


def hears_desired(place: Place) -> bool:
    session = place.connections.get(DEVICE)
    return session is not None and session.subscribed_to("desired")


async def test_what_was_queued_is_told_where_the_connection_is(ends: Ends) -> None:
    looked: list[str] = []
    ends.place.connections.on_queued = looked.append
    async with started(ends.place.client()):
        await eventually(lambda: ends.owners.is_connected(DEVICE))
        ends.owners.queued(DEVICE.device)
        await eventually(lambda: looked == ["d"])


async def test_presence_is_known_everywhere(ends: Ends) -> None:
    assert ends.owners.presence(DEVICE) is None
    async with started(ends.place.client()), started(ends.place.client(MODULE)):
        await eventually(lambda: set(ends.owners.presences()) == {DEVICE, MODULE})
        assert (ends.owners.is_connected(DEVICE), ends.owners.connected_devices()) == (True, 1)
        came = ends.owners.presence(DEVICE)
        assert came is not None
        assert came.connected
    await eventually(lambda: not ends.owners.is_connected(DEVICE))
    left = ends.owners.presence(DEVICE)
    assert left is not None
    assert not left.connected
    assert left.updated >= came.updated
    assert ends.owners.connected_devices() == 0


async def test_a_connection_can_be_cut_off(ends: Ends) -> None:
    changes: list[bool] = []
    client = ends.place.client()
    client.on_connection_changed = changes.append
    async with started(client):
        await eventually(lambda: ends.owners.is_connected(DEVICE))
        changes.clear()
        ends.owners.close(DEVICE, "test")
        await eventually(lambda: changes[:2] == [False, True])
        assert ends.owners.presence(DEVICE) is not None


async def test_who_is_forgotten_is_cut_off_and_unknown(ends: Ends) -> None:
    changes: list[bool] = []
    client = ends.place.client()
    client.on_connection_changed = changes.append
    async with started(client):
        await eventually(lambda: ends.owners.is_connected(DEVICE))
        changes.clear()
        ends.place.backend.refuse = NotAuthenticated("deleted")
        ends.owners.forget(DEVICE)
        await eventually(lambda: changes == [False])
        await eventually(lambda: ends.owners.presence(DEVICE) is None)


async def test_the_newer_connection_of_an_identity_takes_over(ends: Ends) -> None:
    older, newer = ends.place.client(), ends.other.client()
    ended = asyncio.Event()
    older.on_connection_changed = lambda up: None if up else ended.set()
    newer.on_method = echo
    async with started(older):
        await eventually(lambda: ends.owners.is_connected(DEVICE))
        async with started(newer):
            await ended.wait()
            await older.stop()
            answer = await ends.owners.invoke(DEVICE, MethodRequest("go", connect_timeout_s=10))
            assert answer.status == 207
            assert ends.owners.is_connected(DEVICE)

import asyncio
import logging
import random
from typing import Any

import pytest

from skerry.clock import ManualClock
from skerry.contract.message import Message
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.errors import InvalidInput, NotAuthenticated, NotFound, TooLarge, Unavailable
from skerry.protocol.client import Backoff
from skerry.protocol.tokens import FixedToken, KeyTokens, renew_in_s
from tests.unit.mqtt.ends import eventually
from tests.unit.protocol.ends import DEVICE, KEY, MODULE, Hub, running_hub, started, wire_to


async def test_a_message_is_sent_with_its_output_first_in_the_bag() -> None:
    async with running_hub() as hub, started(hub.client(MODULE)) as client:
        await client.send(Message(b"x", {"a": "b"}, {"messageId": "1"}), output="out")
        ((sender, message),) = hub.backend.messages
        assert (sender, message) == (
            MODULE,
            Message(b"x", {"a": "b"}, {"outputName": "out", "messageId": "1"}),
        )
        assert list(message.system) == ["outputName", "messageId"]


async def test_twin_and_reported_properties_go_there_and_back() -> None:
    async with running_hub() as hub, started(hub.client()) as client:
        assert await client.twin() == {"desired": {"$version": 1}, "reported": {"$version": 1}}
        assert await client.report({"a": {"b": None, "c": 1}}) == 2
        assert (await client.twin())["reported"] == {"a": {"c": 1}, "$version": 2}
        hub.backend.refuse_twin = NotFound("no such device")
        with pytest.raises(NotFound, match="no such device"):
            await client.twin()
        hub.backend.refuse_twin = InvalidInput("too deep")
        with pytest.raises(InvalidInput, match="too deep"):
            await client.report({})


async def test_inputs_are_acknowledged_after_their_handler_even_a_failing_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "skerry")
    got: list[tuple[str, Message]] = []
    go = asyncio.Event()

    async def on_input(name: str, message: Message) -> None:
        got.append((name, message))
        await go.wait()
        if message.body == b"poison":
            raise ZeroDivisionError

    async with running_hub() as hub:
        client = hub.client(MODULE)
        client.on_input = on_input
        async with started(client):
            await eventually(lambda: hub.session(MODULE).subscribed_to("inputs"))
            session = hub.session(MODULE)
            sends = [
                asyncio.ensure_future(session.send_input("in", Message(body, {"k": "v"})))
                for body in (b"poison", b"fine")
            ]
            await eventually(lambda: len(got) == 2)
            assert not any(send.done() for send in sends)
            go.set()
            await asyncio.gather(*sends)
            assert client.connected
            assert client.handler_errors == 1
    assert got[1] == ("in", Message(b"fine", {"k": "v"}))


async def test_a_device_gets_its_c2d_messages() -> None:
    got: list[Message] = []

    async def on_c2d(message: Message) -> None:
        got.append(message)

    async with running_hub() as hub:
        client = hub.client()
        client.on_c2d = on_c2d
        async with started(client):
            await eventually(lambda: hub.session().subscribed_to("c2d"))
            await hub.session().send_c2d(Message(b"hello"))
    assert got == [Message(b"hello", {}, {"to": "/devices/d/messages/devicebound"})]


async def test_methods_are_answered_whatever_their_handler_does(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "skerry")

    async def on_method(request: MethodRequest) -> MethodResponse:
        if request.name == "fail":
            raise ZeroDivisionError("by zero")
        return MethodResponse(207, {"echo": request.payload})

    async with running_hub() as hub:
        client = hub.client()
        client.on_method = on_method
        async with started(client):
            await eventually(lambda: hub.session().subscribed_to("methods"))
            invoke = hub.session().invoke
            assert await invoke(MethodRequest("m", [1])) == MethodResponse(207, {"echo": [1]})
            assert (await invoke(MethodRequest("fail"))).status == 500
            client.on_method = None
            assert (await invoke(MethodRequest("m"))).status == 501


async def test_desired_properties_changed_while_away_are_handed_over_on_return() -> None:
    got: list[tuple[dict[str, Any], int]] = []

    async def on_desired(patch: dict[str, Any], version: int) -> None:
        got.append((patch, version))

    async with running_hub() as hub:
        client = hub.client()
        client.on_desired = on_desired
        hub.backend.desired = {"a": 1, "$version": 5}
        async with started(client):
            await eventually(lambda: len(got) == 1)
            await hub.backend.change_desired(hub.head, {"b": 2})
            await eventually(lambda: len(got) == 2)
            await hub.stop()
            await hub.backend.change_desired(hub.head, {"a": None})
            await hub.backend.change_desired(hub.head, {"b": 3})
            await hub.start()
            await eventually(lambda: len(got) == 3)
            await hub.backend.change_desired(hub.head, {"c": 4})
            await eventually(lambda: len(got) == 4)
    assert got == [
        ({"a": 1, "$version": 5}, 5),
        ({"b": 2, "$version": 6}, 6),
        ({"a": None, "b": 3, "$version": 8}, 8),
        ({"c": 4, "$version": 9}, 9),
    ]


async def test_what_is_asked_and_sent_while_away_is_done_on_return() -> None:
    changes: list[bool] = []
    async with running_hub() as hub:
        client = hub.client()
        client.on_connection_changed = changes.append
        async with started(client):
            await hub.stop()
            await eventually(lambda: not client.connected)
            waiting = [
                asyncio.ensure_future(work)
                for work in (client.send(Message(b"1")), client.send(Message(b"2")), client.report({"a": 1}))
            ]
            await asyncio.sleep(0.05)
            assert not any(work.done() for work in waiting)
            await hub.start()
            assert await asyncio.gather(*waiting) == [None, None, 2]
        assert hub.backend.bodies == [b"1", b"2"]
    assert changes == [True, False, True, False]


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_is_lost_or_reordered_when_the_network_is_cut_anywhere(seed: int) -> None:
    dice = random.Random(seed)
    async with running_hub() as hub, wire_to(hub) as wire:
        hub.backend.store_delay_s = 0.001
        client = hub.client(port=wire.port, in_flight_max=20)
        await client.start()
        sends = [asyncio.ensure_future(client.send(Message(str(n).encode() * 50))) for n in range(300)]
        async with asyncio.timeout(30):
            while not all(send.done() for send in sends):
                wire.budget = dice.randint(200, 20_000)
                await asyncio.sleep(dice.random() * 0.03)
        await asyncio.gather(*sends)
        await client.stop()
    first_seen = list(dict.fromkeys(hub.backend.bodies))
    assert first_seen == [str(n).encode() * 50 for n in range(300)], f"seed {seed}"


async def test_a_network_that_swallows_everything_is_noticed_and_nothing_is_lost() -> None:
    clock = ManualClock()
    async with running_hub() as hub, wire_to(hub) as wire:
        client = hub.client(port=wire.port, clock=clock)
        lost: list[bool] = []
        await client.start()
        await eventually(lambda: client.connected)
        await asyncio.sleep(0.02)
        client.on_connection_changed = lost.append
        wire.silent = True
        send = asyncio.ensure_future(client.send(Message(b"x")))
        await asyncio.sleep(0.02)
        await clock.advance(45)
        assert lost == []
        await clock.advance(15)
        assert lost == [False]
        wire.silent = False
        for _ in range(200):
            await clock.advance(1)
            await asyncio.sleep(0.005)
            if send.done():
                break
        await send
        await client.stop()
    assert hub.backend.bodies == [b"x"]


async def test_the_token_is_renewed_before_it_ends_without_losing_messages() -> None:
    clock = ManualClock()
    async with running_hub(clock) as hub:
        client = hub.client(credentials=KeyTokens(KEY, clock, lifetime_s=600))
        await client.start()
        await eventually(lambda: client.connected)
        await asyncio.sleep(0.01)
        for _ in range(47):
            await clock.advance(10)
            await asyncio.sleep(0.001)
        assert hub.backend.log == ["+d"]
        send = asyncio.ensure_future(client.send(Message(b"x")))
        await clock.advance(20)
        await eventually(lambda: hub.backend.log == ["+d", "-d", "+d"])
        await send
        assert client.connected
        await client.stop()
    assert set(hub.backend.bodies) == {b"x"}


async def test_a_refused_client_tries_on_and_warns_once_per_cause(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "skerry.protocol.client")
    async with running_hub() as hub:
        hub.backend.refuse = NotAuthenticated("disabled")
        client = hub.client()
        await client.start()
        await asyncio.sleep(0.2)
        assert not client.connected
        assert isinstance(client.last_error, NotAuthenticated)
        hub.backend.refuse = None
        await eventually(lambda: client.connected)
        await client.stop()
    assert len(caplog.records) == 1


async def test_an_error_in_the_programs_callback_does_not_end_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "skerry")

    def on_connection_changed(connected: bool) -> None:
        raise ZeroDivisionError

    async with running_hub() as hub:
        client = hub.client()
        client.on_connection_changed = on_connection_changed
        async with started(client):
            await client.send(Message(b"x"))
            assert client.handler_errors == 1
    assert hub.backend.bodies == [b"x"]


async def test_a_message_over_the_bound_is_refused_at_once() -> None:
    hub = Hub()
    with pytest.raises(TooLarge):
        await hub.client(port=1).send(Message(bytes(256 * 1024), {"a": "b"}))


async def test_stopping_tells_everybody_who_waits() -> None:
    hub = Hub()
    client = hub.client(port=1, in_flight_max=1)
    await client.start()
    waiting = [
        asyncio.ensure_future(work)
        for work in (client.send(Message(b"")), client.send(Message(b"")), client.report({}), client.twin())
    ]
    await asyncio.sleep(0.01)
    await client.stop()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 4


async def test_a_cancelled_send_is_not_sent_again() -> None:
    async with running_hub() as hub:
        client = hub.client()
        given_up = asyncio.ensure_future(client.send(Message(b"given up")))
        kept = asyncio.ensure_future(client.send(Message(b"kept")))
        await asyncio.sleep(0.01)
        given_up.cancel()
        await asyncio.wait([given_up])
        async with started(client):
            await kept
    assert hub.backend.bodies == [b"kept"]


def test_waiting_doubles_up_to_a_bound_with_half_of_it_random() -> None:
    backoff = Backoff(0.1, 10)
    assert [backoff.delay_s(attempt, 0.999999) for attempt in (0, 1, 2, 50)] == pytest.approx(
        [0.1, 0.2, 0.4, 10]
    )
    assert backoff.delay_s(0, 0) == pytest.approx(0.05)


async def test_a_token_is_renewed_two_minutes_before_its_end_or_earlier_if_short() -> None:
    clock = ManualClock()
    resource = DEVICE.resource("hub.test")
    assert renew_in_s(await KeyTokens(KEY, clock).token(resource), clock) == 3480
    assert renew_in_s(await KeyTokens(KEY, clock, 300).token(resource), clock) == 240
    assert renew_in_s(await KeyTokens(KEY, clock, 1).token(resource), clock) == 30
    assert renew_in_s(await FixedToken("a secret of another kind").token(resource), clock) is None
    assert renew_in_s(None, clock) is None

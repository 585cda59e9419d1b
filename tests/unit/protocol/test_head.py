import asyncio

import pytest

from skerry.clock import ManualClock, SystemClock
from skerry.contract.credentials import key_signer, make_token
from skerry.contract.message import Message
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.contract.names import Identity
from skerry.contract.topics import METHODS_FILTER, TWIN_REPLY_FILTER, inputs_filter
from skerry.errors import NotAuthenticated, Throttled, TimedOut, Unavailable
from skerry.mqtt.client import Client
from skerry.mqtt.codec import encode
from skerry.mqtt.packets import Connect, Publish, Will
from tests.unit.mqtt.ends import eventually
from tests.unit.protocol.ends import DEVICE, HOST, KEY, MODULE, Hub, running_hub


class Device:
    """A client that behaves like Microsoft's: persistent session, its own ideas of topics."""

    def __init__(self, client: Client, got: list[Publish]) -> None:
        self.client = client
        self.got = got


def connect_packet(
    hub: Hub,
    identity: Identity,
    *,
    clean: bool = False,
    host: str = HOST,
    key: str = KEY,
    will: Will | None = None,
    lifetime_s: int = 600,
) -> Connect:
    expiry = int(hub.clock.now().timestamp()) + lifetime_s
    token = make_token(identity.resource(host), key_signer(key), expiry)
    username = f"{host}/{identity.client_id}/?api-version=2019-10-01&DeviceClientType=test"
    return Connect(identity.client_id, clean, 60, username, token.encode(), will)


async def dial(
    hub: Hub,
    identity: Identity = DEVICE,
    *,
    clean: bool = False,
    host: str = HOST,
    key: str = KEY,
    will: Will | None = None,
    hold: asyncio.Event | None = None,
    lifetime_s: int = 600,
) -> Device:
    got: list[Publish] = []

    async def on_publish(packet: Publish) -> None:
        got.append(packet)
        if hold is not None:
            await hold.wait()

    connect = connect_packet(hub, identity, clean=clean, host=host, key=key, will=will, lifetime_s=lifetime_s)
    client = await Client.open("127.0.0.1", hub.port, None, connect, on_publish, clock=SystemClock())
    return Device(client, got)


async def test_telemetry_arrives_with_its_properties() -> None:
    async with running_hub() as hub:
        device = await dial(hub)
        topic = "devices/d/messages/events/%24.ct=application%2Fjson&%24.mid=1&colour=red/"
        for body in (b"{}", b"[]"):
            await device.client.publish(topic, body, qos=1)
        system = {"contentType": "application/json", "messageId": "1"}
        assert hub.backend.messages == [
            (DEVICE, Message(body, {"colour": "red"}, system)) for body in (b"{}", b"[]")
        ]
        await device.client.close()


async def test_the_retain_flag_becomes_a_property() -> None:
    async with running_hub() as hub:
        _, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        retained = Publish("devices/d/messages/events/", b"x", 1, retain=True, packet_id=1)
        writer.write(encode(connect_packet(hub, DEVICE)) + encode(retained))
        await eventually(lambda: hub.backend.messages)
        assert hub.backend.messages == [(DEVICE, Message(b"x", {"mqtt-retain": "true"}, {}))]
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("topic", ["devices/other/messages/events/", "anything", "$iothub/twin/GET/"])
async def test_a_topic_that_is_not_the_devices_own_ends_the_link(topic: str) -> None:
    async with running_hub() as hub:
        device = await dial(hub)
        with pytest.raises(Unavailable):
            await device.client.publish(topic, b"", qos=1)
        assert hub.backend.messages == []
        await device.client.close()


async def test_a_message_over_256_kib_ends_the_link() -> None:
    async with running_hub() as hub:
        device = await dial(hub)
        await device.client.publish("devices/d/messages/events/", bytes(256 * 1024), qos=1)
        with pytest.raises(Unavailable):
            await device.client.publish("devices/d/messages/events/a=1", bytes(256 * 1024), qos=1)
        await device.client.close()


async def test_who_does_not_prove_itself_is_refused_for_good() -> None:
    async with running_hub() as hub:
        with pytest.raises(NotAuthenticated):
            await dial(hub, key="AAAA")
        with pytest.raises(NotAuthenticated):
            await dial(hub, host="other.host")
        hub.backend.refuse = Throttled("too busy")
        with pytest.raises(Unavailable):
            await dial(hub)
        assert hub.backend.log == []


async def test_subscriptions_outlive_links_and_servers_but_not_a_clean_session() -> None:
    async with running_hub() as hub:
        device = await dial(hub, MODULE)
        assert not device.client.session_present
        assert await device.client.subscribe([(inputs_filter(MODULE), 1), (METHODS_FILTER, 2)]) == (1, 1)
        await device.client.close()
        await hub.stop()
        await hub.start()
        device = await dial(hub, MODULE)
        assert device.client.session_present
        await hub.session(MODULE).send_input("in", Message(b"x"))
        assert [packet.topic for packet in device.got] == ["devices/d/modules/m/inputs/in/"]
        await device.client.unsubscribe([METHODS_FILTER])
        assert dict(hub.backend.subscriptions[MODULE]) == {inputs_filter(MODULE): 1}
        await device.client.close()
        device = await dial(hub, MODULE, clean=True)
        assert not device.client.session_present
        assert not hub.session(MODULE).subscribed_to("inputs")
        await device.client.subscribe([(inputs_filter(MODULE), 1)])
        assert hub.session(MODULE).subscribed_to("inputs")
        assert hub.backend.subscriptions[MODULE] == {}
        await device.client.close()


async def test_filters_that_concern_others_are_refused() -> None:
    async with running_hub() as hub:
        device = await dial(hub)
        wishes = [("devices/e/messages/devicebound/#", 1), ("devices/d/messages/devicebound/#", 1), ("x", 0)]
        assert await device.client.subscribe(wishes) == (0x80, 1, 0x80)
        await device.client.close()


async def test_sending_to_who_does_not_listen_is_unavailable() -> None:
    async with running_hub() as hub:
        device = await dial(hub)
        session = hub.session()
        with pytest.raises(Unavailable, match="does not listen to c2d"):
            await session.send_c2d(Message(b""))
        with pytest.raises(Unavailable, match="does not listen to methods"):
            await session.invoke(MethodRequest("reboot"))
        with pytest.raises(Unavailable, match="does not listen to inputs"):
            await session.send_input("in", Message(b""))
        await device.client.close()


async def test_a_message_without_acknowledgement_comes_back_to_its_sender() -> None:
    hold = asyncio.Event()
    async with running_hub() as hub:
        device = await dial(hub, hold=hold)
        await device.client.subscribe([("devices/d/messages/devicebound/#", 1)])
        sending = asyncio.ensure_future(hub.session().send_c2d(Message(b"1", {"a": "b"}, {"messageId": "7"})))
        await eventually(lambda: device.got)
        bag = "%24.mid=7&%24.to=%2Fdevices%2Fd%2Fmessages%2Fdevicebound&a=b"
        assert device.got[0].topic == f"devices/d/messages/devicebound/{bag}"
        assert not sending.done()
        device.client.abort()
        with pytest.raises(Unavailable):
            await sending
        await device.client.close()


async def test_a_newer_connection_takes_over_and_the_older_does_not_detach_it() -> None:
    async with running_hub() as hub:
        older = await dial(hub)
        first = hub.session()
        newer = await dial(hub)
        assert await older.client.closed
        assert hub.backend.log == ["+d", "-d", "+d"]
        assert not first.is_open
        assert hub.session() is not first
        await older.client.close()
        await newer.client.publish("devices/d/messages/events/", b"still here", qos=1)
        assert hub.backend.bodies == [b"still here"]
        await newer.client.close()
    assert hub.backend.log == ["+d", "-d", "+d", "-d"]


async def test_a_method_gets_its_answer_by_its_id_in_any_case() -> None:
    async with running_hub() as hub:
        device = await dial(hub)
        await device.client.subscribe([(METHODS_FILTER, 0)])
        calls = [asyncio.ensure_future(hub.session().invoke(MethodRequest("m", n))) for n in range(12)]
        await eventually(lambda: len(device.got) == 12)
        assert device.got[0] == Publish("$iothub/methods/POST/m/?$rid=1", b"0")
        for packet in reversed(device.got):
            rid = packet.topic.rpartition("=")[2].upper()
            device.client.publish(f"$iothub/methods/res/200/?$rid={rid}", packet.payload, qos=1)
        assert await asyncio.gather(*calls) == [MethodResponse(200, n) for n in range(12)]
        await device.client.close()


async def test_a_method_without_answer_times_out_and_one_on_a_lost_link_is_unavailable() -> None:
    clock = ManualClock()
    async with running_hub(clock) as hub:
        device = await dial(hub)
        await device.client.subscribe([(METHODS_FILTER, 0)])
        call = asyncio.ensure_future(hub.session().invoke(MethodRequest("slow", None, 30)))
        await eventually(lambda: device.got)
        await clock.advance(30)
        with pytest.raises(TimedOut):
            await call
        call = asyncio.ensure_future(hub.session().invoke(MethodRequest("slow", None, 30)))
        await eventually(lambda: len(device.got) == 2)
        device.client.abort()
        with pytest.raises(Unavailable):
            await call
        await device.client.close()


async def test_twin_requests_are_always_answered() -> None:
    async with running_hub() as hub:
        device = await dial(hub)
        await device.client.subscribe([(TWIN_REPLY_FILTER, 1)])
        hub.backend.desired = {"a": 1, "$version": 3}
        await device.client.publish("$iothub/twin/GET/?$rid=g", b" ", qos=1)
        await device.client.publish("$iothub/twin/PATCH/properties/reported/?$rid=p", b'{"x":1}', qos=1)
        await device.client.publish("$iothub/twin/PATCH/properties/reported/?$rid=q", b"not json", qos=1)
        hub.backend.refuse_twin = Unavailable("later")
        await device.client.publish("$iothub/twin/GET/?$rid=h", b" ", qos=1)
        await eventually(lambda: len(device.got) == 4)
        assert [packet.topic for packet in device.got] == [
            "$iothub/twin/res/200/?$rid=g",
            "$iothub/twin/res/204/?$rid=p&$version=2",
            "$iothub/twin/res/400/?$rid=q",
            "$iothub/twin/res/503/?$rid=h",
        ]
        assert device.got[0].payload == b'{"desired":{"a":1,"$version":3},"reported":{"$version":1}}'
        assert hub.backend.reported == {"x": 1, "$version": 2}
        await device.client.close()


async def test_a_will_is_telemetry_with_a_mark() -> None:
    async with running_hub() as hub:
        device = await dial(hub, will=Will("devices/d/messages/events/a=b", b"bye"))
        device.client.abort()
        await eventually(lambda: hub.backend.messages)
        expected = Message(b"bye", {"a": "b", "iothub-MessageType": "Will"}, {})
        assert hub.backend.messages == [(DEVICE, expected)]
        await device.client.close()


async def test_a_link_ends_soon_after_its_token() -> None:
    clock = ManualClock()
    async with running_hub(clock) as hub:
        device = await dial(hub, lifetime_s=10)
        await clock.advance(69)
        assert device.client.is_open
        await clock.advance(2)  # the keep-alive would allow 90 s
        await device.client.closed
        await device.client.close()


async def test_subscriptions_are_told_to_who_wants_to_know() -> None:
    async with running_hub() as hub:
        device = await dial(hub)
        heard: list[bool] = []
        hub.session().on_subscriptions = lambda session: heard.append(session.subscribed_to("methods"))
        await device.client.subscribe([(METHODS_FILTER, 1)])
        await device.client.unsubscribe([METHODS_FILTER])
        assert heard == [True, False]
        await device.client.close()

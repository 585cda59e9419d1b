import asyncio
import socket

import pytest

from skerry.clock import ManualClock, SystemClock
from skerry.errors import NotAuthenticated, StorageFull, Unavailable
from skerry.mqtt.codec import Decoder, encode
from skerry.mqtt.link import Limits
from skerry.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    Will,
)
from skerry.mqtt.server import serve
from skerry.mqtt.stream import WORK_MAX
from tests.unit.mqtt.ends import Recorder, connected, eventually, listening


class Raw:
    """A peer that sends what it wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._decoder = Decoder()

    @classmethod
    async def open(cls, port: int, *packets: Packet) -> "Raw":
        raw = cls(*await asyncio.open_connection("127.0.0.1", port))
        raw.send(*packets)
        return raw

    def send(self, *packets: Packet) -> None:
        self.writer.write(b"".join(map(encode, packets)))

    async def receive(self, count: int) -> list[Packet]:
        packets: list[Packet] = []
        async with asyncio.timeout(5):
            while len(packets) < count:
                data = await self.reader.read(65536)
                if not data:
                    break
                packets += self._decoder.feed(data)
        return packets

    async def rest(self) -> list[Packet]:
        async with asyncio.timeout(5):
            return self._decoder.feed(await self.reader.read())

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def test_a_message_is_acknowledged_after_it_was_stored() -> None:
    stored = asyncio.Event()

    async def store(packet: Publish) -> None:
        await stored.wait()

    handler = Recorder(store)
    async with listening(handler) as listener, connected(listener) as client:
        delivery = client.publish("a/b", b"body", qos=1)
        await eventually(lambda: handler.published_packets)
        assert not delivery.settled
        stored.set()
        await delivery
        assert handler.published_packets == [Publish("a/b", b"body", 1, packet_id=1)]


async def test_messages_are_stored_at_the_same_time_and_acknowledged_in_order() -> None:
    waiting: dict[str, asyncio.Event] = {name: asyncio.Event() for name in "abc"}

    async def store(packet: Publish) -> None:
        await waiting[packet.topic].wait()

    handler = Recorder(store)
    async with listening(handler) as listener:
        raw = await Raw.open(listener.port, Connect("d"))
        raw.send(*(Publish(name, b"", 1, packet_id=place) for place, name in enumerate("abc", 1)))
        await eventually(lambda: len(handler.published_packets) == 3)
        waiting["c"].set()
        waiting["b"].set()
        await asyncio.sleep(0.02)
        raw.send(PingReq())
        assert await raw.receive(2) == [ConnAck(False), PingResp()]
        waiting["a"].set()
        assert await raw.receive(3) == [PubAck(1), PubAck(2), PubAck(3)]
        await raw.close()


async def test_a_message_that_cannot_be_stored_closes_the_link_without_an_acknowledgement() -> None:
    async def store(packet: Publish) -> None:
        raise StorageFull("the disk is full")

    handler = Recorder(store)
    async with listening(handler) as listener, connected(listener) as client:
        with pytest.raises(Unavailable):
            await client.publish("t", b"", qos=1)
        assert [reason for _, reason, _ in handler.ended] == ["the disk is full"]


async def test_an_error_of_the_program_closes_the_link_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def store(packet: Publish) -> None:
        raise ZeroDivisionError

    handler = Recorder(store)
    async with listening(handler) as listener, connected(listener) as client:
        with pytest.raises(Unavailable):
            await client.publish("t", b"", qos=1)
    assert "ZeroDivisionError" in caplog.text


async def test_reading_pauses_while_too_much_is_being_stored() -> None:
    go = asyncio.Event()

    async def store(packet: Publish) -> None:
        await go.wait()

    handler = Recorder(store)
    async with listening(handler) as listener:
        raw = await Raw.open(listener.port, Connect("d"))
        await raw.receive(1)
        # Socket buffers and one read of 256 KiB hold some of it; 40 MiB do not fit in there.
        sending = asyncio.ensure_future(_send_many(raw, 40))
        await asyncio.sleep(0.2)
        assert not sending.done()
        assert len(handler.published_packets) < 4 * WORK_MAX
        go.set()
        await sending
        assert len(await raw.receive(40 * 1024)) == 40 * 1024
        await raw.close()


async def _send_many(raw: Raw, mebibytes: int) -> None:
    for number in range(mebibytes * 1024):
        raw.send(Publish("t", bytes(1000), 1, packet_id=number % 65535 + 1))
        await raw.writer.drain()


async def test_a_client_that_never_reads_is_cut_off() -> None:
    handler = Recorder()
    limits = Limits(write_buffer_bytes_max=100_000)
    async with listening(handler, limits=limits) as listener:
        raw = await Raw.open(listener.port, Connect("d"))
        await eventually(lambda: "d" in handler.links)
        link = handler.links["d"]
        for _ in range(1000):
            if not link.is_open:
                break
            link.publish("t", bytes(100_000))
            await asyncio.sleep(0)
        assert [reason for _, reason, _ in handler.ended] == ["it does not read what it is sent"]
        await raw.close()


async def test_a_send_without_acknowledgement_fails_when_the_link_ends() -> None:
    handler = Recorder()
    async with listening(handler) as listener:
        raw = await Raw.open(listener.port, Connect("d"))
        await eventually(lambda: "d" in handler.links)
        first, second = (handler.links["d"].publish("t", b"", qos=1) for _ in range(2))
        assert (await raw.receive(3))[1:] == [Publish("t", b"", 1, packet_id=n) for n in (1, 2)]
        raw.send(PubAck(1))
        await first
        await raw.close()
        with pytest.raises(Unavailable):
            await second
        with pytest.raises(Unavailable):
            await handler.links["d"].publish("t", b"", qos=1)


async def test_a_will_is_handed_over_unless_the_client_says_goodbye() -> None:
    handler = Recorder()
    will = Will("w", b"gone")
    async with listening(handler) as listener:
        for goodbye in ([Disconnect()], []):
            raw = await Raw.open(listener.port, Connect("d", will=will), *goodbye)
            await raw.receive(1)
            await raw.close()
            await asyncio.sleep(0.02)
    assert handler.ended == [("d", "it disconnected", None), ("d", "connection lost", will)]


@pytest.mark.parametrize(
    "bad",
    [Publish("t", b"", 2, packet_id=1), ConnAck(False), Connect("again")],
    ids=["qos2", "ack", "connect"],
)
async def test_breaking_the_protocol_ends_the_link(bad: Packet) -> None:
    async with listening(Recorder()) as listener:
        raw = await Raw.open(listener.port, Connect("d"))
        await raw.receive(1)
        raw.send(bad)
        assert await raw.rest() == []
        await raw.close()


async def test_a_refused_client_is_told_and_closed() -> None:
    handler = Recorder(answer=ConnAck(False, 5))
    async with listening(handler) as listener:
        with pytest.raises(NotAuthenticated):
            async with connected(listener):
                pytest.fail("it was let in")
    assert handler.ended == []


async def test_a_client_that_leaves_while_it_is_checked_is_reported_as_gone_after_that() -> None:
    handler = Recorder()
    handler.admit.clear()
    async with listening(handler) as listener:
        raw = await Raw.open(listener.port, Connect("d"))
        await eventually(lambda: listener.connections == 1)
        await raw.close()
        handler.admit.set()
        await eventually(lambda: handler.ended)
    assert handler.ended == [("d", "connection lost", None)]


async def test_checking_a_client_is_cancelled_when_it_takes_too_long() -> None:
    clock, handler = ManualClock(), Recorder()
    handler.admit.clear()
    async with listening(handler, clock=clock) as listener:
        raw = await Raw.open(listener.port, Connect("d"))
        await eventually(lambda: listener.connections == 1)
        await asyncio.sleep(0.02)
        await clock.advance(31)
        assert await raw.rest() == []
        handler.admit.set()
        await raw.close()
    assert (handler.links, handler.ended) == ({}, [])


async def test_a_silent_client_is_dropped_after_one_and_a_half_keep_alives() -> None:
    clock, handler = ManualClock(), Recorder()
    async with listening(handler, clock=clock) as listener:
        raw = await Raw.open(listener.port, Connect("d", keep_alive_s=10))
        await raw.receive(1)
        await clock.advance(14)
        raw.send(PingReq())
        assert await raw.receive(1) == [PingResp()]
        await clock.advance(14)
        assert handler.ended == []
        await clock.advance(1)
        assert await raw.rest() == []
        assert handler.ended == [("d", "keep-alive ran out", None)]
        await raw.close()


async def test_a_connection_without_a_connect_is_dropped() -> None:
    clock = ManualClock()
    async with listening(Recorder(), clock=clock) as listener:
        raw = await Raw.open(listener.port)
        await eventually(lambda: listener.connections == 1)
        await clock.advance(30)
        assert await raw.rest() == []
        await raw.close()


async def test_a_link_ends_with_its_credentials() -> None:
    clock, handler = ManualClock(), Recorder()
    async with listening(handler, clock=clock) as listener, connected(listener, clock=clock) as client:
        handler.links["d"].valid_until = 40.0
        await clock.advance(39)
        assert client.is_open
        await clock.advance(2)
        await client.closed
        assert handler.ended == [("d", "its token expired", None)]


async def test_a_subscription_is_granted_with_qos_1_at_most() -> None:
    async with listening(Recorder()) as listener:
        raw = await Raw.open(listener.port, Connect("d"), Subscribe(7, (("a", 2), ("b", 0))))
        assert await raw.receive(2) == [ConnAck(False), SubAck(7, (1, 0))]
        await raw.close()
        async with connected(listener) as client:
            assert await client.subscribe([("a", 1), ("b", 0)]) == (1, 0)
            await client.unsubscribe(["a"])


async def test_a_clients_handler_is_done_before_the_server_hears_so() -> None:
    handled = asyncio.Event()

    async def on_publish(packet: Publish) -> None:
        await handled.wait()

    handler = Recorder()
    async with listening(handler) as listener, connected(listener, on_publish=on_publish):
        delivery = handler.links["d"].publish("t", b"", qos=1)
        await asyncio.sleep(0.02)
        assert not delivery.settled
        handled.set()
        await delivery


async def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}") as raised:
            await serve(Recorder(), "127.0.0.1", port, None, clock=SystemClock())
        assert raised.value.hint


async def test_connections_are_bounded() -> None:
    async with listening(Recorder(), limits=Limits(connections_max=1)) as listener, connected(listener):
        with pytest.raises(Unavailable):
            async with connected(listener, "e"):
                pytest.fail("it was let in")


async def test_closing_the_server_ends_its_links() -> None:
    handler = Recorder()
    async with listening(handler) as listener, connected(listener) as client:
        await listener.close()
        await client.closed
        assert handler.ended == [("d", "the server is stopping", None)]
        with pytest.raises(Unavailable, match="cannot reach"):
            async with connected(listener):
                pytest.fail("it still listens")


async def test_a_closed_link_that_is_not_read_is_aborted() -> None:
    clock, handler = ManualClock(), Recorder()
    limits = Limits(write_buffer_bytes_max=64 * 1024 * 1024)
    async with listening(handler, clock=clock, limits=limits) as listener:
        raw = await Raw.open(listener.port, Connect("d", keep_alive_s=0))
        await eventually(lambda: "d" in handler.links)
        # More than the kernel's socket buffers take.
        for _ in range(400):
            handler.links["d"].publish("t", bytes(100_000))
        await asyncio.sleep(0.02)
        handler.links["d"].close("test")
        await asyncio.sleep(0.02)
        assert listener.connections == 1
        await clock.advance(6)
        await eventually(lambda: listener.connections == 0)
        await raw.close()


async def test_a_thousand_messages_in_flight_arrive_in_order() -> None:
    handler = Recorder()
    async with listening(handler) as listener, connected(listener, in_flight_max=50) as client:
        await asyncio.gather(*(client.publish("t", str(n).encode(), qos=1) for n in range(1000)))
    assert [packet.payload for packet in handler.published_packets] == [str(n).encode() for n in range(1000)]

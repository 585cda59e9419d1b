import asyncio
from collections.abc import MutableMapping
from typing import Any

from skerry.clock import Clock, ManualClock, SystemClock
from skerry.mqtt.codec import Decoder, encode
from skerry.mqtt.link import Limits
from skerry.mqtt.packets import ConnAck, Connect, Disconnect, Packet, PubAck, Publish, Will
from skerry.mqtt.websocket import serve_websocket
from tests.unit.mqtt.ends import Recorder, eventually

Event = MutableMapping[str, Any]


class AsgiServer:
    """What a web server does for one WebSocket (ASGI 3)."""

    def __init__(
        self,
        handler: Recorder,
        *,
        subprotocols: tuple[str, ...] = ("mqtt",),
        clock: Clock | None = None,
        stuck: bool = False,
    ) -> None:
        self._to_app: asyncio.Queue[Event] = asyncio.Queue()
        self._decoder = Decoder()
        self.events: list[Event] = []
        self.packets: list[Packet] = []
        self._writable = asyncio.Event()
        if not stuck:
            self._writable.set()
        self._to_app.put_nowait({"type": "websocket.connect"})
        scope = {"type": "websocket", "subprotocols": list(subprotocols), "client": ("10.0.0.1", 4242)}
        self.app = asyncio.ensure_future(
            serve_websocket(
                handler, self._to_app.get, self._send, scope, clock=clock or SystemClock(), limits=Limits()
            )
        )

    async def _send(self, event: Event) -> None:
        if event["type"] == "websocket.send":
            await self._writable.wait()
            self.packets += self._decoder.feed(event["bytes"])
        else:
            self.events.append(event)

    def frame(self, data: bytes) -> None:
        self._to_app.put_nowait({"type": "websocket.receive", "bytes": data})

    def text(self, data: str) -> None:
        self._to_app.put_nowait({"type": "websocket.receive", "text": data})

    def disconnect(self) -> None:
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1006})


CONNECT = Connect("d", will=Will("w", b""))
ACCEPT = {"type": "websocket.accept", "subprotocol": "mqtt"}
CLOSE = {"type": "websocket.close", "code": 1000}


async def test_packets_may_be_split_over_frames_and_share_them() -> None:
    handler = Recorder()
    web = AsgiServer(handler)
    stream = encode(CONNECT) + b"".join(encode(Publish("t", b"x", 1, packet_id=n)) for n in (1, 2, 3))
    for start in range(0, len(stream), 7):
        web.frame(stream[start : start + 7])
    await eventually(lambda: len(web.packets) == 4)
    assert web.packets == [ConnAck(False), PubAck(1), PubAck(2), PubAck(3)]
    assert handler.links["d"].peer == "10.0.0.1:4242"
    web.frame(encode(Disconnect()))
    await web.app
    assert web.events == [ACCEPT, CLOSE]
    assert handler.ended == [("d", "it disconnected", None)]


async def test_a_lost_websocket_counts_as_a_lost_link() -> None:
    handler = Recorder()
    web = AsgiServer(handler)
    web.frame(encode(CONNECT))
    await eventually(lambda: web.packets)
    web.disconnect()
    await web.app
    assert handler.ended == [("d", "connection lost", CONNECT.will)]


async def test_a_websocket_without_the_subprotocol_is_refused() -> None:
    web = AsgiServer(Recorder(), subprotocols=("chat",))
    await web.app
    assert [event["type"] for event in web.events] == ["websocket.close"]


async def test_a_text_frame_ends_the_link() -> None:
    handler = Recorder()
    web = AsgiServer(handler)
    web.frame(encode(CONNECT))
    await eventually(lambda: web.packets)
    web.text("hello")
    await web.app
    assert handler.ended == [("d", "it sent a text frame", CONNECT.will)]


async def test_keep_alive_holds_for_websockets() -> None:
    clock, handler = ManualClock(), Recorder()
    web = AsgiServer(handler, clock=clock)
    web.frame(encode(Connect("d", keep_alive_s=10)))
    await eventually(lambda: web.packets)
    await clock.advance(16)
    await web.app
    assert handler.ended == [("d", "keep-alive ran out", None)]


async def test_a_websocket_that_takes_nothing_is_given_up() -> None:
    clock, handler = ManualClock(), Recorder()
    web = AsgiServer(handler, clock=clock, stuck=True)
    web.frame(encode(Connect("d", keep_alive_s=10)))
    await eventually(lambda: "d" in handler.links)
    await clock.advance(16)
    assert not web.app.done()
    await clock.advance(6)
    await web.app

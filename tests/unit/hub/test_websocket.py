"""MQTT over WebSocket on the HTTPS port (contract §1.5)."""

import asyncio
import ssl

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, RejectConnection, Request

from skerry.contract.names import Identity
from skerry.contract.topics import render_username, twin_get_topic
from skerry.mqtt.codec import Decoder, encode
from skerry.mqtt.packets import ConnAck, Connect, Packet, Publish, SubAck, Subscribe
from skerry.protocol.tokens import KeyTokens
from skerry.service.tls import client_context
from tests.unit.hub.running import RunningHub, key_of

DEV = Identity.parse("dev")


class Socket:
    """A WebSocket client of a few lines: sends MQTT packets, gives those that come back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.connection = WSConnection(ConnectionType.CLIENT)
        self.decoder = Decoder()
        self.packets: list[Packet] = []

    async def open(self, path: str, subprotocols: list[str]) -> bool:
        self.writer.write(self.connection.send(Request("localhost", path, subprotocols=subprotocols)))
        while True:
            await self._read()
            for event in self.connection.events():
                if isinstance(event, AcceptConnection):
                    return event.subprotocol == "mqtt"
                if isinstance(event, RejectConnection):
                    return False

    async def ask(self, packet: Packet) -> Packet:
        self.writer.write(self.connection.send(BytesMessage(encode(packet))))
        while not self.packets:
            await self._read()
            for event in self.connection.events():
                if isinstance(event, BytesMessage):
                    self.packets += self.decoder.feed(bytes(event.data))
        return self.packets.pop(0)

    async def _read(self) -> None:
        data = await self.reader.read(65536)
        self.connection.receive_data(data or None)

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def opened(hub: RunningHub) -> Socket:
    tls: ssl.SSLContext = client_context(hub.ca_pem)
    return Socket(*await asyncio.open_connection("localhost", hub.addresses.https_port, ssl=tls))


async def test_a_device_connects_over_websocket_and_reads_its_twin(hub: RunningHub) -> None:
    document = await hub.service.create_device("dev")
    token = await KeyTokens(key_of(document), hub.clock).token(DEV.resource("localhost"))
    socket = await opened(hub)
    async with asyncio.timeout(10):
        assert await socket.open("/$iothub/websocket?iothub-no-client-cert=true", ["mqtt"])
        name = render_username("localhost", DEV, "test")
        connect = Connect("dev", clean_session=False, keep_alive_s=60, username=name, password=token.encode())
        assert await socket.ask(connect) == ConnAck(False, 0)
        answer = await socket.ask(Subscribe(1, (("$iothub/twin/res/#", 0),)))
        assert isinstance(answer, SubAck)
        twin = await socket.ask(Publish(twin_get_topic("7"), b" "))
        assert isinstance(twin, Publish)
        assert twin.topic == "$iothub/twin/res/200/?$rid=7"
        assert (await hub.service.device("dev"))["connectionState"] == "Connected"
        await socket.close()


async def test_another_subprotocol_is_refused(hub: RunningHub) -> None:
    socket = await opened(hub)
    async with asyncio.timeout(10):
        assert not await socket.open("/$iothub/websocket", ["chat"])
        await socket.close()

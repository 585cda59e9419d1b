"""Holds many MQTT connections over TLS open: ``python -m benchmarks.load.holder PORT NAME CA AT_ONCE``.

Standard input has a line per client (client id, user name, password, topic, split by tabs), an empty line,
then commands. Every answer is one line of JSON: ``{"connected": …, "seconds": …}`` after the start,
``{"acknowledged": …, "seconds": …}`` after ``publish SIZE`` (each client sends one message).
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import cast

import uvloop

from skerry.mqtt.codec import Decoder, encode, encode_publish
from skerry.mqtt.packets import ConnAck, Connect, PubAck

KEEP_ALIVE_S = 600
ANSWER_TIMEOUT_S = 120.0


class Client(asyncio.Protocol):
    """One device."""

    def __init__(self, line: str) -> None:
        self._id, self._user, self._password, self._topic = line.split("\t")
        self._decoder = Decoder()
        self.up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.acknowledged: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's TLS transports do all that asyncio.Transport says, and derive from nothing.
        self._transport = cast(asyncio.Transport, transport)
        password = self._password.encode() if self._password else None
        self._transport.write(encode(Connect(self._id, True, KEEP_ALIVE_S, self._user or None, password)))

    def data_received(self, data: bytes) -> None:
        for packet in self._decoder.feed(data):
            if isinstance(packet, ConnAck) and packet.code == 0:
                self.up.set_result(None)
            elif isinstance(packet, PubAck) and self.acknowledged is not None:
                self.acknowledged.set_result(None)
            else:
                self.up.set_exception(RuntimeError(f"{self._id} is refused: {packet}"))

    def connection_lost(self, exc: Exception | None) -> None:
        for waiting in (self.up, self.acknowledged):
            if waiting is not None and not waiting.done():
                waiting.set_exception(ConnectionError(f"{self._id} lost its connection: {exc}"))

    def publish(self, payload: bytes) -> asyncio.Future[None]:
        self.acknowledged = asyncio.get_running_loop().create_future()
        self._transport.write(encode_publish(self._topic, payload, 1, 1))
        return self.acknowledged


async def hold(port: int, name: str, context: ssl.SSLContext, lines: list[str], at_once: int) -> None:
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    todo = iter(lines)
    began = time.perf_counter()

    async def connect_some(own: Iterator[str]) -> None:
        for line in own:
            client = Client(line)
            await loop.create_connection(
                partial(_itself, client), "127.0.0.1", port, ssl=context, server_hostname=name
            )
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await client.up
            clients.append(client)

    await asyncio.gather(*(connect_some(todo) for _ in range(at_once)))
    answer({"connected": len(clients), "seconds": time.perf_counter() - began})
    while command := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        payload = bytes(int(command[1]))
        began = time.perf_counter()
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await asyncio.gather(*(client.publish(payload) for client in clients))
        answer({"acknowledged": len(clients), "seconds": time.perf_counter() - began})


def _itself(client: Client) -> Client:
    return client


def answer(document: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> None:
    port, name, ca, at_once = arguments
    lines = list(iter(lambda: sys.stdin.readline().rstrip("\n"), ""))
    context = ssl.create_default_context(cafile=ca)
    uvloop.run(hold(int(port), name, context, lines, int(at_once)))


if __name__ == "__main__":
    main(sys.argv[1:])

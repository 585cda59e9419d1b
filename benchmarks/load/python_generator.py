"""The C generator's stand-in for a machine without a compiler: same arguments, same output, no TLS."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import uvloop

from skerry.mqtt.codec import Decoder, encode, encode_puback, encode_publish
from skerry.mqtt.packets import ConnAck, Connect, PubAck, Publish, SubAck, Subscribe


@dataclass
class Traffic:
    """What all connections have done; ``moved`` is set when it changes."""

    payload: bytes
    acked: int = 0
    delivered: int = 0
    moved: asyncio.Event = field(default_factory=asyncio.Event)


class Connection(asyncio.Protocol):
    """One MQTT client that publishes when told to."""

    def __init__(self, fields: list[str], traffic: Traffic) -> None:
        self.id, self.user, self.password, self.topic, self.filter = fields
        self.up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.acked = self.sent = self.quota = self._packet_id = 0
        self._traffic = traffic
        self._decoder = Decoder()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        connect = Connect(
            self.id, True, 0, self.user or None, self.password.encode() if self.password else None
        )
        transport.write(encode(connect))

    def data_received(self, data: bytes) -> None:
        answers = []
        for packet in self._decoder.feed(data):
            match packet:
                case ConnAck(_, 0) if self.filter:
                    answers.append(encode(Subscribe(1, ((self.filter, 1),))))
                case ConnAck(_, 0) | SubAck(_, (1,)):
                    self.up.set_result(None)
                case PubAck():
                    self.acked += 1
                    self._traffic.acked += 1
                case Publish(packet_id=packet_id):
                    self._traffic.delivered += 1
                    answers.append(encode_puback(packet_id))
                case _:
                    self.up.set_exception(RuntimeError(f"{self.id} is refused: {packet}"))
        self._traffic.moved.set()
        if answers:
            self._transport.write(b"".join(answers))

    def publish(self, count: int) -> None:
        packets = []
        for _ in range(count):
            self._packet_id = self._packet_id % 65535 + 1
            packets.append(encode_publish(self.topic, self._traffic.payload, 1, self._packet_id))
        self.sent += count
        self._transport.write(b"".join(packets))


async def send(connections: list[Connection], traffic: Traffic, messages: int, window: int) -> None:
    publishers = [c for c in connections if c.topic]
    subscribed = any(c.filter for c in connections)
    traffic.acked = traffic.delivered = 0
    for number, one in enumerate(publishers):
        one.acked = one.sent = 0
        one.quota = messages // len(publishers) + (number < messages % len(publishers))
    while traffic.acked < messages or (subscribed and traffic.delivered < messages):
        traffic.moved.clear()
        flying = sum(c.sent for c in publishers) - traffic.delivered if subscribed else 0
        for one in publishers:
            room = min(window - (one.sent - one.acked), one.quota - one.sent)
            if subscribed:
                room = min(room, window * len(publishers) - flying)
            if room > 0:
                one.publish(room)
                flying += room
        if traffic.acked < messages or (subscribed and traffic.delivered < messages):
            async with asyncio.timeout(20):
                await traffic.moved.wait()


def _itself(connection: Connection) -> Connection:
    return connection


def server_cpu_seconds(pid: str) -> float:
    return time.clock_gettime(~int(pid) << 3 | 2)  # the kernel's number of a process's CPU clock


async def run(
    port: str, lines: list[str], warm_up: str, messages: str, window: str, size: str, pid: str
) -> None:
    traffic = Traffic(bytes(int(size)))
    connections = [Connection(line.split("\t"), traffic) for line in lines]
    loop = asyncio.get_running_loop()
    for one in sorted(connections, key=lambda c: not c.filter):
        await loop.create_connection(partial(_itself, one), "127.0.0.1", int(port))
        await one.up
    if int(warm_up):
        await send(connections, traffic, int(warm_up), int(window))
    cpu, served, began = time.process_time(), server_cpu_seconds(pid), time.perf_counter()
    await send(connections, traffic, int(messages), int(window))
    found = {
        "messages": int(messages),
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "server_cpu_seconds": server_cpu_seconds(pid) - served,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        port, clients, *numbers = sys.argv[1:]
        runner.run(run(port, Path(clients).read_text().splitlines(), *numbers))

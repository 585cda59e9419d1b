"""The edge hub against mosquitto: routing to a module, many devices, one publisher, the store alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count
from pathlib import Path

from benchmarks import servers
from benchmarks.append import append_row, raw_writes
from benchmarks.edge_hub_server import DEVICE, HUB, SINK, SOURCE, signer_of
from benchmarks.load.generator import Client, Generator, Load
from benchmarks.report import Report, Row
from benchmarks.rounds import Contestant, Options, Sample, interleaved
from benchmarks.servers import MOSQUITTO, Server
from skerry.clock import SystemClock
from skerry.contract.credentials import make_token
from skerry.contract.names import Identity, ModuleId
from skerry.contract.topics import inputs_filter, render_username, telemetry_topic

WINDOW = 100
TOKEN_LIFETIME_S = 3600
ROUTE = "publish → route → subscribe, QoS 1, 256 B, window 100"
MANY = "durable PUBACK, {} devices, one in flight each"
SERIAL = "durable PUBACK, one serial publisher"

Start = Callable[[Path], AbstractAsyncContextManager[Server]]


def module_client(name: str, *, topic: str = "", filter: str = "") -> Client:
    """A module with a valid token."""
    identity = Identity(DEVICE, ModuleId(name))
    expiry = int(SystemClock().now().timestamp()) + TOKEN_LIFETIME_S
    token = make_token(identity.resource(HUB), signer_of(identity), expiry)
    return Client(identity.client_id, render_username(HUB, identity, "benchmark"), token, topic, filter)


def publisher(name: str, bag: str) -> Client:
    return module_client(name, topic=telemetry_topic(Identity(DEVICE, ModuleId(name)), bag))


def routed(*, peer: bool) -> Sequence[Client]:
    """One module sends, another listens. The peer routes by topic: there the listener names the sender's."""
    source = publisher(SOURCE, "%24.on=out")
    filter = f"{source.topic[: -len('%24.on=out')]}#" if peer else inputs_filter(Identity(DEVICE, SINK))
    return [source, module_client(SINK, filter=filter)]


def many(devices: int) -> Sequence[Client]:
    """Modules whose messages are stored for the hub."""
    return [publisher(f"device-{number}", "kind=stored") for number in range(devices)]


class Arena:
    """Measures servers with loads; every measurement has a fresh server."""

    def __init__(self, generator: Generator, work: Path) -> None:
        self._generator = generator
        self._work = work
        self._numbers = count()

    def contestant(self, start: Start, load: Load) -> Contestant:
        async def measure() -> Sample:
            async with start(self._work / f"server-{next(self._numbers)}") as server:
                outcome = await self._generator.run(server.port, server.pid, load, self._work)
            return Sample(outcome.rate, outcome.seen)

        return measure


def memory(folder: Path) -> AbstractAsyncContextManager[Server]:
    return servers.edge_hub("memory", folder)


def durable(folder: Path) -> AbstractAsyncContextManager[Server]:
    return servers.edge_hub("durable", folder)


async def run(options: Options) -> Report:
    """Rows 4 to 6 of the targets."""
    generator = await Generator.build(options.work)
    arena = Arena(generator, options.work)
    rows: list[Row] = []
    notes = [f"load generator: {generator.name}", "plain TCP on the loopback on both sides"]
    if MOSQUITTO is None:
        notes.append("mosquitto is not installed: its rows compare with our head without the store")
    rows += await _route_rows(options, arena)
    rows += await _many_rows(options, arena)
    rows += await _serial_rows(options, arena)
    rows.append(await append_row(options))
    return Report("edge_hub", rows, notes)


async def _route_rows(options: Options, arena: Arena) -> list[Row]:
    def load(*, peer: bool) -> Load:
        warm_up, messages = options.pick(5_000, 200), options.pick(60_000, 500)
        return Load(routed(peer=peer), messages, WINDOW, warm_up)

    sides = await interleaved(
        {
            "ours, no store": arena.contestant(memory, load(peer=False)),
            "ours, durable": arena.contestant(durable, load(peer=False)),
            **_peer(arena, load(peer=True)),
        },
        options.rounds,
    )
    peer = sides.get("mosquitto", sides["ours, no store"])
    return [
        Row(f"{ROUTE}, no store", "msg/s", sides["ours, no store"], peer, ">=", 2.0),
        Row(f"{ROUTE}, durable", "msg/s", sides["ours, durable"], peer, ">=", 1.0),
    ]


async def _many_rows(options: Options, arena: Arena) -> list[Row]:
    devices = options.pick(1000, 20)
    load = Load(many(devices), options.pick(60_000, 200), 1, options.pick(5_000, 40))
    sides = await interleaved(
        {
            "ours, no store": arena.contestant(memory, load),
            "ours, durable": arena.contestant(durable, load),
            **_peer(arena, load),
        },
        options.rounds,
    )
    what = MANY.format(devices)
    return [
        Row(
            what, "msg/s", sides["ours, durable"], sides.get("mosquitto", sides["ours, no store"]), ">=", 0.5
        ),
        Row(f"{what}, no store to compare", "msg/s", sides["ours, durable"], sides["ours, no store"]),
    ]


async def _serial_rows(options: Options, arena: Arena) -> list[Row]:
    messages = options.pick(5_000, 50)
    load = Load(many(1), messages, 1, options.pick(500, 10))

    async def disk() -> Sample:
        return await raw_writes(options.work, messages, load.size)

    sides = await interleaved(
        {
            "ours, durable": arena.contestant(durable, load),
            "ours, no store": arena.contestant(memory, load),
            "write + fdatasync": disk,
        },
        options.rounds,
    )
    ours = sides["ours, durable"]
    return [
        Row(SERIAL, "msg/s", ours, sides["ours, no store"], ">=", 0.5),
        Row(f"{SERIAL}, its disk alone to compare", "msg/s", ours, sides["write + fdatasync"], ">=", 0.4),
    ]


def _peer(arena: Arena, load: Load) -> dict[str, Contestant]:
    return {} if MOSQUITTO is None else {"mosquitto": arena.contestant(servers.mosquitto, load)}

"""An edge hub on bad days: cuts, dead links, lost acknowledgements, wrong clocks, full disks, restarts.

``SKERRY_SIM_SEEDS`` seeds, the first being ``SKERRY_SIM_FIRST_SEED``. A failure names its seed.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from skerry.contract.credentials import key_signer
from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.edge.hub.edge_hub import EdgeHub, Listening, Parent
from skerry.edge.hub.twin_cache import CachedTwin
from skerry.errors import Unavailable
from skerry.protocol.client import Backoff, DeviceClient, Endpoint
from skerry.protocol.tokens import KeyTokens
from skerry.service.metrics import Metrics
from skerry.store.database import Database
from skerry.store.documents import DOCUMENTS, Documents
from skerry.store.queue import Queue
from tests.support.edge import HUB, hub_desired, key_of, module
from tests.support.proxy import Proxy
from tests.support.sim_clock import SimClock
from tests.support.small_hub import SmallHub

FIRST_SEED = int(os.environ.get("SKERRY_SIM_FIRST_SEED", "0"))
SEEDS = int(os.environ.get("SKERRY_SIM_SEEDS", "20"))
SENDERS = ("camera", "cnn")
MESSAGES = 120
FAULTS = 6
# SQLite's own bound, in pages.
PAGES_MAX = 1_073_741_823
ROUTES = hub_desired(
    up="FROM /messages/* INTO $upstream",
    local='FROM /messages/modules/camera/* INTO BrokeredEndpoint("/modules/cnn/inputs/image")',
)


class Day:
    """One simulated device with its hub and the path between them."""

    def __init__(self, folder: Path, seed: int, speed: float = 50.0) -> None:
        self.folder = folder
        self.roll = random.Random(seed)
        self.clock = SimClock(speed)
        self.hub = SmallHub(SimClock(speed), encrypted=False)
        self.hub.acknowledges = lambda: self.roll.random() > 0.002
        self.proxy = Proxy(lambda: self.hub.port)
        self.edge: EdgeHub | None = None
        self.queue_database: Database | None = None
        self.port = 0
        self.happened: list[str] = []

    async def prepare(self) -> None:
        database = await Database.open(self.folder / "edge.db", [DOCUMENTS])
        twin = CachedTwin(desired=ROUTES, desired_version=1, known=True)
        await Documents(database, "twins").put(module("$edgeHub").client_id, twin.to_json())
        await database.close()
        self.hub.desired[module("$edgeHub")] = ROUTES

    @asynccontextmanager
    async def device_up(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            database = await Database.open(self.folder / "edge.db", [DOCUMENTS])
            stack.push_async_callback(database.close)
            queue = await Queue.open(self.folder / "queue.db", bytes_max=50_000_000, clock=self.clock)
            stack.push_async_callback(queue.close)
            self.queue_database = queue._database
            edge = EdgeHub(
                Identity(module("x").device),
                Parent(HUB, Endpoint("127.0.0.1", self.proxy.port, None)),
                ["localhost"],
                keys=lambda identity: [key_of(identity.module or identity.device)],
                signer=lambda identity: key_signer(key_of(identity.module or identity.device)),
                database=database,
                queue=queue,
                clock=self.clock,
                metrics=Metrics(process=False),
            )
            await edge.load()
            await edge.start(Listening(("127.0.0.1",), self.port, -1, None))
            stack.push_async_callback(edge.close)
            self.edge, self.port = edge, edge.mqtt_port
            yield

    def client(self, name: str) -> DeviceClient:
        endpoint = Endpoint("127.0.0.1", self.port, None)
        tokens = KeyTokens(key_of(name), self.clock)
        return DeviceClient(module(name), HUB, endpoint, tokens, clock=self.clock, backoff=Backoff(0.2, 1.0))

    async def bad_things(self) -> None:
        """Some faults, one after the other; each heals."""
        faults = [self.cut, self.dead_link, self.wrong_clock, self.full_disk]
        for _ in range(FAULTS):
            await asyncio.sleep(self.roll.random() * 0.02)
            fault = self.roll.choice(faults)
            self.happened.append(fault.__name__)
            await fault()

    async def cut(self) -> None:
        await self.hub.cut()
        await asyncio.sleep(self.roll.random() * 0.05)
        await self.hub_open()

    async def hub_open(self) -> None:
        while not self.hub.is_open:
            try:
                await self.hub.open()
            except Unavailable:
                await asyncio.sleep(0.02)

    async def dead_link(self) -> None:
        self.proxy.stall()

    async def wrong_clock(self) -> None:
        moments = [
            datetime(1970, 1, 1, tzinfo=UTC),
            self.clock.now() + timedelta(days=365 * 40),
            self.clock.now() - timedelta(days=400),
        ]
        self.clock.step_to(self.roll.choice(moments))
        await asyncio.sleep(self.roll.random() * 0.05)
        self.clock.heal()

    async def full_disk(self) -> None:
        database = self.queue_database
        assert database is not None
        await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchone())
        await asyncio.sleep(self.roll.random() * 0.05)
        await database.write(
            lambda connection: connection.execute(f"PRAGMA max_page_count = {PAGES_MAX}").fetchone()
        )


async def send_all(day: Day, name: str, first: int, count: int) -> None:
    client = day.client(name)
    await client.start()
    try:
        numbers = range(first, first + count)
        await asyncio.gather(*(client.send(Message(b"%d " % n + b"x" * 200)) for n in numbers))
        await client.report({"sent": first + count})
    finally:
        await client.stop()


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
async def test_what_was_acknowledged_arrives_once_in_order(tmp_path: Path, seed: int) -> None:
    day = Day(tmp_path, seed)
    await day.prepare()
    inputs: list[int] = []
    async with day.hub.running(), day.proxy.running():
        if day.roll.random() < 0.3:
            # A device without a battery for its clock.
            day.clock.step_to(datetime(1970, 1, 1, tzinfo=UTC))
        for first in (0, MESSAGES // 2):
            async with day.device_up():
                sending = [
                    asyncio.ensure_future(send_all(day, name, first, MESSAGES // 2)) for name in SENDERS
                ]
                await day.bad_things()
                day.clock.heal()
                async with asyncio.timeout(20):
                    await asyncio.gather(*sending)
        day.hub.acknowledges = lambda: True
        async with day.device_up():
            cnn = day.client("cnn")

            async def on_input(name: str, message: Message) -> None:
                inputs.append(int(message.body.split()[0]))

            cnn.on_input = on_input
            await cnn.start()
            try:
                async with asyncio.timeout(20):
                    while not arrived(day) or len(set(inputs)) < MESSAGES:
                        await asyncio.sleep(0.01)
            except TimeoutError:
                pytest.fail(f"seed {seed}: after {day.happened}: {state(day, inputs)}")
            finally:
                await cnn.stop()
    for name in SENDERS:
        sent = [int(body.split()[0]) for body in day.hub.bodies(module(name))]
        # A sender whose own acknowledgement was lost sends again: twice is fine, out of order is not.
        assert list(dict.fromkeys(sent)) == [*range(MESSAGES)], f"seed {seed}: after {day.happened}"
        numbers = set(day.hub.sequences(module(name)))
        assert numbers == set(range(1, max(numbers) + 1)), f"seed {seed}: after {day.happened}"
    assert list(dict.fromkeys(inputs)) == [*range(MESSAGES)], f"seed {seed}: after {day.happened}"


@pytest.mark.parametrize("cut_s", [0.0, 5.0, 60.0])
async def test_a_dead_link_heals_and_the_backlog_drains_within_30_s(tmp_path: Path, cut_s: float) -> None:
    day = Day(tmp_path, 0)
    await day.prepare()
    day.hub.acknowledges = lambda: True
    async with day.hub.running(), day.proxy.running(), day.device_up():
        camera = day.client("camera")
        await camera.start()
        try:
            await camera.send(Message(b"0"))
            async with asyncio.timeout(10):
                while not day.hub.received:
                    await asyncio.sleep(0.005)
            assert day.proxy.stall() > 0
            await asyncio.gather(*(camera.send(Message(b"%d" % n)) for n in range(1, 50)))
            healed = day.clock.monotonic() + cut_s
            while day.clock.monotonic() < healed:
                day.proxy.stall()
                await asyncio.sleep(0.01)
            while len(day.hub.bodies(module("camera"))) < 50:
                assert day.clock.monotonic() - healed < 30.0
                await asyncio.sleep(0.005)
        finally:
            await camera.stop()


def arrived(day: Day) -> bool:
    return all(
        len({body.split()[0] for body in day.hub.bodies(module(name))}) == MESSAGES
        and day.hub.reported[module(name)] == {"sent": MESSAGES}
        for name in SENDERS
    )


def state(day: Day, inputs: list[int]) -> str:
    counts = {name: len({*day.hub.bodies(module(name))}) for name in SENDERS}
    reported = {name: day.hub.reported[module(name)] for name in SENDERS}
    return f"arrived {counts}, reported {reported}, inputs {len(set(inputs))}"

"""The hub's verbs: durable twin patches of many callers, and queries over 100,000 twins."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter

from benchmarks.report import Report, Row
from benchmarks.rounds import Options, Sample, interleaved
from skerry.clock import SystemClock, iso
from skerry.contract.hub_limits import RELAXED
from skerry.contract.names import DeviceId, Identity
from skerry.hub import identity_rows
from skerry.hub.changes import Changes
from skerry.hub.connections import Connections
from skerry.hub.identity_rows import IdentityRow
from skerry.hub.journal import Journal
from skerry.hub.queries import Queries
from skerry.hub.schema import HUB_MIGRATIONS
from skerry.hub.twins import Twins
from skerry.store.database import Database

CALLERS = 256
PATCHES_RATIO = 4.0
TWINS = 100_000
BATCH = 5_000
SCAN = "SELECT COUNT() AS n FROM devices WHERE properties.reported.temperature > 95"
SCAN_SQL = "SELECT count(*) FROM twins WHERE module = '' AND json_extract(reported, '$.temperature') > 95"
POINT = "SELECT * FROM devices WHERE deviceId = 'd777'"
POINT_SQL = "SELECT * FROM twins WHERE device = 'd777' AND module = ''"


@dataclass
class Hub:
    """What the verbs need, over one file."""

    path: Path
    database: Database
    twins: Twins
    queries: Queries


async def run(options: Options) -> Report:
    """Both over the hub's own tables, beside SQLite asked directly."""
    async with _hub(options.work / "hub.db", options.pick(TWINS, 1000)) as hub:
        patches = await _patches(hub, options)
        queries = await _queries(hub, options)
    notes = [f"{options.pick(TWINS, 1000)} twins; the floor is SQLite alone, in WAL mode, synchronous=FULL"]
    return Report("hub_verbs", [patches, *queries], notes)


async def _patches(hub: Hub, options: Options) -> Row:
    patches = options.pick(20_000, 512)
    numbers = count()

    async def ours() -> Sample:
        todo = iter(range(patches))

        async def caller(number: int) -> None:
            identity = Identity(DeviceId(f"d{number}"))
            for _ in todo:
                await hub.twins.patch_reported(identity, {"temperature": next(numbers) % 90})

        began = perf_counter()
        await asyncio.gather(*(caller(number) for number in range(CALLERS)))
        return Sample(patches / (perf_counter() - began))

    async def alone() -> Sample:
        return Sample(await asyncio.to_thread(_one_by_one, hub.path, options.pick(2_000, 64)))

    sides = await interleaved({"hub": ours, "one transaction per patch": alone}, options.rounds)
    what = f"durable twin patches, {CALLERS} callers"
    return Row(what, "patches/s", sides["hub"], sides["one transaction per patch"], ">=", PATCHES_RATIO)


async def _queries(hub: Hub, options: Options) -> list[Row]:
    rows = []
    for what, text, sql, times in (
        ("query for one device", POINT, POINT_SQL, options.pick(300, 5)),
        ("query over all: a reported property", SCAN, SCAN_SQL, 3),
    ):

        async def ours(text: str = text, times: int = times) -> Sample:
            began = perf_counter()
            for _ in range(times):
                await hub.queries.page(text)
            return Sample((perf_counter() - began) * 1000 / times)

        async def alone(sql: str = sql, times: int = times) -> Sample:
            return Sample(await asyncio.to_thread(_asked, hub.path, sql, times))

        sides = await interleaved({"hub": ours, "the SQL alone": alone}, options.rounds)
        rows.append(Row(what, "ms", sides["hub"], sides["the SQL alone"], "<=", None))
    return rows


def _one_by_one(path: Path, patches: int) -> float:
    """Read, merge, write and sync each alone; patches a second."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    try:
        began = perf_counter()
        for number in range(patches):
            key = (f"d{number % CALLERS}",)
            connection.execute("BEGIN IMMEDIATE")
            sql = "SELECT reported, reported_metadata FROM twins WHERE device = ? AND module = ''"
            reported, metadata = map(json.loads, connection.execute(sql, key).fetchone())
            reported["temperature"] = number % 90
            connection.execute(
                "UPDATE twins SET reported = ?, reported_metadata = ?,"
                " reported_version = reported_version + 1 WHERE device = ? AND module = ''",
                (json.dumps(reported), json.dumps(metadata), *key),
            )
            connection.execute("COMMIT")
        return patches / (perf_counter() - began)
    finally:
        connection.close()


def _asked(path: Path, sql: str, times: int) -> float:
    """Milliseconds per answer."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        began = perf_counter()
        for _ in range(times):
            connection.execute(sql).fetchall()
        return (perf_counter() - began) * 1000 / times
    finally:
        connection.close()


@asynccontextmanager
async def _hub(path: Path, twins: int) -> AsyncIterator[Hub]:
    clock = SystemClock()
    database = await Database.open(path, HUB_MIGRATIONS)
    try:
        for first in range(0, twins, BATCH):
            last = min(first + BATCH, twins)
            await database.write(partial(_create, first, last))
        connections, journal = Connections(clock), Journal("bench", (), clock)
        queries = Queries(database, connections)
        await queries.prepare()
        yield Hub(path, database, Twins(database, connections, clock, Changes(), journal, RELAXED), queries)
    finally:
        await database.close()
        shutil.rmtree(path.with_suffix(".d"), ignore_errors=True)


def _create(first: int, last: int, connection: sqlite3.Connection) -> None:
    now = iso(SystemClock().now())
    for number in range(first, last):
        row = IdentityRow(Identity(DeviceId(f"d{number}")), status_updated=now)
        identity_rows.create(connection, row, now)
        values = json.dumps({"temperature": number % 100, "site": f"plant-{number % 7}"})
        connection.execute(
            "UPDATE twins SET reported = ? WHERE device = ? AND module = ''", (values, f"d{number}")
        )

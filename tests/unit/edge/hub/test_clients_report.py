"""The ``$edgeHub`` twin lists the clients, as many as it has room for."""

from __future__ import annotations

import asyncio
from typing import Any

from skerry.clock import ManualClock
from skerry.contract.names import DeviceId, Identity
from skerry.edge.hub.clients_report import NOT_SHOWN, ClientsReport
from skerry.edge.hub.twins import Twins
from skerry.store.database import Database
from skerry.store.documents import Documents
from tests.support.edge import module

HUB = module("$edgeHub")


async def reported_after(report: ClientsReport, twins: Twins, clock: ManualClock) -> dict[str, Any]:
    """What the twin says once the report has run."""
    task = asyncio.create_task(report.run())
    for _ in range(20):
        await asyncio.sleep(0.002)
        await clock.advance(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return twins.cached(HUB).reported


async def test_of_a_thousand_clients_the_newest_are_shown_and_the_rest_counted(
    database: Database, clock: ManualClock
) -> None:
    twins = Twins(Documents(database, "twins"))
    report = ClientsReport(HUB, twins, clock)
    for number in range(1000):
        report.changed(module(f"client-{number:04}"), True)
    reported = await reported_after(report, twins, clock)
    shown = reported["clients"]
    assert 100 < len(shown) < 1000
    assert max(shown) == "edge-1/client-0999"
    assert reported[NOT_SHOWN] == 1000 - len(shown)
    report.changed(module("client-0000"), False)
    report.changed(module("client-0000"), True)
    assert "edge-1/client-0000" in (await reported_after(report, twins, clock))["clients"]


async def test_connected_clients_are_shown_before_those_that_left(
    database: Database, clock: ManualClock
) -> None:
    twins = Twins(Documents(database, "twins"))
    report = ClientsReport(HUB, twins, clock)
    report.changed(module("steady"), True)
    for number in range(1000):
        report.changed(module(f"client-{number:04}"), False)
    assert "edge-1/steady" in (await reported_after(report, twins, clock))["clients"]


async def test_after_a_restart_nobody_is_connected(database: Database, clock: ManualClock) -> None:
    twins = Twins(Documents(database, "twins"))
    first = ClientsReport(HUB, twins, clock)
    first.changed(module("cnn"), True)
    await reported_after(first, twins, clock)
    second = ClientsReport(HUB, twins, clock)
    reported = await reported_after(second, twins, clock)
    assert reported["clients"]["edge-1/cnn"]["status"] == "Disconnected"


async def test_a_leaf_device_that_left_is_listed_no_more(database: Database, clock: ManualClock) -> None:
    twins = Twins(Documents(database, "twins"))
    report = ClientsReport(HUB, twins, clock)
    leaf = Identity(DeviceId("leaf.1"))
    report.changed(leaf, True)
    assert "leaf%2E1" in (await reported_after(report, twins, clock))["clients"]
    report.changed(leaf, False)
    assert (await reported_after(report, twins, clock)).get("clients") == {}

"""The edge hub's routes come from its twin, and stay when a new version is bad."""

from __future__ import annotations

from typing import Any

from skerry.edge.hub.configuration import HubConfiguration
from skerry.edge.hub.router import RoutingTable
from skerry.edge.hub.twins import Twins
from skerry.store.database import Database
from skerry.store.documents import Documents
from tests.support.edge import hub_desired, module

HUB = module("$edgeHub")
GOOD = hub_desired(up="FROM /* INTO $upstream")


async def take(database: Database, desired: dict[str, Any], version: int) -> tuple[list[RoutingTable], Twins]:
    twins, tables = Twins(Documents(database, "twins")), list[RoutingTable]()
    await twins.load()
    await twins.synced(HUB, {"desired": {**desired, "$version": version}, "reported": {"$version": 1}})
    configuration = HubConfiguration(
        HUB, twins, Documents(database, "hub-configuration"), lambda table, _: tables.append(table)
    )
    configuration.load()
    await configuration.take()
    return tables, twins


async def test_a_good_configuration_is_used_and_reported(database: Database) -> None:
    tables, twins = await take(database, GOOD, 4)
    assert [spec.name for spec in tables[-1].routes] == ["up"]
    reported = twins.cached(HUB).reported
    assert reported["lastDesiredVersion"] == 4
    assert reported["lastDesiredStatus"] == {"code": 200, "description": ""}


async def test_a_bad_one_is_reported_and_the_last_good_one_stays(database: Database) -> None:
    await take(database, GOOD, 4)
    for bad, code in (
        (hub_desired(up="FROM nowhere"), 400),
        ({**GOOD, "schemaVersion": "2.0"}, 412),
    ):
        tables, twins = await take(database, bad, 5)
        assert [spec.name for table in tables for spec in table.routes] == ["up"]
        status = twins.cached(HUB).reported["lastDesiredStatus"]
        assert status["code"] == code
        assert status["description"]

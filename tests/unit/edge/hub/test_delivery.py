"""Messages that get old are warned of, then dropped, and both are counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from skerry.clock import ManualClock
from skerry.contract.credentials import key_signer
from skerry.contract.message import Message
from skerry.edge.hub.edge_hub import EdgeHub, Listening, Parent
from skerry.edge.hub.twin_cache import CachedTwin
from skerry.service.metrics import Metrics
from skerry.store.database import Database
from skerry.store.documents import Documents
from skerry.store.queue import Queue
from tests.support.edge import HUB, hub_desired, key_of, module

LIFE_S = 100
CNN = module("cnn")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(process=False)


@pytest.fixture
async def edge(
    database: Database, queue: Queue, clock: ManualClock, metrics: Metrics
) -> AsyncIterator[EdgeHub]:
    desired = hub_desired(up="FROM /messages/modules/cnn/outputs/out INTO $upstream")
    desired["storeAndForwardConfiguration"]["timeToLiveSecs"] = LIFE_S
    twin = CachedTwin(desired=desired, desired_version=1, known=True)
    await Documents(database, "twins").put(module("$edgeHub").client_id, twin.to_json())
    edge = EdgeHub(
        module("x"),
        Parent(HUB, None),
        ["localhost"],
        keys=lambda identity: [key_of(identity.module or identity.device)],
        signer=lambda identity: key_signer(key_of(identity.module or identity.device)),
        database=database,
        queue=queue,
        clock=clock,
        metrics=metrics,
    )
    await edge.load()
    await edge.start(Listening(("127.0.0.1",), 0, -1, None))
    yield edge
    closing = asyncio.ensure_future(edge.close())
    while not closing.done():
        await clock.advance(1)
        await asyncio.sleep(0.005)
    await closing


async def passes(clock: ManualClock, seconds: int) -> None:
    for _ in range(seconds):
        await clock.advance(1)
        await asyncio.sleep(0.003)


async def test_a_life_that_ends_is_warned_of_and_counted(
    edge: EdgeHub, clock: ManualClock, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    backend = edge._backend
    await backend.telemetry(CNN, Message(b"old", {}, {"outputName": "out"}))
    await backend.telemetry(CNN, Message(b"", {}, {"outputName": "nowhere"}))
    await passes(clock, 50)
    assert edge.status()["expiring"] == {}
    await passes(clock, 42)
    assert edge.status()["expiring"] == {"upstream/edge-1/cnn": 1}
    assert any("will be dropped within 20 s" in record.message for record in caplog.records)
    await passes(clock, 30)
    dropped = edge.status()["dropped"]
    assert dropped["ttl_expiry"] == {"upstream/edge-1/cnn": 1}
    assert dropped["no_route"] == 1
    edge.refresh_metrics()
    text = metrics.exposition().decode()
    name = "edgehub_messages_dropped_total"
    assert f'{name}{{from="edge-1/cnn",from_route_output="",reason="ttl_expiry"}} 1.0' in text
    assert f'{name}{{from="edge-1/cnn",from_route_output="nowhere",reason="no_route"}} 1.0' in text

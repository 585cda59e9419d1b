"""The hub as one process: storage, verbs, and the fronts that listen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from skerry.clock import Clock, SystemClock
from skerry.hub import certificates, policies
from skerry.hub.authority import Authority
from skerry.hub.connections import Connections
from skerry.hub.deployments import Deployments
from skerry.hub.gateway.backend import Gateway
from skerry.hub.methods import Methods
from skerry.hub.registry import Registry
from skerry.hub.rest.routes import web_application
from skerry.hub.schema import HUB_MIGRATIONS, TELEMETRY_MIGRATIONS
from skerry.hub.settings import HubSettings
from skerry.hub.setup import DATABASE_FILE, TELEMETRY_FILE, initialise
from skerry.hub.subscriptions import Subscriptions
from skerry.hub.telemetry import Telemetry
from skerry.hub.twins import Twins
from skerry.hub.verbs import Verbs
from skerry.mqtt.server import serve
from skerry.protocol.head import Head
from skerry.service.http import HttpServer
from skerry.service.lifecycle import Supervisor
from skerry.store.database import Database

log = logging.getLogger(__name__)

# How long running requests may take to end when the hub stops.
CLOSE_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class HubAddresses:
    """Where a running hub is reached: ``https_url`` (no trailing slash), real ports, the root to trust."""

    https_url: str
    host_name: str
    bind: str
    https_port: int
    mqtt_port: int
    ca_file: Path


async def run(
    settings: HubSettings,
    stop: asyncio.Event,
    ready: Callable[[HubAddresses], None],
    clock: Clock | None = None,
) -> None:
    """Serve until ``stop`` is set; ``ready`` is told the addresses once everything listens.

    A first start creates what it needs. Raises Unavailable (a port is taken), Damaged, StorageFull.
    """
    async with hub(settings, clock or SystemClock()) as addresses:
        ready(addresses)
        await stop.wait()


@asynccontextmanager
async def hub(settings: HubSettings, clock: Clock) -> AsyncIterator[HubAddresses]:
    """A running hub; leaving the context stops listeners, then what they still owe, then storage."""
    await initialise(settings.data_dir, settings, clock)
    async with AsyncExitStack() as stack:
        database = await Database.open(settings.data_dir / DATABASE_FILE, HUB_MIGRATIONS)
        stack.push_async_callback(database.close)
        log_database = await Database.open(settings.data_dir / TELEMETRY_FILE, TELEMETRY_MIGRATIONS)
        stack.push_async_callback(log_database.close)
        verbs = _verbs(settings, database, Telemetry(log_database, clock), clock)
        gateway = Gateway(verbs, Subscriptions(database))
        stack.push_async_callback(gateway.drain)
        names = {name.lower() for name in settings.names}
        head = Head(gateway, host_names=lambda name: name.lower() in names, clock=clock)
        stack.push_async_callback(head.drain)

        tls = certificates.server_files(settings.data_dir)
        listener = await serve(head, settings.bind, settings.mqtt_port, tls.context(), clock=clock)
        stack.push_async_callback(listener.close)
        application = web_application(verbs, head, dashboard=settings.dashboard)
        server = await HttpServer.start(application, host=settings.bind, port=settings.https_port, tls=tls)
        stack.push_async_callback(server.close, CLOSE_GRACE_S)
        supervisor = await stack.enter_async_context(Supervisor(clock))
        keep = (settings.telemetry_keep_days, settings.telemetry_keep_messages)
        supervisor.start("trim telemetry", lambda: verbs.telemetry.keep_trimmed(*keep))

        addresses = _addresses(settings, server.port, listener.port)
        log.info(
            "hub %s serves %s and MQTT on port %d", settings.host_name, addresses.https_url, listener.port
        )
        yield addresses
        log.info("hub %s stops", settings.host_name)


def _verbs(settings: HubSettings, database: Database, telemetry: Telemetry, clock: Clock) -> Verbs:
    connections = Connections(clock)
    registry = Registry(database, connections, clock)
    twins = Twins(database, connections, clock)
    known = database.read_now(policies.load)
    return Verbs(
        authority=Authority(known, registry, settings.names, clock),
        registry=registry,
        twins=twins,
        methods=Methods(registry, connections),
        deployments=Deployments(database, twins, connections, clock),
        telemetry=telemetry,
        connections=connections,
        clock=clock,
    )


def _addresses(settings: HubSettings, https_port: int, mqtt_port: int) -> HubAddresses:
    port = "" if https_port == 443 else f":{https_port}"
    return HubAddresses(
        https_url=f"https://{settings.host_name}{port}",
        host_name=settings.host_name,
        bind=settings.bind,
        https_port=https_port,
        mqtt_port=mqtt_port,
        ca_file=certificates.ca_file(settings.data_dir),
    )

"""The hub as one process: storage, verbs, and the fronts that listen."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from skerry.amqp.stream import serve as serve_amqp
from skerry.clock import Clock, SystemClock
from skerry.contract.hub_limits import PROFILES
from skerry.hub import certificates, policies
from skerry.hub.amqp.front import AmqpFront
from skerry.hub.audit import Audit
from skerry.hub.authority import Authority
from skerry.hub.ca_certificates import CaCertificates
from skerry.hub.changes import Changes
from skerry.hub.commands import Commands
from skerry.hub.connections import Connections
from skerry.hub.consumers import Consumers
from skerry.hub.containers.containers import Containers
from skerry.hub.courier import Courier
from skerry.hub.deployments import Deployments
from skerry.hub.device_certificates import DeviceCertificates
from skerry.hub.enrollments import Enrollments
from skerry.hub.fleet import fleet
from skerry.hub.gateway.backend import Gateway
from skerry.hub.gateway.door import Door
from skerry.hub.journal import Journal
from skerry.hub.methods import Methods
from skerry.hub.outbox import Outbox
from skerry.hub.owners import Owners
from skerry.hub.provisioning import Provisioning
from skerry.hub.registry import Registry
from skerry.hub.rest.routes import web_application
from skerry.hub.schema import HUB_MIGRATIONS, TELEMETRY_MIGRATIONS
from skerry.hub.server_tls import ServerTls
from skerry.hub.settings import HubSettings
from skerry.hub.setup import DATABASE_FILE, TELEMETRY_FILE, UPLOADS_FOLDER, initialise
from skerry.hub.sinks import Sinks
from skerry.hub.subscriptions import Subscriptions
from skerry.hub.telemetry import Telemetry
from skerry.hub.throttle import Throttle
from skerry.hub.twins import Twins
from skerry.hub.uploads import Uploads
from skerry.hub.verbs import Verbs
from skerry.mqtt.server import serve
from skerry.protocol.head import Head
from skerry.protocol.provisioning_head import ProvisioningHead
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
    amqp_port: int | None = None
    amqp_plain_port: int | None = None


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
        containers = await stack.enter_async_context(
            Containers.open(settings.data_dir, settings.containers_free_bytes_min, clock)
        )
        verbs = _verbs(settings, database, log_database, containers, clock)
        await asyncio.to_thread(verbs.uploads.prepare)
        await verbs.outbox.prepare()
        gateway = Gateway(verbs, Subscriptions(database))
        stack.push_async_callback(gateway.drain)
        names = {name.lower() for name in settings.names}
        head = Head(gateway, host_names=lambda name: name.lower() in names, clock=clock)
        stack.push_async_callback(head.drain)
        door = Door(head, ProvisioningHead(verbs.provisioning, clock=clock))

        courier = Courier(verbs.commands, verbs.connections)
        verbs.commands.on_queued = verbs.owners.queued
        stack.push_async_callback(courier.drain)

        server_tls = ServerTls(settings, clock)
        tls = server_tls.context
        listener = await serve(door, settings.bind, settings.mqtt_port, tls, clock=clock)
        stack.push_async_callback(listener.close)
        front = AmqpFront(verbs)
        amqp = await _amqp(stack, front, settings, settings.amqp_listens, tls, clock)
        amqp_plain = await _amqp(stack, front, settings, settings.amqp_plain_listens, None, clock)
        application = web_application(verbs, door, dashboard=settings.dashboard)
        server = await HttpServer.start(application, host=settings.bind, port=settings.https_port, tls=tls)
        stack.push_async_callback(server.close, CLOSE_GRACE_S)
        supervisor = await stack.enter_async_context(Supervisor(clock))
        supervisor.start("server certificate", server_tls.run)
        keep = (
            settings.telemetry_keep_days,
            settings.telemetry_keep_messages,
            settings.telemetry_keep_bytes,
        )
        supervisor.start("trim telemetry", lambda: verbs.telemetry.keep_trimmed(*keep))

        supervisor.start("carry events over", verbs.outbox.run)
        supervisor.start("sweep commands", verbs.commands.keep_swept)
        supervisor.start("sweep uploads", verbs.uploads.keep_swept)
        supervisor.start("sweep pushes", verbs.containers.uploads.keep_swept)
        await verbs.fleet.start(supervisor)
        stack.push_async_callback(verbs.sinks.close)
        stack.push_async_callback(verbs.fleet.transfers.close)
        await verbs.sinks.start()

        addresses = replace(
            _addresses(settings, server.port, listener.port), amqp_port=amqp, amqp_plain_port=amqp_plain
        )
        log.info(
            "hub %s serves %s and MQTT on port %d", settings.host_name, addresses.https_url, listener.port
        )
        yield addresses
        log.info("hub %s stops", settings.host_name)


async def _amqp(
    stack: AsyncExitStack,
    front: AmqpFront,
    settings: HubSettings,
    port: int | None,
    tls: ssl.SSLContext | None,
    clock: Clock,
) -> int | None:
    """Listen for AMQP if a port is given; the real port."""
    if port is None:
        return None
    listener = await serve_amqp(front, settings.bind, port, tls, clock=clock, container=settings.host_name)
    stack.push_async_callback(listener.close)
    if tls is None:
        log.warning("AMQP on port %d is not encrypted: for development only", listener.port)
    else:
        log.info("AMQP on port %d", listener.port)
    return listener.port


def _verbs(
    settings: HubSettings, database: Database, log_database: Database, containers: Containers, clock: Clock
) -> Verbs:
    telemetry = Telemetry(log_database, clock)
    connections = Connections(clock)
    # One process: whoever is connected is connected here.
    owners: Owners = connections
    changes = Changes()
    journal = Journal(settings.host_name, settings.event_sources, clock)
    limits = PROFILES[settings.profile]
    registry = Registry(database, owners, clock, changes, journal, limits.modules_per_device)
    twins = Twins(database, owners, clock, changes, journal, limits)
    methods = Methods(registry, owners)
    deployments = Deployments(database, twins, owners, clock, changes, journal)
    known = database.read_now(policies.load)
    authorities = CaCertificates(database, journal, clock)
    by_certificate = DeviceCertificates(registry, authorities, clock)
    audit = Audit(database, journal)
    return Verbs(
        authority=Authority(known, registry, by_certificate, settings.names, clock),
        registry=registry,
        twins=twins,
        methods=methods,
        commands=Commands(database, journal, clock),
        deployments=deployments,
        fleet=fleet(database, owners, registry, twins, methods, deployments, changes, journal, clock),
        telemetry=telemetry,
        enrollments=Enrollments(database, settings.names, settings.host_name, authorities, journal, clock),
        provisioning=Provisioning(database, registry, twins, authorities, settings.host_name, clock),
        certificates=authorities,
        uploads=Uploads(
            database, settings.data_dir / UPLOADS_FOLDER, journal, clock, settings.uploads_keep_bytes
        ),
        audit=audit,
        throttle=Throttle(limits, clock),
        consumers=Consumers(log_database, telemetry, clock),
        sinks=Sinks(log_database, telemetry, audit, settings.host_name, clock),
        outbox=Outbox(database, telemetry, journal, changes, clock),
        owners=owners,
        connections=connections,
        containers=containers,
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

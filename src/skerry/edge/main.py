"""The edge runtime, one process: daemon, agent and edge hub wired together."""

from __future__ import annotations

import asyncio
import logging
import platform
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from skerry.clock import Clock, SystemClock
from skerry.contract.credentials import ConnectionString
from skerry.contract.names import AGENT_MODULE, Identity, ModuleId
from skerry.edge.agent.agent import Agent
from skerry.edge.agent.environment import Surroundings
from skerry.edge.agent.methods import AgentMethods
from skerry.edge.agent.metrics import AgentMetrics
from skerry.edge.agent.registry_map import check as check_registry_map
from skerry.edge.agent.restart import Rules
from skerry.edge.daemon.assignment import Reprovisioning, assigned
from skerry.edge.daemon.hub_time import HubTime
from skerry.edge.daemon.hub_trust import hub_tls
from skerry.edge.daemon.identities import Identities, IdentityService, NoIdentityService
from skerry.edge.daemon.identity_service import HubIdentityService
from skerry.edge.daemon.identity_watch import IdentityWatch
from skerry.edge.daemon.management_api import Runtime, management_app, metrics_app
from skerry.edge.daemon.module_host import WorkloadHost
from skerry.edge.daemon.own_registry import device_registries
from skerry.edge.daemon.recent_log import RecentLog
from skerry.edge.daemon.server_certificate import ServerCertificate
from skerry.edge.daemon.support_bundle import SupportBundle
from skerry.edge.daemon.upload import put
from skerry.edge.engine.choose import choose_engine
from skerry.edge.engine.port import Engine
from skerry.edge.hub.edge_hub import EdgeHub, Listening, Parent
from skerry.edge.settings import EdgeSettings, machine_name
from skerry.edge.stores import Stores, locked, make_run_directory, noted
from skerry.edge.view import view
from skerry.edge.wiring import AgentHost, AgentTwin, identity_changed
from skerry.errors import Damaged
from skerry.protocol.client import Endpoint
from skerry.service.certificates import Authority
from skerry.service.http import HttpServer
from skerry.service.lifecycle import Supervisor
from skerry.service.metrics import Metrics
from skerry.store.documents import Documents

log = logging.getLogger(__name__)

T = TypeVar("T")

# Requests under way when the runtime goes down get this long.
CLOSE_GRACE_S = 1.0
LOOPBACK = "127.0.0.1"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class EdgeAddresses:
    """Where the runtime that just became ready is reached."""

    gateway_name: str
    listen: str
    mqtt_port: int
    https_port: int
    management_socket: Path
    ca_file: Path
    engine: str


async def run(
    settings: EdgeSettings,
    stop: asyncio.Event,
    ready: Callable[[EdgeAddresses], None] | None = None,
    clock: Clock | None = None,
    engine: Engine | None = None,
) -> None:
    """Run the device until ``stop`` is set. Needs no network once the hub was reached.

    ``ready`` is called when modules can connect, and again when the device came up with another identity.
    Modules keep running afterwards where the engine can do that. Raises NotFound (not provisioned),
    Unavailable (a port or the data directory is taken).
    """
    clock = clock or SystemClock()
    check_registry_map(settings.registry_map)
    with locked(settings):
        make_run_directory(settings)
        while (connection := await _unless(stop, assigned(settings, clock))) is not None:
            reprovisioning = Reprovisioning(settings, connection, clock)
            async with AsyncExitStack() as stack:
                try:
                    addresses, stores = await _start(
                        settings, connection, reprovisioning, clock, engine, stack
                    )
                except Damaged as error:
                    if not noted(settings, error):
                        raise
                    continue
                log.info("device %s is up", connection.identity.client_id)
                if ready is not None:
                    ready(addresses)
                await _unless(stop, _either(reprovisioning.changed, stores.damaged))
                log.info("device %s is going down; its modules stay", connection.identity.client_id)


async def _unless(stop: asyncio.Event, work: Awaitable[T]) -> T | None:
    """What comes of ``work``; None when ``stop`` is set first."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        return None if stop.is_set() else task.result()
    finally:
        task.cancel()
        stopped.cancel()
        await asyncio.wait([task, stopped])


async def _either(one: asyncio.Event, other: asyncio.Event) -> None:
    """Return when one of them is set."""
    waits = [asyncio.ensure_future(one.wait()), asyncio.ensure_future(other.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)


async def _start(
    settings: EdgeSettings,
    connection: ConnectionString,
    reprovisioning: Reprovisioning,
    clock: Clock,
    engine: Engine | None,
    stack: AsyncExitStack,
) -> tuple[EdgeAddresses, Stores]:
    """Bring everything up in the order of need; ``stack`` takes it down in reverse."""
    device = connection.identity
    stores = await Stores.open(settings, clock)
    stack.push_async_callback(stores.close)
    authority = Authority.load(settings.ca_directory, clock)
    hub_time = HubTime(clock)
    service = await _identity_service(settings, connection, hub_time, clock, stack)
    identities = Identities(connection, Documents(stores.database, "identities"), service)
    await identities.load()
    if engine is None:
        engine = await choose_engine(
            settings.engine,
            images_dir=settings.images,
            state_dir=settings.data_dir / "engine",
            device=device.client_id,
            prefix=settings.container_prefix,
            network=settings.network,
            runtime_fallback=settings.runtime_fallback,
            registries=device_registries(settings, connection, clock),
        )
        stack.push_async_callback(engine.close)
    metrics = Metrics()
    metrics.common = {
        "iothub": connection.host_name,
        "edge_device": str(device.device),
        # Another one after each start: what counts from zero is told from what went back.
        "instance_number": secrets.token_hex(8),
    }
    names = [settings.gateway_name, machine_name(), engine.gateway_address()]
    certificate = ServerCertificate(
        authority, names, clock, valid_s=settings.certificate_valid_s, time=hub_time.now
    )
    hub = EdgeHub(
        device,
        _parent(settings, connection),
        [*names, "localhost", "127.0.0.1", "edgehub"],
        keys=identities.keys,
        signer=identities.signer,
        database=stores.database,
        queue=stores.queue,
        clock=clock,
        metrics=metrics,
        scope=service if isinstance(service, HubIdentityService) else None,
        true_time=hub_time.now,
    )
    await hub.load()
    await hub.start(
        Listening(_hosts(settings, engine), settings.mqtt_port, settings.https_port, certificate.context)
    )
    stack.push_async_callback(hub.close)

    host = WorkloadHost(
        settings.workload_directory,
        identities,
        authority,
        modules=lambda: [{"id": name, "name": name, "type": "docker"} for name in agent.modules()],
        backlog=lambda module: hub.delivery.backlog(Identity(device.device, module)),
        clock=clock,
    )
    stack.push_async_callback(host.close)
    agent = Agent(
        engine=engine,
        twin=AgentTwin(hub.twins, Identity(device.device, ModuleId(AGENT_MODULE))),
        host=AgentHost(host, device.device, hub),
        documents=Documents(stores.database, "agent"),
        surroundings=_surroundings(settings, connection, engine, hub),
        clock=clock,
        boot_id=_boot_id(),
        platform=_platform(),
        rollback_after_s=settings.rollback_after_s,
        keep_images_s=settings.keep_images_s,
        rules=Rules(settings.restarts_max, settings.readiness_s),
        metrics=AgentMetrics(metrics),
    )
    recent = RecentLog.install(stack)
    archive = SupportBundle(
        agent, status=lambda: runtime.status(), settings=settings, recent=recent, clock=clock
    )
    methods = AgentMethods(
        agent,
        clock,
        hub=connection.host_name,
        device=device.client_id,
        upload=put,
        bundle=archive.build,
    )
    stack.push_async_callback(methods.close)
    hub.methods.agent = methods.invoke
    watch = IdentityWatch(
        identities,
        connected=lambda: hub.upstream.connected,
        changed=agent.prepare_again,
        wanted=host.serves,
        clock=clock,
    )
    hub.upstream.refused = lambda _: watch.ask()
    watch.refused = reprovisioning.refused
    identities.listeners.append(partial(identity_changed, hub))
    runtime = view(
        agent, hub, stores, metrics, watch, archive, recent, clock, settings.data_dir, reprovisioning
    )
    await _serve_management(settings, runtime, stack)
    supervisor = Supervisor(clock)
    stack.push_async_callback(supervisor.stop)
    supervisor.start("certificate", certificate.run)
    supervisor.start("workload", host.run)
    supervisor.start("store", lambda: stores.watch(clock))
    if settings.upstream:
        supervisor.start("identities", watch.run)
        supervisor.start("reprovisioning", reprovisioning.run)
    supervisor.start("agent", agent.run)
    addresses = EdgeAddresses(
        settings.gateway_name,
        settings.listen or LOOPBACK,
        hub.mqtt_port,
        hub.https_port,
        settings.management_socket,
        settings.ca_directory / "ca.pem",
        engine.name,
    )
    return addresses, stores


def _hosts(settings: EdgeSettings, engine: Engine) -> tuple[str, ...]:
    """Loopback and the module network, unless the user says otherwise."""
    if settings.listen:
        return (settings.listen,)
    return tuple(dict.fromkeys((LOOPBACK, engine.gateway_address())))


async def _identity_service(
    settings: EdgeSettings,
    connection: ConnectionString,
    hub_time: HubTime,
    clock: Clock,
    stack: AsyncExitStack,
) -> IdentityService:
    if not settings.upstream:
        return NoIdentityService()
    service = HubIdentityService(
        connection,
        address=settings.hub_address,
        port=settings.hub_https_port,
        tls=hub_tls(settings, connection),
        clock=clock,
        time=hub_time,
    )
    stack.push_async_callback(service.close)
    return service


def _parent(settings: EdgeSettings, connection: ConnectionString) -> Parent:
    hub = connection.host_name
    if not settings.upstream:
        return Parent(hub, None)
    address = settings.hub_address or hub
    return Parent(hub, Endpoint(address, settings.hub_mqtt_port, hub_tls(settings), hub))


def _surroundings(
    settings: EdgeSettings, connection: ConnectionString, engine: Engine, hub: EdgeHub
) -> Surroundings:
    return Surroundings(
        device=connection.identity.client_id,
        hub=connection.host_name,
        gateway_name=settings.gateway_name,
        gateway_address=engine.gateway_address(),
        mqtt_port=hub.mqtt_port,
        https_port=hub.https_port,
        registry_map=settings.registry_map,
    )


async def _serve_management(settings: EdgeSettings, runtime: Runtime, stack: AsyncExitStack) -> None:
    server = await HttpServer.start(
        management_app(runtime), unix_path=settings.management_socket, websockets="none"
    )
    stack.push_async_callback(server.close, CLOSE_GRACE_S)
    if settings.metrics_port >= 0:
        numbers = await HttpServer.start(
            metrics_app(runtime.metrics),
            host=settings.listen or LOOPBACK,
            port=settings.metrics_port,
            websockets="none",
        )
        stack.push_async_callback(numbers.close, CLOSE_GRACE_S)


def _platform() -> dict[str, str]:
    return {
        "os": platform.system().lower(),
        "architecture": platform.machine(),
        "version": platform.release(),
    }


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""

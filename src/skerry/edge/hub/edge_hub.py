"""The device's message hub: listens to modules, stores, forwards, keeps twins; the whole of ``edge/hub``."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from skerry.clock import Clock
from skerry.contract.credentials import Signer, key_signer
from skerry.contract.message import Message
from skerry.contract.names import HUB_MODULE, Identity, ModuleId
from skerry.edge.hub.authority import Authority, KeysOf, TrueTime
from skerry.edge.hub.clients_report import ClientsReport
from skerry.edge.hub.configuration import HubConfiguration
from skerry.edge.hub.delivery import Delivery
from skerry.edge.hub.https import https_app
from skerry.edge.hub.intake import Intake
from skerry.edge.hub.ledger import Ledger
from skerry.edge.hub.limits import EndpointLimits
from skerry.edge.hub.methods import Methods
from skerry.edge.hub.metrics import HubMetrics
from skerry.edge.hub.protocol_head import EdgeBackend
from skerry.edge.hub.router import Router, RoutingTable
from skerry.edge.hub.scope import DeviceScope, NoScope, ScopeService
from skerry.edge.hub.sessions import Sessions
from skerry.edge.hub.twins import Twins
from skerry.edge.hub.upstream import Upstream
from skerry.mqtt.server import Listener, serve
from skerry.protocol.client import Endpoint
from skerry.protocol.head import Head
from skerry.service.http import HttpServer
from skerry.service.lifecycle import Supervisor
from skerry.service.metrics import Metrics
from skerry.store.database import Database
from skerry.store.documents import Documents
from skerry.store.queue import Queue

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listening:
    """Where the edge hub listens; port 0 is a free one, the same on all hosts, ``https_port`` −1 none."""

    hosts: tuple[str, ...]
    mqtt_port: int
    https_port: int
    tls: ssl.SSLContext | None


@dataclass(frozen=True)
class Parent:
    """The hub this device belongs to; ``endpoint`` None: upstream is switched off."""

    name: str
    endpoint: Endpoint | None


class EdgeHub:
    """Open it, ``start`` it, ``close`` it; everything acknowledged is on disk at any moment."""

    def __init__(
        self,
        device: Identity,
        parent: Parent,
        gateway_names: Sequence[str],
        *,
        keys: KeysOf,
        signer: Callable[[Identity], Signer],
        database: Database,
        queue: Queue,
        clock: Clock,
        metrics: Metrics,
        scope: ScopeService | None = None,
        true_time: TrueTime = lambda: None,
    ) -> None:
        self.identity = Identity(device.device, ModuleId(HUB_MODULE))
        self.device = device
        self._clock = clock
        self._queue = queue
        self.metrics = HubMetrics(metrics)
        self.scope = DeviceScope(Documents(database, "scope"), scope or NoScope(), clock, self._leaf_changed)
        self._keeps_scope = scope is not None

        def keys_of(who: Identity) -> Sequence[str]:
            return keys(who) or (self.scope.keys(who) if who.device != device.device else ())

        def signer_of(who: Identity) -> Signer:
            leaf = self.scope.keys(who) if who.device != device.device else ()
            return key_signer(leaf[0]) if leaf else signer(who)

        self._authority = Authority(
            keys_of,
            [parent.name, *gateway_names],
            clock,
            leaf=self.scope.by_certificate,
            anchors=lambda: self.scope.anchors,
            time=true_time,
        )
        self.sessions = Sessions()
        self.twins = Twins(Documents(database, "twins"))
        self.methods = Methods(self.sessions, clock)
        self.methods.answered = self.metrics.method
        self._ledger = Ledger(queue, Documents(database, "ledger"))
        self._intake = Intake(
            queue, self._ledger, clock=clock, appended=self._appended, dropped=self._dropped
        )
        self._router = Router(RoutingTable())
        self._full: dict[str, int] = {}
        self.upstream = Upstream(
            device,
            parent.name,
            parent.endpoint,
            signer=signer_of,
            twins=self.twins,
            invoke=self.methods.answer,
            deliver_c2d=self._deliver_c2d,
            needed=self._needed,
            known=self._authority.knows,
            vouched=lambda identity: self.scope.by_certificate(identity) is not None,
            clock=clock,
        )
        self.delivery = Delivery(
            device.device, queue, self._ledger, self.sessions, self.upstream, clock, self.metrics
        )
        self.configuration = HubConfiguration(
            self.identity, self.twins, Documents(database, "hub-configuration"), self._configured
        )
        self._clients = ClientsReport(self.identity, self.twins, clock)
        self._backend = EdgeBackend(
            authority=self._authority,
            intake=self._intake,
            twins=self.twins,
            sessions=self.sessions,
            subscriptions=Documents(database, "subscriptions"),
            router=lambda: self._router,
            metrics=self.metrics,
            look_for=self.scope.look_for,
            clock=clock,
        )
        self._head = Head(self._backend, host_names=self._authority.accepts_host, clock=clock)
        self._supervisor = Supervisor(clock)
        self._reconfigure = asyncio.Event()
        self._renewals: set[asyncio.Task[None]] = set()
        self._listeners: list[Listener] = []
        self._https: list[HttpServer] = []

    @property
    def mqtt_port(self) -> int:
        return self._listeners[0].port if self._listeners else 0

    @property
    def https_port(self) -> int:
        return self._https[0].port if self._https else 0

    async def load(self) -> None:
        """Read what earlier runs left; before this nothing works."""
        self.scope.load()
        await self.twins.load()
        await self._ledger.load()
        self.configuration.load()
        # Before anybody can connect: without routes a message would be acknowledged and dropped.
        await self.configuration.take()

    async def start(self, listening: Listening) -> None:
        """Listen, and resume deliveries. Unavailable when an address is taken."""
        self.sessions.on_change(self._client_changed)
        self.upstream.listeners.append(self.metrics.connection)
        self.metrics.watch_clients(lambda: len(self.sessions.current))
        self.twins.on_desired(self.identity, lambda *_: self._reconfigure.set())
        app = https_app(self.device.device, self._authority, self.methods, self._head, self._clock)
        for host in listening.hosts:
            port = self.mqtt_port or listening.mqtt_port
            self._listeners.append(await serve(self._head, host, port, listening.tls, clock=self._clock))
            if listening.https_port >= 0:
                port = self.https_port or listening.https_port
                self._https.append(await HttpServer.start(app, host=host, port=port, tls=listening.tls))
        self.upstream.start()
        self.delivery.start()
        self._supervisor.start("configuration", self._follow_configuration)
        self._supervisor.start("clients", self._clients.run)
        if self._keeps_scope:
            self._supervisor.start("scope", self.scope.run)
            self.methods.refresh_scope = self.scope.refresh
        log.info("edge hub listens on port %d (MQTT) and %d (HTTPS)", self.mqtt_port, self.https_port)

    async def close(self) -> None:
        """Stop listening and sending."""
        for listener in self._listeners:
            await listener.close()
        await self._head.drain()
        for server in self._https:
            await server.close(1.0)
        await asyncio.gather(*self._renewals)
        await self.delivery.close()
        await self._supervisor.stop()
        await self.upstream.close()
        await self._intake.close()

    def identity_changed(self, identity: Identity, *, same_generation: bool) -> None:
        """Its keys are new or gone. Of another generation at the hub, nothing known of its twin holds."""

        async def renew() -> None:
            if not same_generation:
                await self.twins.forget(identity)
            await self.upstream.renew(identity)

        task = asyncio.ensure_future(renew())
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    def status(self) -> dict[str, Any]:
        """For people: is the hub there, what waits, who is connected."""
        return {
            "upstream": {"connected": self.upstream.connected},
            "queues": {
                endpoint: {"messages": length.messages, "bytes": length.size}
                for endpoint, length in sorted(self._queue.lengths().items())
            },
            "sent": {endpoint: f.sent for endpoint, f in sorted(self.delivery.forwarders.items())},
            "dropped": {
                "ttl_expiry": dict(self.delivery.expired),
                "undeliverable": {e: f.dropped for e, f in self.delivery.forwarders.items() if f.dropped},
                "queue_full": dict(self._full),
                "no_route": self.metrics.unrouted,
            },
            "refused": self._intake.refused,
            "expiring": dict(self.delivery.expiring),
            "ledger": self._ledger.heads(),
            "clients": sorted(identity.client_id for identity in self.sessions.current),
        }

    def refresh_metrics(self) -> None:
        """Bring the gauges up to date before they are shown."""
        self.metrics.refresh(
            {endpoint: length.messages for endpoint, length in self._queue.lengths().items()},
        )

    def _appended(self, destination: Any) -> None:
        self.delivery.appended(destination)

    def _leaf_changed(self, leaf: Identity) -> None:
        """It left the scope, or has other keys: it has to prove itself again."""
        if (session := self.sessions.current.get(leaf)) is not None:
            session.close("the device's keys changed, or it left the scope of this gateway")
        self.identity_changed(leaf, same_generation=self._authority.knows(leaf))

    def _dropped(self, endpoint: str, count: int) -> None:
        if endpoint not in self._full:
            log.warning("the queue of %s is full: %s", endpoint, self._intake.limits.policy.value)
        self._full[endpoint] = self._full.get(endpoint, 0) + count
        self.metrics.dropped("queue_full", endpoint, count)

    def _configured(self, table: RoutingTable, limits: EndpointLimits) -> None:
        self._router = Router(table)
        self._intake.bytes_max = table.max_size_bytes
        self._intake.limits = limits
        self.delivery.shortest_life_s = table.shortest_life_s

    def _client_changed(self, identity: Identity, connected: bool) -> None:
        self._clients.changed(identity, connected)
        self.metrics.client(identity, connected)
        if connected:
            self.upstream.open(identity)

    def _needed(self, identity: Identity) -> bool:
        return identity in self.sessions.current or self.delivery.backlog(identity) > 0

    async def _deliver_c2d(self, device: Identity, message: Message) -> None:
        session = await self.sessions.wait_listening(device, "c2d")
        await session.send_c2d(message)

    async def _follow_configuration(self) -> None:
        while True:
            self._reconfigure.clear()
            await self.configuration.take()
            await self._reconfigure.wait()

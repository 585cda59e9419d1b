"""The device's message hub: listens to modules, stores, forwards, keeps twins; the whole of ``edge/hub``."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from skerry.clock import Clock
from skerry.contract.credentials import Signer
from skerry.contract.message import Message
from skerry.contract.names import HUB_MODULE, Identity, ModuleId
from skerry.edge.hub.authority import Authority, KeysOf
from skerry.edge.hub.clients_report import ClientsReport
from skerry.edge.hub.configuration import HubConfiguration
from skerry.edge.hub.delivery import Delivery
from skerry.edge.hub.https import https_app
from skerry.edge.hub.intake import Intake
from skerry.edge.hub.ledger import Ledger
from skerry.edge.hub.methods import Methods
from skerry.edge.hub.metrics import HubMetrics
from skerry.edge.hub.protocol_head import EdgeBackend
from skerry.edge.hub.router import RoutingTable
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
    """Where the edge hub listens; port 0 is a free one, ``https_port`` −1 none."""

    host: str
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
    ) -> None:
        self.identity = Identity(device.device, ModuleId(HUB_MODULE))
        self.device = device
        self._clock = clock
        self._queue = queue
        self.metrics = HubMetrics(metrics)
        self.sessions = Sessions()
        self.twins = Twins(Documents(database, "twins"))
        self.methods = Methods(self.sessions, clock)
        self._ledger = Ledger(queue, Documents(database, "ledger"))
        self._intake = Intake(queue, self._ledger, clock=clock, appended=self._appended)
        self.upstream = Upstream(
            device,
            parent.name,
            parent.endpoint,
            signer=signer,
            twins=self.twins,
            invoke=self.methods.answer,
            deliver_c2d=self._deliver_c2d,
            needed=self._needed,
            clock=clock,
        )
        self.delivery = Delivery(device.device, queue, self._ledger, self.sessions, self.upstream, clock)
        self.configuration = HubConfiguration(
            self.identity, self.twins, Documents(database, "hub-configuration"), self._configured
        )
        self._authority = Authority(keys, [parent.name, *gateway_names], clock)
        self._clients = ClientsReport(self.identity, self.twins, clock)
        self._backend = EdgeBackend(
            authority=self._authority,
            intake=self._intake,
            twins=self.twins,
            sessions=self.sessions,
            subscriptions=Documents(database, "subscriptions"),
            table=lambda: self.configuration.table,
            metrics=self.metrics,
            clock=clock,
        )
        self._head = Head(self._backend, host_names=self._authority.accepts_host, clock=clock)
        self._supervisor = Supervisor(clock)
        self._reconfigure = asyncio.Event()
        self._listener: Listener | None = None
        self._https: HttpServer | None = None

    @property
    def mqtt_port(self) -> int:
        return self._listener.port if self._listener else 0

    @property
    def https_port(self) -> int:
        return self._https.port if self._https else 0

    async def load(self) -> None:
        """Read what earlier runs left; before this nothing works."""
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
        self._listener = await serve(
            self._head, listening.host, listening.mqtt_port, listening.tls, clock=self._clock
        )
        if listening.https_port >= 0:
            app = https_app(self.device.device, self._authority, self.methods, self._head, self._clock)
            self._https = await HttpServer.start(
                app, host=listening.host, port=listening.https_port, tls=listening.tls
            )
        self.upstream.start()
        self.delivery.start()
        self._supervisor.start("configuration", self._follow_configuration)
        self._supervisor.start("clients", self._clients.run)
        log.info("edge hub listens on port %d (MQTT) and %d (HTTPS)", self.mqtt_port, self.https_port)

    async def close(self) -> None:
        """Stop listening and sending."""
        if self._listener is not None:
            await self._listener.close()
            await self._head.drain()
        if self._https is not None:
            await self._https.close(1.0)
        await self.delivery.close()
        await self._supervisor.stop()
        await self.upstream.close()
        await self._intake.close()

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
            },
            "clients": sorted(identity.client_id for identity in self.sessions.current),
        }

    def refresh_metrics(self) -> None:
        """Bring the gauges up to date before they are shown."""
        self.metrics.refresh(
            {endpoint: length.messages for endpoint, length in self._queue.lengths().items()},
            {endpoint: forwarder.sent for endpoint, forwarder in self.delivery.forwarders.items()},
        )

    def _appended(self, destination: Any) -> None:
        self.delivery.appended(destination)

    def _configured(self, table: RoutingTable) -> None:
        self._intake.bytes_max = table.max_size_bytes

    def _client_changed(self, identity: Identity, connected: bool) -> None:
        self._clients.changed(identity, connected)
        if connected:
            self.upstream.open(identity)

    def _needed(self, identity: Identity) -> bool:
        return identity in self.sessions.current or self.delivery.backlog(identity) > 0

    async def _deliver_c2d(self, message: Message) -> None:
        session = await self.sessions.wait_listening(self.device, "c2d")
        await session.send_c2d(message)

    async def _follow_configuration(self) -> None:
        while True:
            self._reconfigure.clear()
            await self.configuration.take()
            await self._reconfigure.wait()

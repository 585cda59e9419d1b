"""The endpoints of this edge hub: a forwarder for each that has, or had, messages."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping, Sequence

from skerry.clock import Clock
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.edge.hub.envelope import bag_of
from skerry.edge.hub.forwarder import Forwarder
from skerry.edge.hub.ledger import Ledger
from skerry.edge.hub.metrics import HubMetrics
from skerry.edge.hub.router import Destination, input_of, upstream_sender
from skerry.edge.hub.sessions import Sessions
from skerry.edge.hub.upstream import Upstream
from skerry.errors import Unavailable
from skerry.protocol.device_session import DeviceSession
from skerry.service.lifecycle import Supervisor
from skerry.store.queue import Queue, Stored

log = logging.getLogger(__name__)

# Messages whose time to live is over are looked for this often.
EXPIRE_EVERY_S = 10.0
# Messages that have only this share of their life left are warned of, the last ten minutes of a long one.
EXPIRY_WARNING_SHARE = 0.2
EXPIRY_WARNING_MAX_S = 600.0


class Delivery:
    """Starts a forwarder for every endpoint in the queue and for each that gets its first message."""

    def __init__(
        self,
        device: DeviceId,
        queue: Queue,
        ledger: Ledger,
        sessions: Sessions,
        upstream: Upstream,
        clock: Clock,
        metrics: HubMetrics,
    ) -> None:
        self._device = device
        self._metrics = metrics
        self.shortest_life_s: float | None = None
        self.expiring: Mapping[str, int] = {}
        self._queue = queue
        self._ledger = ledger
        self._sessions = sessions
        self._upstream = upstream
        self._clock = clock
        self._forwarders: dict[str, Forwarder] = {}
        self._supervisor = Supervisor(clock)
        self.expired: dict[str, int] = {}

    @property
    def forwarders(self) -> Mapping[str, Forwarder]:
        return self._forwarders

    def start(self) -> None:
        """Resume what the queue holds."""
        for endpoint in self._queue.lengths():
            self._forwarder(endpoint)
        self._supervisor.start("expire", self._expire)

    async def close(self) -> None:
        """Stop sending; the queue keeps what is left."""
        await self._supervisor.stop()
        self._forwarders.clear()

    def appended(self, destination: Destination) -> None:
        """A message for ``destination`` is durable."""
        self._forwarder(destination.endpoint).appended(destination.priority)

    def backlog(self, sender: Identity) -> int:
        """Messages of ``sender`` that the hub does not have yet."""
        return sum(
            length.messages
            for endpoint, length in self._queue.lengths().items()
            if upstream_sender(endpoint) == sender
        )

    def _forwarder(self, endpoint: str) -> Forwarder:
        if (forwarder := self._forwarders.get(endpoint)) is None:
            forwarder = self._forwarders[endpoint] = self._new_forwarder(endpoint)
            self._supervisor.start(endpoint, forwarder.run)
        return forwarder

    def _new_forwarder(self, endpoint: str) -> Forwarder:
        if (sender := upstream_sender(endpoint)) is not None:
            return self._to_hub(endpoint, sender)
        module, name = input_of(endpoint) or ("", endpoint)
        return self._to_input(endpoint, Identity(self._device, ModuleId(module)), name)

    def _to_hub(self, endpoint: str, sender: Identity) -> Forwarder:
        def deliver(stored: Stored) -> Awaitable[None]:
            return self._upstream.forward(sender, bag_of(stored), stored.body)

        async def ready() -> None:
            await self._upstream.wait_connected(sender)

        async def before_remove(gone: Sequence[Stored]) -> None:
            await self._ledger.settle(sender, max(stored.sequence for stored in gone))

        return Forwarder(
            endpoint,
            self._queue,
            deliver,
            ready,
            clock=self._clock,
            before_remove=before_remove,
            delivered=self._metrics.sent,
            failed=self._metrics.failed,
        )

    def _to_input(self, endpoint: str, module: Identity, name: str) -> Forwarder:
        session: DeviceSession | None = None

        async def ready() -> None:
            nonlocal session
            session = await self._sessions.wait_listening(module, "inputs")

        def deliver(stored: Stored) -> Awaitable[None]:
            # To the session that was ready, not to a newer one: that one has to get the oldest first.
            if session is None:
                raise Unavailable(f"{module.client_id} is not connected")
            return session.forward_input(name, bag_of(stored), stored.body)

        return Forwarder(
            endpoint,
            self._queue,
            deliver,
            ready,
            clock=self._clock,
            delivered=self._metrics.sent,
            failed=self._metrics.failed,
        )

    async def _expire(self) -> None:
        while True:
            await self._ledger.settle_all()
            now = self._clock.now().timestamp()
            dropped = await self._queue.expire(now)
            for endpoint, count in dropped.items():
                self.expired[endpoint] = self.expired.get(endpoint, 0) + count
                self._metrics.dropped("ttl_expiry", endpoint, count)
                log.warning("%s: %d messages dropped, their time to live is over", endpoint, count)
            await self._warn(now)
            await self._clock.sleep(EXPIRE_EVERY_S)

    async def _warn(self, now: float) -> None:
        """Say which endpoints are about to lose messages, before they do."""
        if self.shortest_life_s is None:
            self.expiring = {}
            return
        ahead_s = min(self.shortest_life_s * EXPIRY_WARNING_SHARE, EXPIRY_WARNING_MAX_S)
        expiring = await self._queue.expiring(now + ahead_s)
        for endpoint in expiring.keys() - self.expiring.keys():
            log.warning(
                "%s: %d messages will be dropped within %.0f s unless they are delivered",
                endpoint,
                expiring[endpoint],
                ahead_s,
            )
        self.expiring = expiring

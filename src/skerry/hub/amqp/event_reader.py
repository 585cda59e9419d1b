"""A reader of the telemetry log: stored events from its position on, then new ones as they come."""

from __future__ import annotations

import asyncio
import logging

from skerry.amqp.fault import INTERNAL_ERROR, UNAUTHORIZED
from skerry.amqp.link import Link
from skerry.contract.names import DeviceId, Identity
from skerry.errors import NotFound, SkerryError
from skerry.hub.policies import Right
from skerry.hub.registry import Registry
from skerry.hub.telemetry import EVERYTHING, PAGE_MAX, Event, Telemetry

from .event_message import event_payload
from .selector import Position
from .visit import Node, Visit

log = logging.getLogger(__name__)

# How long to wait for news before the reader's right is looked at again.
WAIT_S = 20.0


class EventReader(Node):
    """Sends as much as the client's credit, its session's window and its socket take."""

    def __init__(
        self, visit: Visit, link: Link, telemetry: Telemetry, registry: Registry, position: Position
    ) -> None:
        self._visit = visit
        self._link = link
        self._telemetry = telemetry
        self._registry = registry
        self._credited = asyncio.Event()
        self._idle = False
        self._task = asyncio.ensure_future(self._run(position))

    def credited(self) -> None:
        self._credited.set()
        if self._idle:
            # A client that drains wants an answer at once, not when the next event comes.
            self._visit.wire.connection.drained(self._link)

    def ended(self) -> None:
        self._task.cancel()

    async def _run(self, position: Position) -> None:
        connection = self._visit.wire.connection
        try:
            await self._follow(await position.resolve(self._telemetry))
        except SkerryError as error:
            log.error("events cannot be read for %s: %s", self._visit.wire.peer, error)
            connection.detach(self._link, INTERNAL_ERROR, error.what)
        else:
            connection.detach(self._link, UNAUTHORIZED, "the token has ended")
        self._visit.wire.flush()

    async def _follow(self, after: int) -> None:
        """Returns when the client may read no longer."""
        while self._visit.may(Right.SERVICE_CONNECT):
            await self._room()
            self._idle = True
            limit = min(self._link.credit, PAGE_MAX)
            events = await self._telemetry.read_or_wait(after, limit, EVERYTHING, WAIT_S)
            self._idle = False
            if not events:
                self.credited()
            generations: dict[DeviceId, str | None] = {}
            for event in events:
                await self._room()
                self._send(event, generations)
                after = event.sequence
                await self._visit.wire.writable()

    async def _room(self) -> None:
        while not self._visit.wire.connection.can_send(self._link):
            self._credited.clear()
            await self._credited.wait()

    def _send(self, event: Event, generations: dict[DeviceId, str | None]) -> None:
        device = event.sender.device
        if device not in generations:
            generations[device] = self._generation(device)
        payload = event_payload(event, generations[device])
        # What becomes of an event is the reader's business: it comes back with the position it wants.
        self._visit.wire.connection.send(self._link, payload, settled=self._link.wants_settled, track=False)
        self._visit.wire.flush()

    def _generation(self, device: DeviceId) -> str | None:
        try:
            return self._registry.require(Identity(device)).generation
        except NotFound:
            return None

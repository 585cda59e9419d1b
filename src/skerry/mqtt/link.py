"""A client's connection, seen from the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from skerry.clock import Clock
from skerry.errors import SkerryError

from .codec import PACKET_BYTES_MAX, MqttError
from .packets import (
    ACCEPTED,
    SERVER_UNAVAILABLE,
    ConnAck,
    Connect,
    Disconnect,
    Publish,
    Subscribe,
    Unsubscribe,
    Will,
)
from .peer import peer_certificates
from .session import Acknowledged, Received, ServerEvent, ServerSession
from .stream import Delivery, Stream, Wire
from .window import IN_FLIGHT_MAX, Window

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Bounds of a server, per link unless it says otherwise."""

    packet_bytes_max: int = PACKET_BYTES_MAX
    # From the end of the TLS handshake to our CONNACK, authentication included.
    connect_timeout_s: float = 30.0
    in_flight_max: int = IN_FLIGHT_MAX
    # Of the whole server; about 40 KiB each with TLS.
    connections_max: int = 20_000
    # Unread bytes at which a peer counts as one that never reads; over the window's 1 MiB by design.
    write_buffer_bytes_max: int = 4 * 1024 * 1024


class Handler(Protocol):
    """What a server does with its links. It is called from the loop, per link in the order of the packets."""

    async def connected(self, link: Link, packet: Connect) -> ConnAck:
        """Code 0 accepts; any other is sent and the link closed. Cancelled when the link ends meanwhile."""

    def published(self, link: Link, packet: Publish) -> Awaitable[None] | None:
        """The PUBACK follows, in order, once what this returns is done; an error closes the link."""

    async def subscribed(self, link: Link, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        """Per filter the granted QoS (0, 1) or 0x80."""

    async def unsubscribed(self, link: Link, filters: Sequence[str]) -> None:
        """The UNSUBACK follows."""

    def disconnected(self, link: Link, reason: str, will: Will | None) -> None:
        """Called once per link that ``connected`` accepted; ``will`` is None after a clean DISCONNECT."""


class Link(Stream):
    """One client; ``context`` is the handler's to set, and so is ``handler``: the one asked from then on.

    ``valid_until`` (monotonic seconds, None: for ever) is when the link closes as its credentials end.
    """

    def __init__(
        self,
        handler: Handler,
        clock: Clock,
        limits: Limits,
        *,
        on_made: Callable[[Link], None] = lambda link: None,
        on_gone: Callable[[Link], None] = lambda link: None,
    ) -> None:
        window: Window[Delivery] = Window(limits.in_flight_max)
        session: ServerSession[Delivery] = ServerSession(
            clock.monotonic(),
            connect_timeout_s=limits.connect_timeout_s,
            max_bytes=limits.packet_bytes_max,
            window=window,
        )
        super().__init__(session, clock, limits.write_buffer_bytes_max)
        self._session = session
        self.handler = handler
        self._on_made = on_made
        self._on_gone = on_gone
        self._accepted = False
        self._will: Will | None = None
        self._connecting: asyncio.Task[None] | None = None
        self.client_id = ""
        self.context: object = None
        self.peer = ""
        # As DER, its own first; see ``peer_certificates`` for what that proves.
        self.peer_certificates: tuple[bytes, ...] = ()
        self.valid_until: float | None = None

    def close(self, reason: str) -> None:
        """End the link; ``disconnected`` is called before this returns."""
        self._end(reason)

    def check(self, now: float) -> None:
        """Enforce the time limits; to be called about once a second."""
        if not self.is_open:
            if self.stuck(now):
                self.abort()
            return
        if self._paused and self._accepted:
            self._session.heard(now)
        reason = self._session.overdue(now)
        if reason is None and self.valid_until is not None and now >= self.valid_until:
            reason = "its token expired"
        if reason is not None:
            self._end(reason)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.attach(cast("Wire", transport))

    def attach(self, wire: Wire) -> None:
        """Start to speak over ``wire``."""
        self._wire = wire
        name = wire.get_extra_info("peername")
        self.peer = f"{name[0]}:{name[1]}" if isinstance(name, tuple) and len(name) >= 2 else str(name)
        self.peer_certificates = peer_certificates(wire.get_extra_info("ssl_object"))
        self._on_made(self)

    def data_received(self, data: bytes) -> None:
        if not self.is_open:
            return
        # What is to be written meanwhile goes out at the end of this.
        self._flush_due = True
        try:
            self._run(self._session.receive(data, self._clock.monotonic()))
        except MqttError as exc:
            self._end(str(exc))
        finally:
            self._flush_due = False
        if self._session.has_outgoing:
            self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._on_gone(self)

    # events

    def _run(self, events: Sequence[ServerEvent[Delivery]]) -> None:
        for event in events:
            if self._ended_at is not None:
                return
            # Nearly all events are of these two kinds.
            if type(event) is Received:
                self._publish(event)
            elif type(event) is Acknowledged:
                event.token.settle()
            else:
                self._handle(event)

    def _handle(self, event: ServerEvent[Delivery]) -> None:
        match event:
            case Received():
                self._publish(event)
            case Acknowledged(token):
                token.settle()
            case Connect():
                self._connect(event)
            case Subscribe():
                self._start(self._subscribe(event))
            case Unsubscribe():
                self._start(self._unsubscribe(event))
            case Disconnect():
                self._will = None
                self._end("it disconnected")

    def _publish(self, event: Received) -> None:
        try:
            work = self.handler.published(self, event.publish)
        except SkerryError as exc:
            self._end(str(exc))
            return
        self._take(event, work)

    def _start(self, work: Awaitable[None]) -> None:
        # Counted like a message of no bytes, so that a flood of SUBSCRIBEs pauses reading too.
        self._take(Received(Publish("", b""), None), work)

    def _connect(self, packet: Connect) -> None:
        self.client_id = packet.client_id
        self._will = packet.will
        self._pause()
        self._connecting = asyncio.ensure_future(self._authenticate(packet))
        self._work.add(cast("asyncio.Future[None]", self._connecting))
        self._connecting.add_done_callback(self._connect_done)

    async def _authenticate(self, packet: Connect) -> None:
        try:
            answer = await self.handler.connected(self, packet)
        except SkerryError as exc:
            log.warning("CONNECT of %s from %s failed: %s", packet.client_id, self.peer, exc)
            answer = ConnAck(False, SERVER_UNAVAILABLE)
        self._accepted = answer.code == ACCEPTED
        if not self.is_open:
            self._ended("it ended while connecting")
            return
        events = self._session.accept(answer, self._clock.monotonic())
        if not self._accepted:
            self._end(f"its CONNECT was refused with code {answer.code}")
            return
        self._resume()
        try:
            self._run(events)
        except MqttError as exc:
            self._end(str(exc))
        self._flush()

    def _connect_done(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        self._connecting = None
        if not task.cancelled():
            self._succeeded(task)

    async def _subscribe(self, packet: Subscribe) -> None:
        codes = await self.handler.subscribed(self, packet.filters)
        if self.is_open:
            self._session.grant(packet.packet_id, codes)
            self._soon()

    async def _unsubscribe(self, packet: Unsubscribe) -> None:
        await self.handler.unsubscribed(self, packet.filters)
        if self.is_open:
            self._session.released(packet.packet_id)
            self._soon()

    def _peer_name(self) -> str:
        return self.client_id or self.peer

    def _ended(self, reason: str) -> None:
        connecting = self._connecting
        if connecting is not None and connecting is not asyncio.current_task():
            connecting.cancel()
        if self._accepted:
            self._accepted = False
            log.info("%s left: %s", self._peer_name(), reason)
            self.handler.disconnected(self, reason, self._will)
        elif reason:
            log.debug("%s left before it was connected: %s", self._peer_name(), reason)

"""The client's end of one MQTT connection; who wants it back after it ended opens another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from skerry.clock import Clock
from skerry.errors import InvalidInput, NotAuthenticated, SkerryError, TimedOut, Unavailable, Unsupported

from .codec import MqttError
from .packets import (
    ACCEPTED,
    BAD_CREDENTIALS,
    BAD_PROTOCOL_VERSION,
    IDENTIFIER_REJECTED,
    NOT_AUTHORIZED,
    SERVER_UNAVAILABLE,
    ConnAck,
    Connect,
    Publish,
    SubAck,
    UnsubAck,
)
from .session import Acknowledged, ClientEvent, ClientSession, Received
from .stream import Delivery, Stream, Wire, fail
from .window import IN_FLIGHT_MAX, Window

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 30.0
PING_TIMEOUT_S = 20.0
CLOSE_GRACE_S = 2.0
WRITE_BUFFER_BYTES_MAX = 16 * 1024 * 1024
# Looks at the keep-alive this many times within it.
_CHECKS_PER_KEEP_ALIVE = 8

OnPublish = Callable[[Publish], Awaitable[None] | None]


class Client(Stream):
    """One connection; ``closed`` resolves to the reason once it has ended."""

    def __init__(
        self,
        connect: Connect,
        on_publish: OnPublish,
        clock: Clock,
        *,
        in_flight_max: int = IN_FLIGHT_MAX,
        ping_timeout_s: float = PING_TIMEOUT_S,
    ) -> None:
        window: Window[Delivery] = Window(in_flight_max)
        session: ClientSession[Delivery] = ClientSession(
            connect, clock.monotonic(), ping_timeout_s=ping_timeout_s, window=window
        )
        super().__init__(session, clock, WRITE_BUFFER_BYTES_MAX)
        self._session = session
        self._connect = connect
        self._on_publish = on_publish
        self._requests: dict[int, asyncio.Future[tuple[int, ...]]] = {}
        self._answer: asyncio.Future[ConnAck] = self._loop.create_future()
        self._pinging: asyncio.Task[None] | None = None
        self.session_present = False
        self.closed: asyncio.Future[str] = self._loop.create_future()

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        connect: Connect,
        on_publish: OnPublish,
        *,
        clock: Clock,
        server_hostname: str | None = None,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        ping_timeout_s: float = PING_TIMEOUT_S,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> Client:
        """Connect and wait for the CONNACK.

        ``server_hostname`` is the name in the server's certificate when it is not ``host``. Raises
        NotAuthenticated (code 4, 5), InvalidInput (2), Unsupported (1), Unavailable (3, no connection, no
        trust), TimedOut.
        """
        client = cls(connect, on_publish, clock, in_flight_max=in_flight_max, ping_timeout_s=ping_timeout_s)
        opening = asyncio.ensure_future(client._opened(host, port, tls, server_hostname))
        alarm = asyncio.ensure_future(clock.sleep(open_timeout_s))
        try:
            await asyncio.wait([opening, alarm], return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                raise TimedOut(f"no CONNACK from {host}:{port} within {open_timeout_s:g} s")
            answer = opening.result()
        except BaseException:
            opening.cancel()
            client.abort()
            await asyncio.wait([opening])
            raise
        finally:
            alarm.cancel()
        if answer.code != ACCEPTED:
            client._end("refused")
            raise _refusal(answer.code, host)
        client.session_present = answer.session_present
        if connect.keep_alive_s:
            client._pinging = asyncio.create_task(client._ping())
        return client

    async def _opened(self, host: str, port: int, tls: ssl.SSLContext | None, name: str | None) -> ConnAck:
        await self._reach(host, port, tls, name)
        return await self._answer

    async def _reach(self, host: str, port: int, tls: ssl.SSLContext | None, name: str | None) -> None:
        try:
            await self._loop.create_connection(
                lambda: self, host, port, ssl=tls, server_hostname=(name or host) if tls else None
            )
        except ssl.SSLCertVerificationError as exc:
            raise Unavailable(
                f"the certificate of {host}:{port} is not trusted: {exc.verify_message}",
                hint="check the trusted roots and that the name is in the certificate",
            ) from exc
        except OSError as exc:
            raise Unavailable(f"cannot reach {host}:{port}: {exc}") from exc

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        """Per filter the granted QoS or 0x80; Unavailable when the link ends first."""
        return await self._requested(lambda: self._session.subscribe(filters))

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Return once the server has let go of the filters; Unavailable when the link ends first."""
        await self._requested(lambda: self._session.unsubscribe(filters))

    async def drain(self, seconds: float) -> None:
        """Return when nothing is in flight any more, or after ``seconds``."""
        waiting = self._session.unacknowledged()
        if not waiting:
            return
        alarm = asyncio.ensure_future(self._clock.sleep(seconds))
        everything = asyncio.ensure_future(_all_settled(waiting))
        await asyncio.wait([alarm, everything], return_when=asyncio.FIRST_COMPLETED)
        alarm.cancel()
        everything.cancel()

    def leave(self) -> None:
        """Say good-bye and end the link; ``settled`` waits for the rest."""
        if self.is_open:
            self._session.disconnect()
            self._end("closed here")

    async def close(self) -> None:
        """Say good-bye and wait until the wire is gone and no handler runs."""
        self.leave()
        settled = asyncio.ensure_future(self.settled())
        _, late = await asyncio.wait([settled], timeout=CLOSE_GRACE_S)
        if late:
            self.abort()
            await asyncio.wait(late)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast("Wire", transport)
        if not self.is_open:
            self._wire.abort()
            return
        self._flush()

    def data_received(self, data: bytes) -> None:
        if not self.is_open:
            return
        try:
            for event in self._session.receive(data):
                if self.is_open:
                    self._handle(event)
        except MqttError as exc:
            self._end(str(exc))
        self._flush()

    def _handle(self, event: ClientEvent[Delivery]) -> None:
        match event:
            case Received(publish):
                try:
                    work = self._on_publish(publish)
                except SkerryError as exc:
                    self._end(str(exc))
                    return
                self._take(event, work)
            case Acknowledged(token):
                token.settle()
            case ConnAck():
                if not self._answer.done():
                    self._answer.set_result(event)
            case SubAck(packet_id, codes):
                self._answered(packet_id, codes)
            case UnsubAck(packet_id):
                self._answered(packet_id, ())

    async def _requested(self, send: Callable[[], int]) -> tuple[int, ...]:
        if not self.is_open:
            raise self._lost("it has ended")
        packet_id = send()
        answer: asyncio.Future[tuple[int, ...]] = self._loop.create_future()
        self._requests[packet_id] = answer
        self._soon()
        return await answer

    def _answered(self, packet_id: int, codes: tuple[int, ...]) -> None:
        answer = self._requests.pop(packet_id, None)
        if answer is not None and not answer.done():
            answer.set_result(codes)

    async def _ping(self) -> None:
        while self.is_open:
            await self._clock.sleep(self._connect.keep_alive_s / _CHECKS_PER_KEEP_ALIVE)
            reason = None if self._paused else self._session.tick(self._clock.monotonic())
            if reason is not None:
                self._end(reason, abort=True)
            self._flush()

    def _peer_name(self) -> str:
        return "the server"

    def _ended(self, reason: str) -> None:
        error = self._lost(reason)
        fail(self._answer, error)
        for answer in self._requests.values():
            fail(answer, error)
        self._requests.clear()
        if self._pinging is not None and self._pinging is not asyncio.current_task():
            self._pinging.cancel()
        if not self.closed.done():
            self.closed.set_result(reason)


async def _all_settled(deliveries: Sequence[Delivery]) -> None:
    for delivery in deliveries:
        with contextlib.suppress(SkerryError):
            await delivery


def _refusal(code: int, host: str) -> SkerryError:
    if code in (BAD_CREDENTIALS, NOT_AUTHORIZED):
        return NotAuthenticated(
            f"{host} refused the credentials", hint="check the identity, its key, the clock"
        )
    if code == IDENTIFIER_REJECTED:
        return InvalidInput(f"{host} refused the client id")
    if code == BAD_PROTOCOL_VERSION:
        return Unsupported(f"{host} does not speak MQTT 3.1.1")
    if code == SERVER_UNAVAILABLE:
        return Unavailable(f"{host} is not ready to serve")
    return Unavailable(f"{host} refused the connection with code {code}")

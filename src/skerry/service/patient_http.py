"""uvicorn's HTTP/1.1 protocol with bounds on how slowly and how much a client may say before it is let go.

uvicorn waits for ever for the rest of a header or a body and keeps any number of header bytes: a few idle
sockets would hold a hub's descriptors (slow loris), one endless header its memory.
"""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Patience:
    """Bounds for one connection."""

    # From the first byte of a request, or from the connection, to the end of its headers: a far device on a
    # bad link sends a kilobyte in a second or two.
    header_s: float = 20.0
    # Without a byte of the body while we are ready to read.
    body_stall_s: float = 60.0
    # Our largest are a SAS token (1 KiB) and an etag; browsers bring cookies of other pages of the host.
    header_bytes: int = 64 * 1024


class Phase(enum.Enum):
    HEADERS = "its headers are awaited"
    BODY = "its body is awaited"
    ANSWER = "it waits for our answer"


class PatientHttp(HttpToolsProtocol):
    """One connection; ``patience`` is the class's, as uvicorn makes the instances."""

    patience: ClassVar[Patience] = Patience()
    _phase = Phase.HEADERS
    _header_bytes = 0
    _heard = 0.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._enter(Phase.HEADERS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        if self._phase is Phase.HEADERS:
            # What a request began with came with the end of the one before and is not counted: one read more.
            self._header_bytes += len(data)
        super().data_received(data)
        if self._phase is Phase.HEADERS and self._header_bytes > self.patience.header_bytes:
            self.transport.write(REFUSAL)
            self.transport.close()

    def handle_websocket_upgrade(self) -> None:
        # From here on the WebSocket's own protocol has the connection.
        self._stop_timer()
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        if self._phase is not Phase.HEADERS:
            self._enter(Phase.HEADERS)

    def on_headers_complete(self) -> None:
        self._enter(Phase.BODY)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._enter(Phase.ANSWER)
        super().on_message_complete()

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._stop_timer()
        if phase is Phase.HEADERS:
            self._timer = self.loop.call_later(self.patience.header_s, self._give_up)
        elif phase is Phase.BODY:
            self._heard = self.loop.time()
            self._timer = self.loop.call_later(self.patience.body_stall_s, self._look_at_body)

    def _look_at_body(self) -> None:
        silent_s = self.loop.time() - self._heard
        if self.flow.read_paused:
            # It is we who do not read: whoever takes the body is still busy with what came.
            silent_s = 0.0
        if silent_s >= self.patience.body_stall_s:
            self._give_up()
            return
        self._timer = self.loop.call_later(self.patience.body_stall_s - silent_s, self._look_at_body)

    def _give_up(self) -> None:
        self.transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def patient(patience: Patience) -> type[PatientHttp]:
    """The protocol with these bounds."""
    return type("PatientHttp", (PatientHttp,), {"patience": patience})

"""One end of an MQTT link on asyncio: carries a session's bytes, runs the work that messages cause."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from functools import partial
from typing import Protocol, TypeVar

from skerry.clock import Clock
from skerry.errors import SkerryError, Unavailable

from .outcome import Outcome, settled
from .session import ClientSession, Received, ServerSession

log = logging.getLogger(__name__)

T = TypeVar("T")

# Reading pauses while this much of what the peer published is still being stored, and resumes at half of it.
WORK_MAX = 1000
WORK_BYTES_MAX = 4 * 1024 * 1024
# A peer that does not take the rest of its bytes when we close gets cut off after this.
CLOSE_PATIENCE_S = 5.0

# A message on its way to the peer.
Delivery = Outcome


class Wire(Protocol):
    """Carries bytes to the peer: an asyncio transport, or a WebSocket dressed as one."""

    def write(self, data: bytes) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def get_extra_info(self, name: str) -> object: ...


class Stream(asyncio.Protocol):
    """The part that server and client links share; bytes are written once per turn of the loop."""

    def __init__(
        self, session: ServerSession[Delivery] | ClientSession[Delivery], clock: Clock, write_buffer_max: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._state = session
        self._clock = clock
        self._write_buffer_max = write_buffer_max
        self._wire: Wire | None = None
        self._flush_due = False
        self._paused = False
        self._work: set[asyncio.Future[None]] = set()
        # What the peer published and others have to settle, by how it ends: many share one outcome.
        self._awaited: dict[Outcome, list[Received]] = {}
        self._awaited_count = 0
        self._work_bytes = 0
        self._ended_at: float | None = None
        self.gone: asyncio.Future[None] = self._loop.create_future()

    @property
    def is_open(self) -> bool:
        """Whether the link has not ended yet, from our side or the peer's."""
        return self._ended_at is None

    @property
    def in_flight(self) -> int:
        """QoS 1 messages published here that have no PUBACK yet."""
        return self._state.in_flight

    def publish(self, topic: str | bytes, payload: bytes, qos: int = 0, dup: bool = False) -> Delivery:
        """Send a message; settled on PUBACK (QoS 1) or once written (QoS 0).

        Its error is Unavailable when the link ends first. Throttled (at once) when too many wait.
        """
        if self._ended_at is not None:
            return settled(self._lost("it has ended"))
        delivery = Outcome()
        if qos:
            self._state.publish(topic, payload, delivery, dup=dup)
        else:
            self._state.publish_once(topic, payload)
            delivery.settle()
        if not self._flush_due:
            self._soon()
        return delivery

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"connection lost: {exc}" if exc else "connection lost")
        self._wire = None
        if not self.gone.done():
            self.gone.set_result(None)

    async def settled(self) -> None:
        """Wait until the wire is gone and no work of this link runs any more."""
        await asyncio.wait([self.gone, *self._work])

    def abort(self) -> None:
        """End the link without the last bytes, and cancel what still runs for it."""
        self._end("cut off", abort=True)
        if self._wire is not None:
            self._wire.abort()
        for task in list(self._work):
            task.cancel()

    def _peer_name(self) -> str:
        return "the peer"

    def _lost(self, reason: str) -> Unavailable:
        return Unavailable(
            f"the link to {self._peer_name()} ended: {reason}", hint="send again once it is back"
        )

    def _soon(self) -> None:
        """Write what is to be written at the end of this turn of the loop."""
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        data = self._state.outgoing()
        if not data or self._wire is None:
            return
        self._wire.write(data)
        if self._wire.get_write_buffer_size() > self._write_buffer_max and self._ended_at is None:
            self._end("it does not read what it is sent", abort=True)

    def _take(self, received: Received, work: Awaitable[None] | None) -> None:
        """Acknowledge a message once ``work`` is done; too much of it pauses reading."""
        if work is None:
            self._finish(received)
            return
        if type(work) is Outcome:
            if work.settled and work.error is None:
                self._finish(received)
                return
            group = self._awaited.get(work)
            if group is None:
                group = self._awaited[work] = []
                group.append(received)
                work.then(self._settled)
            else:
                group.append(received)
            self._awaited_count += 1
        else:
            task = asyncio.ensure_future(work)
            self._work.add(task)
            task.add_done_callback(partial(self._worked, received))
        self._work_bytes += len(received.publish.payload)
        if not self._paused and (self._work_count >= WORK_MAX or self._work_bytes >= WORK_BYTES_MAX):
            self._pause()

    def _worked(self, received: Received, task: asyncio.Future[None]) -> None:
        self._work.discard(task)
        self._work_bytes -= len(received.publish.payload)
        if self._succeeded(task):
            self._finish(received)
        self._resume_if_little()

    def _settled(self, outcome: Outcome) -> None:
        """What shares an outcome is taken care of, or failed; the peer hears at once."""
        group = self._awaited.pop(outcome)
        self._awaited_count -= len(group)
        for received in group:
            self._work_bytes -= len(received.publish.payload)
        if outcome.error is not None:
            self._fail(outcome.error)
        elif self._ended_at is None:
            for _, receipt in group:
                if receipt is not None:
                    self._state.finish(receipt)
            self._flush()
        self._resume_if_little()

    @property
    def _work_count(self) -> int:
        return len(self._work) + self._awaited_count

    def _resume_if_little(self) -> None:
        if self._paused and self._work_count <= WORK_MAX // 2 and self._work_bytes <= WORK_BYTES_MAX // 2:
            self._resume()

    def _finish(self, received: Received) -> None:
        if received.receipt is not None and self._ended_at is None:
            self._state.finish(received.receipt)
            self._soon()

    def _succeeded(self, task: asyncio.Future[None]) -> bool:
        """Whether work came to a good end; if not, the link ends and the peer will send it again."""
        if task.cancelled():
            self._end("stopping")
            return False
        error = task.exception()
        if error is None:
            return True
        self._fail(error)
        return False

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, SkerryError):
            self._end(str(error))
        elif isinstance(error, asyncio.CancelledError):
            self._end("stopping")
        else:
            log.error("a message from %s failed", self._peer_name(), exc_info=error)
            self._end("internal error")

    def _pause(self) -> None:
        self._paused = True
        if self._wire is not None and self._ended_at is None:
            self._wire.pause_reading()

    def _resume(self) -> None:
        self._paused = False
        if self._wire is not None and self._ended_at is None:
            self._wire.resume_reading()

    def _end(self, reason: str, *, abort: bool = False) -> None:
        """End the link from our side, once: the last bytes go out, what is undelivered fails."""
        if self._ended_at is not None:
            return
        self._ended_at = self._clock.monotonic()
        lost = self._state.close()
        self._flush()
        if self._wire is not None:
            if abort:
                self._wire.abort()
            else:
                self._wire.close()
        for delivery in lost:
            delivery.settle(self._lost(reason))
        self._ended(reason)

    def _ended(self, reason: str) -> None:
        """Told once, when the link has ended for whatever reason."""

    def stuck(self, now: float) -> bool:
        """Whether the link has ended long ago and the peer still does not take its last bytes."""
        return (
            self._ended_at is not None and self._wire is not None and now - self._ended_at >= CLOSE_PATIENCE_S
        )


def fail(future: asyncio.Future[T], error: SkerryError) -> None:
    """Give a future its error, unless it is done; nobody has to look at it."""
    if not future.done():
        future.set_exception(error)
        future.exception()

"""Delivers the events of one sink: reads, sends, waits and tries again, gives up."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from skerry.clock import Clock, iso
from skerry.contract.cloud_event import BATCH_TYPE, cloud_event
from skerry.contract.sink import Sink
from skerry.hub import sink_rows
from skerry.hub.event_json import body_json
from skerry.hub.telemetry import Event, Filter, Telemetry
from skerry.service.lifecycle import Backoff
from skerry.service.tls import client_context
from skerry.store.storage import Storage

log = logging.getLogger(__name__)

TIMEOUT_S = 30.0
# Ten attempts, the default, are spread over about four minutes.
BACKOFF = Backoff(first_s=1.0, longest_s=60.0)
# A receiver may ask for more time, within reason.
RETRY_AFTER_MAX_S = 300.0
# One request; a batch with more is split, so that a receiver's own bound is rarely met.
REQUEST_BYTES_MAX = 1024 * 1024
# Answers that may be different next time although they are the client's fault (RFC 9110).
WORTH_ANOTHER_TRY = frozenset({401, 403, 404, 408, 425, 429})
WAIT_S = 60.0
REASON_CHARS_MAX = 300


@dataclass(frozen=True, slots=True)
class Refusal:
    """An attempt that failed: whether another could help, and when the receiver would like it."""

    reason: str
    final: bool = False
    after_s: float = 0.0


class SinkWorker:
    """``run`` ends when its sink is gone."""

    def __init__(
        self, database: Storage, telemetry: Telemetry, hub_name: str, name: str, clock: Clock
    ) -> None:
        self._database = database
        self._telemetry = telemetry
        self._hub_name = hub_name
        self._name = name
        self._clock = clock

    async def run(self) -> None:
        """Deliver what is there and what comes, until the sink is deleted."""
        stored = await self._database.read(lambda connection: sink_rows.find(connection, self._name))
        if stored is None:
            return
        sink, position = stored.sink, stored.position
        only = Filter(device=sink.device, source=sink.source)
        verify = client_context(sink.ca, system_roots=sink.ca is None)
        async with httpx.AsyncClient(verify=verify, timeout=TIMEOUT_S, trust_env=False) as http:
            while True:
                events = await self._telemetry.read_or_wait(position, sink.batch, only, WAIT_S)
                if events:
                    await self._deliver(http, sink, events)
                    position = events[-1].sequence

    async def _deliver(self, http: httpx.AsyncClient, sink: Sink, events: Sequence[Event]) -> None:
        """Return when every event is delivered or given up, and that is on disk."""
        texts = [self._text(event) for event in events]
        if len(events) > 1 and sum(map(len, texts)) > REQUEST_BYTES_MAX:
            return await self._halves(http, sink, events)
        body = f"[{','.join(texts)}]".encode()
        attempt = 0
        while True:
            attempt += 1
            refusal = await self._send(http, sink, body)
            if refusal is None:
                return await self._advance(sink, events)
            if refusal.final and len(events) > 1:
                # One of them is the trouble: the others get through.
                return await self._halves(http, sink, events)
            if refusal.final or attempt >= sink.attempts:
                return await self._give_up(sink, events, texts, attempt, refusal.reason)
            log.info("sink %s: attempt %d failed: %s", sink.name, attempt, refusal.reason)
            await self._note(sink, refusal.reason)
            await self._clock.sleep(max(BACKOFF.delay(attempt), refusal.after_s))

    async def _advance(self, sink: Sink, events: Sequence[Event]) -> None:
        last, count = events[-1].sequence, len(events)
        await self._database.write(lambda c: sink_rows.advance(c, sink.name, last, count))

    async def _note(self, sink: Sink, reason: str) -> None:
        await self._database.write(lambda c: sink_rows.failed(c, sink.name, reason))

    async def _halves(self, http: httpx.AsyncClient, sink: Sink, events: Sequence[Event]) -> None:
        middle = len(events) // 2
        await self._deliver(http, sink, events[:middle])
        await self._deliver(http, sink, events[middle:])

    async def _give_up(
        self, sink: Sink, events: Sequence[Event], texts: Sequence[str], attempts: int, reason: str
    ) -> None:
        letters = [(event.sequence, text) for event, text in zip(events, texts, strict=True)]
        now = iso(self._clock.now())
        await self._database.write(lambda c: sink_rows.give_up(c, sink.name, letters, attempts, reason, now))
        log.warning(
            "sink %s: %d events given up after %d attempts: %s", sink.name, len(events), attempts, reason
        )

    async def _send(self, http: httpx.AsyncClient, sink: Sink, body: bytes) -> Refusal | None:
        try:
            answer = await http.post(
                sink.url, content=body, headers={**sink.headers, "content-type": BATCH_TYPE}
            )
        except httpx.HTTPError as error:
            return Refusal(f"{type(error).__name__}: {error}"[:REASON_CHARS_MAX])
        if answer.is_success:
            return None
        status = answer.status_code
        final = 300 <= status < 500 and status not in WORTH_ANOTHER_TRY
        return Refusal(f"the receiver answered {status}", final, _retry_after(answer))

    def _text(self, event: Event) -> str:
        data = {
            "properties": dict(event.message.properties),
            "systemProperties": dict(event.message.system),
            **body_json(event.message),
        }
        said = cloud_event(event.sequence, event.enqueued, event.sender, data, self._hub_name)
        # ASCII: a device may send half a surrogate pair, which UTF-8 cannot carry.
        return json.dumps(said, separators=(",", ":"))


def _retry_after(answer: httpx.Response) -> float:
    text = answer.headers.get("retry-after", "")
    return min(float(text), RETRY_AFTER_MAX_S) if text.isascii() and text.isdigit() else 0.0

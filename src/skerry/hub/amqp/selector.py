"""Where an Event Hubs reader wants to begin, from its selector filter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from skerry.amqp.types import Value
from skerry.clock import iso
from skerry.errors import InvalidInput
from skerry.hub.telemetry import Telemetry

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FILTER = "apache.org:selector-filter:string"
_EXPRESSION = re.compile(
    r"\s*amqp\.annotation\.x-opt-(offset|sequence-number|enqueued-time(?:utc)?)\s*(>=?)\s*'([^']{1,40})'\s*"
)
# Offsets that are no number: before everything, after everything.
EARLIEST, LATEST = "-1", "@latest"
# Event Hubs' clients count in milliseconds; later than any year that datetime knows.
_MILLISECONDS_MAX = 253_402_300_798_000


@dataclass(frozen=True, slots=True)
class Position:
    """``by`` says what ``value`` is: a place in the log, a time in ms, or nothing (the end)."""

    by: Literal["sequence", "time", "latest"]
    value: int = 0
    inclusive: bool = False

    async def resolve(self, telemetry: Telemetry) -> int:
        """The sequence number after which to read."""
        match self.by:
            case "latest":
                return await telemetry.newest()
            case "sequence":
                return max(0, self.value - self.inclusive)
            case "time":
                # Clients know times to the millisecond, we to the microsecond: "after" means the next one.
                first = self.value if self.inclusive else self.value + 1
                return await telemetry.before_time(iso(EPOCH + timedelta(milliseconds=first)))


def parse_selector(filters: dict[str, Value]) -> Position:
    """The position a link's filters ask for, the beginning if none; InvalidInput if it is not clear."""
    text = filters.get(FILTER)
    if text is None:
        return Position("sequence")
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    found = _EXPRESSION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise InvalidInput(
            "the selector is not understood", hint="compare x-opt-offset, -sequence-number or -enqueued-time"
        )
    name, comparison, value = found.groups()
    if value == LATEST:
        return Position("latest")
    if value == EARLIEST:
        return Position("sequence")
    if not (value.isascii() and value.isdigit()):
        raise InvalidInput(f"{value!r} is no position", field=FILTER)
    if name.startswith("enqueued-time"):
        return Position("time", min(int(value), _MILLISECONDS_MAX), comparison == ">=")
    return Position("sequence", min(int(value), 2**62), comparison == ">=")

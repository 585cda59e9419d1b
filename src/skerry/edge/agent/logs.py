"""Module logs as the direct methods ask for them: what modules, lines and form (contract.md §6.8)."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from skerry.clock import Clock, iso
from skerry.edge.engine.port import Engine, LogLine
from skerry.errors import InvalidInput

# Without a tail a chatty module's whole log would be read for an answer that is then refused.
LINES_MAX = 20_000
# A line whose level nobody gave is informational (RFC 5424 section 6.2.1).
LEVEL_DEFAULT = 6
_SPAN = re.compile(r"\s*(\d+)\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)\s*", re.IGNORECASE)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LEVEL = re.compile(r"^<(\d)>\s?")


@dataclass(frozen=True)
class LogFilter:
    """Which lines; times in unix seconds."""

    tail: int | None = None
    since: float | None = None
    until: float | None = None
    level: int | None = None
    regex: re.Pattern[str] | None = None
    timestamps: bool = False

    @classmethod
    def parse(cls, document: Any, clock: Clock) -> LogFilter:
        """InvalidInput with the path of what makes no sense."""
        if not isinstance(document, dict):
            raise InvalidInput("filter is an object", path="items.filter")
        tail, level = document.get("tail"), document.get("loglevel")
        if tail is not None and (not isinstance(tail, int) or isinstance(tail, bool) or tail < 0):
            raise InvalidInput("tail is a number of lines", path="items.filter.tail")
        if level is not None and (not isinstance(level, int) or not 0 <= level <= 7):
            raise InvalidInput("loglevel is a number from 0 to 7", path="items.filter.loglevel")
        return cls(
            tail=tail,
            since=moment(document.get("since"), clock, "items.filter.since"),
            until=moment(document.get("until"), clock, "items.filter.until"),
            level=level,
            regex=expression(document["regex"], "items.filter.regex") if document.get("regex") else None,
            timestamps=bool(document.get("includeTimestamp")),
        )

    def keeps(self, line: LogLine) -> bool:
        """By its content; tail and times are the engine's."""
        text = line.text.decode(errors="replace")
        return (self.regex is None or self.regex.search(text) is not None) and (
            self.level is None or log_level(text) == self.level
        )


@dataclass(frozen=True)
class LogRequest:
    """The payload of GetModuleLogs and UploadModuleLogs: patterns of module names with their filters."""

    items: Sequence[tuple[re.Pattern[str], LogFilter]]
    as_json: bool
    zipped: bool

    @classmethod
    def parse(cls, payload: Any, clock: Clock) -> LogRequest:
        """InvalidInput with the path of what makes no sense."""
        items = payload.get("items") if isinstance(payload, dict) else None
        if isinstance(items, dict):
            items = [items]
        if not isinstance(items, list) or not items:
            raise InvalidInput("items: [{id, filter}] is missing", path="items")
        parsed = []
        for item in items:
            pattern = item.get("id") if isinstance(item, dict) else None
            if not isinstance(pattern, str):
                raise InvalidInput("an item needs an id", path="items.id")
            filters = LogFilter.parse(item.get("filter") or {}, clock)
            parsed.append((expression(pattern, "items.id"), filters))
        form, encoding = (
            _one_of(payload, "contentType", ("text", "json")),
            _one_of(payload, "encoding", ("none", "gzip")),
        )
        return cls(parsed, form == "json", encoding == "gzip")

    def matching(self, modules: Sequence[str]) -> list[tuple[str, LogFilter]]:
        """Which of ``modules``; one that several items name comes once, with the first filter."""
        found: dict[str, LogFilter] = {}
        for pattern, filters in self.items:
            for name in modules:
                if pattern.fullmatch(name):
                    found.setdefault(name, filters)
        return sorted(found.items())


async def read(engine: Engine, module: str, filters: LogFilter) -> list[LogLine]:
    """The lines that ``filters`` keep, oldest first. NotFound."""
    # A filter by content applies before the tail is taken, so it cannot be left to the engine.
    by_content = filters.regex is not None or filters.level is not None
    tail = LINES_MAX if by_content or filters.tail is None else filters.tail
    found = [
        line
        async for line in engine.lines(module, tail=tail, since=filters.since, until=filters.until)
        if filters.keeps(line)
    ]
    return found if filters.tail is None else found[len(found) - min(filters.tail, len(found)) :]


def rendered(
    lines: Sequence[LogLine], request: LogRequest, filters: LogFilter, *, hub: str, device: str, module: str
) -> Any:
    """Text, or Microsoft's list of objects."""
    if not request.as_json:
        return "".join(f"{_prefix(line, filters)}{line.text.decode(errors='replace')}\n" for line in lines)
    return [
        {
            "iotHub": hub,
            "device": device,
            "id": module,
            "stream": line.stream,
            "loglevel": log_level(line.text.decode(errors="replace")),
            "text": _LEVEL.sub("", line.text.decode(errors="replace")),
            "timestamp": None if line.at is None else iso(datetime.fromtimestamp(line.at, UTC)),
        }
        for line in lines
    ]


def packed(content: Any, *, zipped: bool) -> dict[str, Any]:
    """``payload``, or ``payloadBytes`` with the gzipped content in base64."""
    if not zipped:
        return {"payload": content}
    return {"payloadBytes": base64.b64encode(gzip.compress(as_bytes(content))).decode()}


def as_bytes(content: Any) -> bytes:
    """The content as a file has it."""
    return (content if isinstance(content, str) else json.dumps(content)).encode()


def moment(value: object, clock: Clock, path: str = "since") -> float | None:
    """Unix seconds from ``"10m"``, ``"1 day"``, an ISO time or unix seconds; None for None. InvalidInput."""
    if value is None:
        return None
    text = str(value)
    if text.replace(".", "", 1).isdigit():
        return float(text)
    if (span := _SPAN.fullmatch(text)) is not None:
        seconds = int(span[1]) * _UNIT_S[span[2][0].lower()]
        return (clock.now() - timedelta(seconds=seconds)).timestamp()
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            f"{text!r} is no time", hint='use "10m", "1 day", an ISO time', path=path
        ) from error
    return at.replace(tzinfo=at.tzinfo or UTC).timestamp()


def expression(pattern: object, path: str) -> re.Pattern[str]:
    """A regular expression without regard to case. InvalidInput."""
    try:
        return re.compile(str(pattern), re.IGNORECASE)
    except re.error as error:
        raise InvalidInput(f"{pattern!r} is no regular expression: {error}", path=path) from error


def log_level(line: str) -> int:
    """The level of a line that starts with ``<n>``, 6 (informational) otherwise (syslog's numbers)."""
    found = _LEVEL.match(line)
    return int(found[1]) if found else LEVEL_DEFAULT


def _prefix(line: LogLine, filters: LogFilter) -> str:
    if not filters.timestamps or line.at is None:
        return ""
    return iso(datetime.fromtimestamp(line.at, UTC)) + " "


def _one_of(payload: Any, name: str, allowed: tuple[str, str]) -> str:
    value = str(payload.get(name) or allowed[0]).lower()
    if value not in allowed:
        raise InvalidInput(f"{name} is {allowed[0]} or {allowed[1]}, not {value!r}", path=name)
    return value

"""The direct methods of ``$edgeAgent`` (contract.md §6.8)."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from skerry.clock import Clock
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.edge.agent.agent import Agent
from skerry.errors import InvalidInput, NotFound, SkerryError

# Microsoft's agent answers 400 above this; a method's answer has to fit into 128 KB.
LOGS_BYTES_MAX = 127_000
# Without a tail a chatty module's whole log would be read for an answer that is then refused.
LINES_MAX = 20_000
_SPAN = re.compile(r"\s*(\d+)\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)\s*", re.IGNORECASE)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LEVEL = re.compile(r"^<(\d)>")


class AgentMethods:
    """Answers what is asked of the agent; never raises for what a caller got wrong."""

    def __init__(self, agent: Agent, clock: Clock, *, hub: str, device: str) -> None:
        self._agent = agent
        self._clock = clock
        self._hub = hub
        self._device = device
        self._methods: dict[str, tuple[str, Callable[[Any], Awaitable[MethodResponse]]]] = {
            name.lower(): (name, method)
            for name, method in {
                "ping": self._ping,
                "RestartModule": self._restart_module,
                "GetModuleLogs": self._module_logs,
            }.items()
        }

    async def invoke(self, request: MethodRequest) -> MethodResponse:
        """The method's answer; 400 for a bad request or an unknown name, 500 when it did not work."""
        if (found := self._methods.get(request.name.lower())) is None:
            names = ", ".join(name for name, _ in self._methods.values())
            return _message(400, f"there is no method {request.name}; there are: {names}")
        try:
            return await found[1](request.payload)
        except (InvalidInput, NotFound) as error:
            return _message(400, str(error))
        except SkerryError as error:
            return _message(500, str(error))

    async def _ping(self, payload: Any) -> MethodResponse:
        return MethodResponse(200, None)

    async def _restart_module(self, payload: Any) -> MethodResponse:
        module = payload.get("id") if isinstance(payload, dict) else None
        if not isinstance(module, str):
            raise InvalidInput('RestartModule needs {"schemaVersion": "1.0", "id": "<module>"}', path="id")
        await self._agent.restart(module)
        return MethodResponse(200, None)

    async def _module_logs(self, payload: Any) -> MethodResponse:
        items = payload.get("items") if isinstance(payload, dict) else None
        if isinstance(items, dict):
            items = [items]
        if not isinstance(items, list) or not items:
            raise InvalidInput("GetModuleLogs needs items: [{id, filter}]", path="items")
        as_json = str(payload.get("contentType", "text")).lower() == "json"
        zipped = str(payload.get("encoding", "none")).lower() == "gzip"
        answers = []
        for item in items:
            for module in self._matching(item):
                lines = await self._lines(module, item.get("filter") or {})
                answers.append(self._answer(module, lines, as_json, zipped))
        if (size := len(json.dumps(answers))) > LOGS_BYTES_MAX:
            raise InvalidInput(
                f"the logs are {size} bytes, more than {LOGS_BYTES_MAX}", hint="use tail, since or gzip"
            )
        return MethodResponse(200, answers)

    def _matching(self, item: Any) -> list[str]:
        pattern = item.get("id") if isinstance(item, dict) else None
        if not isinstance(pattern, str):
            raise InvalidInput("an item of GetModuleLogs needs an id", path="items.id")
        expression = _expression(pattern, "items.id")
        return [name for name in sorted(self._agent.modules()) if expression.fullmatch(name)]

    async def _lines(self, module: str, wanted: Any) -> list[str]:
        if not isinstance(wanted, dict):
            raise InvalidInput("filter is an object", path="items.filter")
        tail = wanted.get("tail")
        if tail is not None and (not isinstance(tail, int) or tail < 0):
            raise InvalidInput("tail is a number of lines", path="items.filter.tail")
        level = wanted.get("loglevel")
        expression = _expression(wanted["regex"], "items.filter.regex") if wanted.get("regex") else None
        since = moment(wanted.get("since"), self._clock)
        lines: list[str] = []
        # A filter by content applies before the tail is taken, so it cannot be left to the engine.
        engine_tail = tail if expression is None and level is None else LINES_MAX
        async for raw in self._agent.engine.logs(module, tail=engine_tail or LINES_MAX, since=since):
            line = raw.decode(errors="replace")
            if expression is not None and not expression.search(line):
                continue
            if level is not None and _log_level(line) != level:
                continue
            lines.append(line)
        return lines if tail is None else lines[len(lines) - min(tail, len(lines)) :]

    def _answer(self, module: str, lines: list[str], as_json: bool, zipped: bool) -> dict[str, Any]:
        content: Any = "".join(line + "\n" for line in lines)
        if as_json:
            content = [
                {
                    "iotHub": self._hub,
                    "device": self._device,
                    "id": module,
                    "stream": 1,
                    "loglevel": _log_level(line),
                    "text": line,
                    "timestamp": None,
                }
                for line in lines
            ]
        if not zipped:
            return {"id": module, "payload": content}
        text = json.dumps(content) if as_json else content
        return {"id": module, "payloadBytes": base64.b64encode(gzip.compress(text.encode())).decode()}


def moment(value: object, clock: Clock) -> float | None:
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
            f"{text!r} is no time", hint='use "10m", "1 day", an ISO time', path="since"
        ) from error
    return at.replace(tzinfo=at.tzinfo or UTC).timestamp()


def _expression(pattern: object, path: str) -> re.Pattern[str]:
    try:
        return re.compile(str(pattern), re.IGNORECASE)
    except re.error as error:
        raise InvalidInput(f"{pattern!r} is no regular expression: {error}", path=path) from error


def _log_level(line: str) -> int:
    """The level of a line that starts with ``<n>``, 6 (informational) otherwise (syslog's numbers)."""
    found = _LEVEL.match(line)
    return int(found[1]) if found else 6


def _message(status: int, text: str) -> MethodResponse:
    return MethodResponse(status, {"message": text})

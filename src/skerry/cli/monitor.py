"""``skerry hub monitor``: follow events, with the habits of ``az iot hub monitor-events``."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from skerry.cli import output
from skerry.cli.login import hub_options, service_client
from skerry.clock import SystemClock, iso
from skerry.errors import Unavailable
from skerry.hub.client import ServiceClient

# A hub that restarts is back within seconds; a reader goes on from the last event it saw.
RECONNECT_S = 1.0
# The group that has no checkpoint.
DEFAULT_GROUP = "$Default"
# A group's checkpoint is moved after so many events, and at the end.
COMMIT_EVERY = 50
KINDS = ("sys", "app", "anno", "all")


@click.command()
@hub_options
@click.option("--device", "-d", "--device-id", help="Only this device.")
@click.option("--module", "-m", "--module-id", help="Only this module.")
@click.option("--source", help="Only this kind: Telemetry, twinChangeEvents, deviceLifecycleEvents …")
@click.option("--from", "start", help="earliest, latest (the default), a sequence or an ISO time.")
@click.option("--enqueued-time", "--et", type=int, help="Begin at this time, milliseconds since 1970.")
@click.option(
    "--consumer-group",
    "--cg",
    default=DEFAULT_GROUP,
    show_default=True,
    help="Go on after what this group has read, and move its checkpoint.",
)
@click.option(
    "--properties",
    "-p",
    multiple=True,
    type=click.Choice(KINDS),
    help="Print as az does, with these: system, application, annotations.",
)
@click.option("--content-type", "--ct", help="Read every body as this, whatever it says: application/json.")
@click.option("--timeout", "-t", type=float, default=0, help="End after so many seconds without an event.")
@click.option("--count", "--message-count", "--mc", type=int, help="Stop after so many events.")
def monitor(
    hub_dir: Path | None,
    hub_port: int,
    hub_ca: Path | None,
    device: str | None,
    module: str | None,
    source: str | None,
    start: str | None,
    enqueued_time: int | None,
    consumer_group: str,
    properties: tuple[str, ...],
    content_type: str | None,
    timeout: float,
    count: int | None,
) -> None:
    """Follow what devices send, one JSON document per line."""
    if enqueued_time is not None:
        start = iso(datetime.fromtimestamp(enqueued_time / 1000, UTC))
    group = None if consumer_group == DEFAULT_GROUP else consumer_group
    only = {"device": device, "module": module, "source": source, "group": group}

    async def follow() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            mark = Mark(client, group)
            position = start if start or group else "latest"
            seen = 0
            async with aclosing(_events(client, position, only, timeout)) as events:
                async for event in events:
                    output.say(json.dumps(shown(event, properties, content_type), ensure_ascii=False))
                    seen += 1
                    await mark.passed(event["sequence"], last=seen == count)
                    if seen == count:
                        return
            await mark.save()

    asyncio.run(follow())


class Mark:
    """The checkpoint of a group, saved now and then and at the end."""

    def __init__(self, client: ServiceClient, group: str | None) -> None:
        self._client = client
        self._group = group
        self._position: int | None = None
        self._unsaved = 0

    async def passed(self, sequence: int, *, last: bool) -> None:
        """This event was shown."""
        self._position, self._unsaved = sequence, self._unsaved + 1
        if last or self._unsaved >= COMMIT_EVERY:
            await self.save()

    async def save(self) -> None:
        """Have the hub remember it."""
        if self._group is not None and self._position is not None and self._unsaved:
            await self._client.commit(self._group, self._position)
            self._unsaved = 0


async def _events(
    client: ServiceClient, position: str | None, only: dict[str, str | None], timeout_s: float
) -> AsyncGenerator[dict[str, Any], None]:
    """Events over broken connections; ends after ``timeout_s`` of quiet, if that is not 0."""
    seen = False
    while True:
        events = client.events(position, **only)
        try:
            while True:
                try:
                    event = await asyncio.wait_for(anext(events), timeout_s or None)
                except (TimeoutError, StopAsyncIteration):
                    return
                seen, position = True, str(event["sequence"])
                yield event
        except Unavailable as error:
            if not seen:
                raise
            output.note(f"skerry: {error.what}; going on from {position}")
            await SystemClock().sleep(RECONNECT_S)
        finally:
            await events.aclose()


def shown(event: dict[str, Any], kinds: Collection[str], content_type: str | None) -> dict[str, Any]:
    """The event as it is, or as az prints it when ``kinds`` of properties are asked for."""
    body = _body(event, content_type)
    if not kinds:
        return {**{name: value for name, value in event.items() if name != "bodyEncoding"}, **body}
    system = event["systemProperties"]
    found: dict[str, Any] = {}
    if {"sys", "all"} & set(kinds):
        named = {"content_type": "contentType", "content_encoding": "contentEncoding"}
        named |= {"message_id": "messageId", "correlation_id": "correlationId", "user_id": "userId"}
        found["system"] = {name: system[ours] for name, ours in named.items() if ours in system}
    if {"app", "all"} & set(kinds):
        found["application"] = event["properties"]
    if {"anno", "all"} & set(kinds):
        found["annotations"] = {
            "iothub-connection-device-id": event["deviceId"],
            "iothub-message-source": system.get("iothub-message-source", "Telemetry"),
            "iothub-enqueuedtime": event["enqueuedTime"],
            "x-opt-sequence-number": event["sequence"],
            "x-opt-offset": str(event["sequence"]),
        }
    origin = {
        "origin": event["deviceId"],
        "module": event["moduleId"] or "",
        "interface": "",
        "component": "",
    }
    return {"event": {**origin, **({"properties": found} if found else {}), "payload": body["body"]}}


def _body(event: dict[str, Any], content_type: str | None) -> dict[str, Any]:
    encoding = event.get("bodyEncoding")
    if encoding is None or content_type is None or "json" not in content_type.lower():
        return {"body": event["body"], **({} if encoding is None else {"bodyEncoding": encoding})}
    try:
        return {"body": json.loads(base64.b64decode(event["body"]))}
    except ValueError:
        # It is not what it was said to be: shown as it came.
        return {"body": event["body"], "bodyEncoding": encoding}

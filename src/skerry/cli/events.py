"""``skerry events``: export what arrived, consumer groups, sinks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from skerry.cli import output
from skerry.cli.event_export import writing
from skerry.cli.login import hub_options, secret_from, service_client
from skerry.errors import InvalidInput
from skerry.hub.client import ServiceClient

Json = dict[str, Any]
PAGE = 200

as_json = click.option("--output", "form", type=click.Choice(["table", "json"]), default="table")


@click.group()
def events() -> None:
    """Export events, keep consumer groups, send events on to web addresses."""


@events.command()
@hub_options
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--format", "form", type=click.Choice(["parquet", "jsonl"]), default="parquet", show_default=True
)
@click.option("--device", help="Only this device.")
@click.option("--module", help="Only this module.")
@click.option("--source", help="Only this kind: Telemetry, twinChangeEvents …")
@click.option("--from", "start", default="earliest", show_default=True, help="A sequence or an ISO time.")
@click.option("--until", help="An ISO time; what is there now otherwise.")
def export(
    hub_dir: Path | None,
    hub_port: int,
    hub_ca: Path | None,
    file: Path,
    form: str,
    start: str,
    until: str | None,
    **only: str | None,
) -> None:
    """Write stored events into a file."""

    async def copy(client: ServiceClient) -> int:
        count = 0
        with writing(file, form) as write:
            async for page in _pages(client, start, until, only):
                await asyncio.to_thread(write, page)
                count += len(page)
        return count

    output.say(f"{file}: {_ask(hub_dir, hub_port, hub_ca, copy)} events")


@events.command()
@hub_options
@as_json
def groups(hub_dir: Path | None, hub_port: int, hub_ca: Path | None, form: str) -> None:
    """The consumer groups, and how many events each has not read."""
    found = _ask(hub_dir, hub_port, hub_ca, lambda client: client.call("GET", "/events/groups"))
    _show(found, form, ["name", "sequence", "behind", "updated"])


@events.command()
@hub_options
@click.argument("group")
@click.argument("sequence")
def commit(hub_dir: Path | None, hub_port: int, hub_ca: Path | None, group: str, sequence: str) -> None:
    """Say that a consumer group is done with everything up to an event; makes the group.

    SEQUENCE is a number, earliest (nothing is read) or latest (everything is).
    """
    position: int | str = int(sequence) if sequence.isdecimal() else sequence
    made = _ask(hub_dir, hub_port, hub_ca, lambda client: client.commit(group, position))
    output.say(f"{group} is at {made['sequence']}, {made['behind']} behind")


@events.command()
@hub_options
@click.argument("group")
def forget(hub_dir: Path | None, hub_port: int, hub_ca: Path | None, group: str) -> None:
    """Remove a consumer group with its checkpoint."""
    path = f"/events/groups/{quote(group, safe='')}"
    _ask(hub_dir, hub_port, hub_ca, lambda client: client.call("DELETE", path))
    output.say(f"forgot {group}")


@events.group()
def sink() -> None:
    """Web addresses that events go on to, as CloudEvents."""


@sink.command()
@hub_options
@click.argument("name")
@click.option("--url", help="Where to; --url-file if it holds a key.")
@click.option("--url-file", help="A file with the URL (-: standard input).")
@click.option("--header-file", type=click.Path(path_type=Path), help="A file with one NAME: VALUE a line.")
@click.option("--source", help="Only this kind: Telemetry, twinChangeEvents …")
@click.option("--device", help="Only this device.")
@click.option("--max-attempts", type=int, help="After so many, events become dead letters; 10 by default.")
@click.option("--batch", type=int, help="The most events in one request; 50 by default.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="PEM file of the receiver's authority.")
@click.option("--after", type=int, help="Begin after this event, not with the next one; 0: with the first.")
@click.option("--replace", is_flag=True, help="Change a sink that is there; it goes on where it is.")
def create(
    hub_dir: Path | None,
    hub_port: int,
    hub_ca: Path | None,
    name: str,
    url: str | None,
    url_file: str | None,
    header_file: Path | None,
    source: str | None,
    device: str | None,
    max_attempts: int | None,
    batch: int | None,
    ca_file: Path | None,
    after: int | None,
    replace: bool,
) -> None:
    """Send events on to a web address."""
    if (url is None) == (url_file is None):
        raise click.UsageError("give either --url or --url-file")
    document = {
        "url": url or secret_from(str(url_file)),
        "headers": {} if header_file is None else _headers(header_file),
        "source": source,
        "device": device,
        "maxAttempts": max_attempts,
        "batch": batch,
        "ca": None if ca_file is None else _text(ca_file),
    }
    query = {} if after is None else {"after": str(after)}
    _ask(
        hub_dir,
        hub_port,
        hub_ca,
        lambda client: client.call("PUT", _sink(name), document, query=query, etag="*" if replace else None),
    )
    output.say(f"sink {name} {'changed' if replace else 'created'}")


@sink.command(name="list")
@hub_options
@as_json
def list_(hub_dir: Path | None, hub_port: int, hub_ca: Path | None, form: str) -> None:
    """The sinks and how far they are; without keys."""
    found = _ask(hub_dir, hub_port, hub_ca, lambda client: client.call("GET", "/events/sinks"))
    _show(found, form, ["name", "url", "delivered", "behind", "deadLettered", "lastError"])


@sink.command()
@hub_options
@click.argument("name")
def delete(hub_dir: Path | None, hub_port: int, hub_ca: Path | None, name: str) -> None:
    """Remove a sink with its dead letters."""
    _ask(hub_dir, hub_port, hub_ca, lambda client: client.call("DELETE", _sink(name)))
    output.say(f"deleted {name}")


@sink.command()
@hub_options
@click.argument("name")
@click.option("--drop", is_flag=True, help="Remove them from the hub once they are printed.")
def dead_letters(hub_dir: Path | None, hub_port: int, hub_ca: Path | None, name: str, drop: bool) -> None:
    """Print the events that a sink gave up, one JSON document per line."""
    path = f"{_sink(name)}/deadletters"

    async def read(client: ServiceClient) -> None:
        last = 0
        while page := await client.call("GET", path, query={"after": str(last)}):
            for letter in page:
                output.line(letter)
            last = page[-1]["number"]
            if drop:
                await client.call("DELETE", path, query={"through": str(last)})

    _ask(hub_dir, hub_port, hub_ca, read)


async def _pages(
    client: ServiceClient, start: str, until: str | None, only: Json
) -> AsyncIterator[list[Json]]:
    query = {name: value for name, value in only.items() if value is not None}
    end = await client.call("GET", "/events/position", query={"at": until or "latest"})
    after = start
    while True:
        asked = {**query, "after": after, "limit": str(PAGE), "wait": "0"}
        page = await client.call("GET", "/events/page", query=asked)
        found = [event for event in page["events"] if event["sequence"] <= end["sequence"]]
        if found:
            yield found
        if len(found) < PAGE:
            return
        after = str(page["next"])


def _ask(
    hub_dir: Path | None,
    hub_port: int,
    hub_ca: Path | None,
    question: Callable[[ServiceClient], Awaitable[Any]],
) -> Any:
    async def ask() -> Any:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            return await question(client)

    return asyncio.run(ask())


def _show(found: list[Json], form: str, columns: list[str]) -> None:
    if form == "json":
        output.dump(found)
        return
    output.say(output.table(columns, [[one[name] for name in columns] for one in found]))


def _sink(name: str) -> str:
    return f"/events/sinks/{quote(name, safe='')}"


def _headers(path: Path) -> dict[str, str]:
    found = {}
    for line in filter(None, map(str.strip, _text(path).splitlines())):
        name, colon, value = line.partition(":")
        if not colon:
            raise InvalidInput(f"a line of {path} is no header", hint="NAME: VALUE")
        found[name.strip()] = value.strip()
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read {path}", hint="give a text file") from error

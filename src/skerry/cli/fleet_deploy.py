"""``skerry deploy create|list|show|delete|plan``: deployments to every device that matches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from skerry.cli import output
from skerry.cli.documents import read_json_file
from skerry.cli.login import hub_options, service_client
from skerry.contract.configuration import configuration_document, parse_configuration
from skerry.errors import InvalidInput

F = TypeVar("F", bound=Callable[..., Any])
Json = dict[str, Any]

CONTENTS = ("modulesContent", "deviceContent", "moduleContent")


def _deployment_options(command: F) -> F:
    """What a deployment is, in the words of ``az iot edge deployment create``."""
    for option in (
        click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="May be repeated."),
        click.option("--metric", "metrics", multiple=True, metavar="NAME=QUERY", help="May be repeated."),
        click.option("--priority", type=int, default=0, show_default=True, help="The highest match applies."),
        click.option(
            "--target-condition",
            "-t",
            default="",
            help="For example: tags.room='a' and not deviceId='x'. * is every device.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("name")
@click.argument("content", type=click.Path(path_type=Path))
@_deployment_options
@hub_options
def create(
    name: str,
    content: Path,
    target_condition: str,
    priority: int,
    metrics: tuple[str, ...],
    labels: tuple[str, ...],
    hub_dir: Path | None,
    hub_port: int,
    hub_ca: Path | None,
) -> None:
    """Create deployment NAME from CONTENT (a manifest, a layer, deviceContent …) for those that match."""
    document = _document(name, content, target_condition, priority, metrics, labels)

    async def ask() -> Json:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            return await client.put_configuration(name, document)

    made = asyncio.run(ask())
    targeted = made["systemMetrics"]["results"].get("targetedCount", 0)
    output.say(f"deployment {name} is for {targeted} device(s); see it with: skerry deploy show {name}")


@click.command()
@click.argument("name")
@click.argument("content", type=click.Path(path_type=Path))
@_deployment_options
@hub_options
@click.option("--output", "form", type=click.Choice(["table", "json"]), default="table")
def plan(
    name: str,
    content: Path,
    target_condition: str,
    priority: int,
    metrics: tuple[str, ...],
    labels: tuple[str, ...],
    hub_dir: Path | None,
    hub_port: int,
    hub_ca: Path | None,
    form: str,
) -> None:
    """Show which devices ``create`` would change, and how; nothing is changed."""
    document = _document(name, content, target_condition, priority, metrics, labels)

    async def ask() -> list[Json]:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            return await client.plan_configuration(name, document)

    planned = asyncio.run(ask())
    if form == "json":
        output.dump(planned)
    elif not planned:
        output.say("nothing would change")
    else:
        rows = [(_who(entry), _states(entry), _changes(entry)) for entry in planned]
        output.say(output.table(["DEVICE", "DEPLOYMENTS", "CHANGES"], rows))


@click.command("list")
@hub_options
@click.option("--output", "form", type=click.Choice(["table", "json"]), default="table")
def list_deployments(hub_dir: Path | None, hub_port: int, hub_ca: Path | None, form: str) -> None:
    """All deployments with how many devices they target and have reached."""

    async def ask() -> list[Json]:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            return await client.configurations()

    found = asyncio.run(ask())
    if form == "json":
        output.dump(found)
        return
    rows = [
        (c["id"], c["priority"], c["targetCondition"] or "-", *_counts(c))
        for c in sorted(found, key=lambda c: (-c["priority"], c["id"]))
    ]
    output.say(output.table(["NAME", "PRIORITY", "TARGET", "TARGETED", "APPLIED", "OK", "FAILED"], rows))


@click.command()
@click.argument("name")
@hub_options
def show(name: str, hub_dir: Path | None, hub_port: int, hub_ca: Path | None) -> None:
    """Deployment NAME with its content and metrics, as JSON."""

    async def ask() -> Json:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            return await client.configuration(name)

    output.dump(asyncio.run(ask()))


@click.command()
@click.argument("name")
@hub_options
def delete(name: str, hub_dir: Path | None, hub_port: int, hub_ca: Path | None) -> None:
    """Delete deployment NAME; the next lower match applies where it did, else modules stay as they are."""

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            await client.delete_configuration(name)

    asyncio.run(ask())
    output.say(f"deployment {name} is deleted")


COMMANDS: tuple[click.Command, ...] = (create, plan, list_deployments, show, delete)


def _document(
    name: str,
    content: Path,
    target_condition: str,
    priority: int,
    metrics: tuple[str, ...],
    labels: tuple[str, ...],
) -> Json:
    """The checked request, so that mistakes show before anything is sent."""
    given = read_json_file(content)
    inner = given.get("content", given) if isinstance(given, dict) else given
    if not isinstance(inner, dict) or not any(kind in inner for kind in CONTENTS):
        raise InvalidInput(f"{content} holds no {' or '.join(CONTENTS)}", path=str(content))
    document = {
        "content": {kind: inner[kind] for kind in CONTENTS if kind in inner},
        "targetCondition": target_condition,
        "priority": priority,
        "labels": _pairs("--label", labels),
        "metrics": {"queries": _pairs("--metric", metrics)},
    }
    return configuration_document(parse_configuration(document, name))


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    wrong = [text for text, (name, equals, _) in zip(texts, pairs, strict=True) if not (name and equals)]
    if wrong:
        raise InvalidInput(f"{option} {wrong[0]!r} is not NAME=VALUE", field=option, value=wrong[0])
    return {name: value for name, _, value in pairs}


def _counts(configuration: Json) -> tuple[object, ...]:
    results = configuration["systemMetrics"]["results"]
    names = ("targetedCount", "appliedCount", "reportedSuccessfulCount", "reportedFailedCount")
    return tuple(results.get(name, "-") for name in names)


def _who(entry: Json) -> str:
    return "/".join(str(entry[part]) for part in ("deviceId", "moduleId") if part in entry)


def _states(entry: Json) -> str:
    moves = [
        f"{name}: {state['before'] or '-'} → {state['after'] or '-'}"
        for name, state in entry["configurations"].items()
        if state["before"] != state["after"]
    ]
    return ", ".join(moves) or "-"


def _changes(entry: Json) -> str:
    if "problem" in entry:
        return f"none: {entry['problem']}"
    changes: Mapping[str, Any] = entry["changes"]
    return ", ".join(f"{name}{_change(patch)}" for name, patch in changes.items()) or "-"


def _change(patch: Json | None) -> str:
    if patch is None:
        return " removed"
    return f": {', '.join(patch)}" if patch else ""

"""``skerry method``: call a device or a module and get its answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from skerry.cli import output
from skerry.cli.documents import parse_json
from skerry.cli.login import hub_options, service_client
from skerry.contract.method import MethodRequest


@click.group()
def method() -> None:
    """Invoke direct methods."""


@method.command()
@click.argument("device")
@click.argument("name")
@click.option("--module")
@click.option("--payload", default="null", show_default=True, help="JSON for the method.")
@click.option(
    "--timeout", type=float, default=30.0, show_default=True, help="Seconds to wait for the answer."
)
@hub_options
def invoke(
    device: str,
    name: str,
    module: str | None,
    payload: str,
    timeout: float,
    hub_dir: Path | None,
    hub_port: int,
    hub_ca: Path | None,
) -> None:
    """Call method NAME of DEVICE, or of one of its modules; exit code 1 when its status is not 2xx."""
    request = MethodRequest(name, parse_json(payload, "--payload"), response_timeout_s=timeout)

    async def ask() -> bool:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            answer = await client.invoke_method(device, request, module)
        output.dump(answer.to_json())
        return 200 <= answer.status < 300

    if not asyncio.run(ask()):
        raise SystemExit(output.EXIT_FAILED)

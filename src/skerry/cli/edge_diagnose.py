"""``skerry edge why|check|support-bundle|version``: what is wrong with this device, and what to do."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import click

import skerry
from skerry.cli import output
from skerry.cli.edge_directory import directory
from skerry.cli.management import get, get_json
from skerry.clock import SystemClock
from skerry.edge.checks.check import Check, Device, Result
from skerry.edge.checks.suite import CHECKS, run_all
from skerry.edge.daemon.provisioning import read_connection, read_settings
from skerry.edge.settings import EdgeSettings
from skerry.errors import SkerryError
from skerry.service.files import PRIVATE, write_atomic

SIGNS = {"ok": "√", "warning": "‼", "error": "×", "skipped": "-"}
EXIT_CHECK_FAILED = 1


@click.command()
@directory
@click.argument("module")
@click.option("--output", "form", type=click.Choice(["text", "json"]), default="text")
def why(data_dir: Path, module: str, form: str) -> None:
    """Why a module is as it is: from the deployment to its last words, with one suggestion."""
    told = asyncio.run(get_json(data_dir, f"/modules/{module}/why"))
    if form == "json":
        output.dump(told)
        return
    output.say(f"{told['module']} is {told['status']}: {told['because']}  [{told['reason']}]")
    for step in told["chain"]:
        output.say(f"  {step['at'] or '':27} {step['what']}".rstrip())
    if told["log"]:
        output.say("  its last lines:")
        for line in told["log"]:
            output.say(f"    {line}")
    if told["nextAttempt"]:
        output.say(f"next attempt: {told['nextAttempt']}")
    output.say(f"suggestion: {told['suggestion']}")


@click.command()
@directory
@click.option("--output", "form", type=click.Choice(["text", "json"]), default="text")
@click.option("--dont-run", multiple=True, metavar="CHECK", help="Leave this check out; repeat for more.")
@click.option("--verbose", is_flag=True, help="Say what the checks that are well found, too.")
@click.option("--warnings-as-errors", is_flag=True)
def check(
    data_dir: Path, form: str, dont_run: tuple[str, ...], verbose: bool, warnings_as_errors: bool
) -> None:
    """Look for problems of settings, connectivity and runtime. Exit code 1 when there is one."""
    found = asyncio.run(_found(data_dir, dont_run))
    if form == "json":
        output.dump(report(found))
    else:
        _show(found, verbose)
    bad = ("error", "warning") if warnings_as_errors else ("error",)
    if any(result.outcome in bad for _, result in found):
        sys.exit(EXIT_CHECK_FAILED)


@click.command(name="check-list")
def check_list() -> None:
    """The checks there are."""
    output.say(output.table(["NAME", "GROUP", "ABOUT"], [(c.name, c.group, c.about) for c in CHECKS]))


@click.command(name="support-bundle")
@directory
@click.option("-o", "--output", "file", default="support_bundle.zip", show_default=True, help="- for stdout.")
@click.option("--since", default="1 day", show_default=True)
@click.option("--until")
@click.option("--include-edge-runtime-only", "runtime_only", is_flag=True)
@click.option("--quiet", is_flag=True)
def support_bundle(
    data_dir: Path, file: str, since: str, until: str | None, runtime_only: bool, quiet: bool
) -> None:
    """One archive with state, reasons, logs and checks; without secrets."""
    data = asyncio.run(_bundle(data_dir, since, until, runtime_only))
    if file == "-":
        sys.stdout.buffer.write(data)
        return
    write_atomic(Path(file), data, mode=PRIVATE)
    if not quiet:
        output.say(f"written: {file} ({len(data)} bytes)")


@click.command()
def version() -> None:
    """The version of this runtime."""
    output.say(f"skerry {skerry.__version__}")


def report(found: list[tuple[Check, Result]]) -> dict[str, Any]:
    """The checks as scripts read them."""
    return {
        "version": skerry.__version__,
        "checks": {
            check.name: {
                "group": check.group,
                "about": check.about,
                "result": result.outcome,
                "text": result.text,
                **({"hint": result.hint} if result.hint else {}),
            }
            for check, result in found
        },
    }


async def device_of(data_dir: Path) -> Device:
    """All that can be known of the device now; what cannot is None."""
    try:
        settings = read_settings(data_dir)
        connection = read_connection(settings)
    except SkerryError:
        # The checks "config" and "identity" say what is wrong.
        return Device(data_dir, _readable(data_dir), None, None, None, SystemClock())
    try:
        status = await get_json(data_dir, "/status")
        names = sorted(status["modules"])
        modules = {name: await get_json(data_dir, f"/modules/{name}/why") for name in names}
    except SkerryError:
        return Device(data_dir, settings, connection, None, None, SystemClock())
    return Device(data_dir, settings, connection, status, modules, SystemClock())


def _readable(data_dir: Path) -> EdgeSettings | None:
    try:
        return read_settings(data_dir)
    except SkerryError:
        return None


async def _found(data_dir: Path, leave_out: tuple[str, ...]) -> list[tuple[Check, Result]]:
    device = await device_of(data_dir)
    return [one async for one in run_all(device, leave_out)]


def _show(found: list[tuple[Check, Result]], verbose: bool) -> None:
    for group in dict.fromkeys(check.group for check, _ in found):
        output.say(group)
        for check, result in found:
            if check.group != group:
                continue
            output.say(f"{SIGNS[result.outcome]} {check.about} - {result.outcome}")
            if verbose or result.outcome in ("warning", "error"):
                output.say(f"    {result.text}")
            if result.hint:
                output.say(f"    {result.hint}")
    counts = [sum(result.outcome == outcome for _, result in found) for outcome in SIGNS]
    numbers = ", ".join(f"{count} {outcome}" for count, outcome in zip(counts, SIGNS, strict=True) if count)
    output.say(numbers)


async def _bundle(data_dir: Path, since: str, until: str | None, runtime_only: bool) -> bytes:
    query = {"since": since, "edge_runtime_only": str(runtime_only).lower()}
    query |= {} if until is None else {"until": until}
    try:
        data = io.BytesIO((await get(data_dir, "/systeminfo/supportbundle", **query)).content)
    except SkerryError as error:
        output.note(f"the bundle holds the checks only: {error.what}")
        data = io.BytesIO()
    found = await _found(data_dir, ())
    with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("check.json", json.dumps(report(found), indent=2) + "\n")
    return data.getvalue()

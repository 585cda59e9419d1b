"""``skerry enrollment``: who may be provisioned. Verbs follow ``az iot dps enrollment``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from skerry.cli import output
from skerry.cli.documents import parse_json
from skerry.cli.enrollment_certificates import attestation, certificate_options
from skerry.cli.login import hub_options, service_client
from skerry.contract.provisioning import RegistrationId, derived_key
from skerry.errors import InvalidInput

Json = dict[str, Any]

REPROVISION: Mapping[str, Json] = {
    "never": {"updateHubAssignment": False, "migrateDeviceData": False},
    "keep-data": {"updateHubAssignment": True, "migrateDeviceData": True},
    "reset": {"updateHubAssignment": True, "migrateDeviceData": False},
}
group_option = click.option("--group", is_flag=True, help="An enrollment group instead of one device.")


@click.group()
def enrollment() -> None:
    """Enrol devices, so that they find their hub and identity on their own."""


@enrollment.command()
@click.argument("name")
@group_option
@certificate_options
@click.option("--device-id", help="Its id at the hub, if that is not NAME.")
@click.option("--edge-enabled", is_flag=True, help="Devices that run modules.")
@click.option("--tags", help="JSON object: the tags of a new device.")
@click.option("--desired", help="JSON object: the desired properties of a new device.")
@click.option("--reprovision", type=click.Choice(list(REPROVISION)), default="keep-data", show_default=True)
@hub_options
def create(
    name: str,
    group: bool,
    certificate_path: Path | None,
    secondary_certificate_path: Path | None,
    ca_name: str | None,
    device_id: str | None,
    edge_enabled: bool,
    tags: str | None,
    desired: str | None,
    reprovision: str,
    hub_dir: Path | None,
    hub_port: int,
    hub_ca: Path | None,
) -> None:
    """Let the device with registration id NAME be provisioned, by fresh keys or by certificate."""
    if group and device_id:
        raise InvalidInput("the devices of a group have ids of their own", hint="leave out --device-id")
    twin: Json = {} if tags is None else {"tags": parse_json(tags, "--tags")}
    if desired is not None:
        twin["properties"] = {"desired": parse_json(desired, "--desired")}
    document = {
        "deviceId": device_id,
        "attestation": attestation(group, certificate_path, secondary_certificate_path, ca_name),
        "capabilities": {"iotEdge": edge_enabled},
        "initialTwin": twin,
        "reprovisionPolicy": REPROVISION[reprovision],
    }

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            await client.put_enrollment(name, document, group=group)
            service = await client.provisioning()
        output.say(f"{name} created; id scope {service['idScope']}, hub {service['assignedHub']}")

    asyncio.run(ask())


@enrollment.command(name="list")
@click.option("--output", "form", type=click.Choice(["table", "json"]), default="table")
@hub_options
def list_enrollments(form: str, hub_dir: Path | None, hub_port: int, hub_ca: Path | None) -> None:
    """The enrollments, and who asked to be provisioned lately and was refused."""

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            single = [one async for one in client.enrollments()]
            groups = [one async for one in client.enrollments(group=True)]
            service = await client.provisioning()
        if form == "json":
            output.dump([*single, *groups])
            return
        rows = [(one["registrationId"], "device", one["provisioningStatus"], _state(one)) for one in single]
        rows += [(one["enrollmentGroupId"], "group", one["provisioningStatus"], "") for one in groups]
        output.say(output.table(["NAME", "KIND", "STATUS", "REGISTRATION"], rows))
        if service["refused"]:
            refused = [(one["time"], one["registrationId"], one["message"]) for one in service["refused"]]
            output.say()
            output.say(output.table(["REFUSED", "REGISTRATION ID", "WHY"], refused))

    asyncio.run(ask())


@enrollment.command()
@click.argument("name")
@group_option
@click.option("--show-keys", is_flag=True, help="With its keys.")
@click.option("--device-key", metavar="ID", help="Only the key of the device ID of this group.")
@hub_options
def show(
    name: str,
    group: bool,
    show_keys: bool,
    device_key: str | None,
    hub_dir: Path | None,
    hub_port: int,
    hub_ca: Path | None,
) -> None:
    """One enrollment with what became of its devices, as JSON."""

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            if device_key is not None:
                attestation = await client.enrollment_attestation(name, group=True)
                key = attestation["symmetricKey"]["primaryKey"]
                output.say(derived_key(key, RegistrationId(device_key)))
                return
            document = await client.enrollment(name, group=group)
            if show_keys:
                document["attestation"] = await client.enrollment_attestation(name, group=group)
            if group:
                document["registrations"] = [one async for one in client.registrations(name)]
        output.dump(document)

    asyncio.run(ask())


@enrollment.command()
@click.argument("name")
@group_option
@hub_options
def delete(name: str, group: bool, hub_dir: Path | None, hub_port: int, hub_ca: Path | None) -> None:
    """Remove the enrollment NAME; its devices cannot register again, and stay at the hub."""

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            await client.delete_enrollment(name, group=group)

    asyncio.run(ask())
    output.say(f"{name} removed")


def _state(document: Json) -> str:
    state = document.get("registrationState")
    if state is None:
        return "not yet"
    return f"{state['status']}: {state.get('deviceId') or state.get('errorMessage', '')}"

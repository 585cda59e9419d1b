"""Whether the device has an identity, and keeps it to itself."""

from __future__ import annotations

from skerry.edge.checks.check import NOT_PROVISIONED, Check, Device, Result, error, ok
from skerry.edge.daemon.provisioning import read_connection
from skerry.errors import SkerryError


async def run(device: Device) -> Result:
    if device.settings is None:
        return NOT_PROVISIONED
    try:
        connection = read_connection(device.settings)
    except SkerryError as problem:
        return error(problem.what, problem.hint or "run: skerry edge provision")
    return ok(f"{connection.identity.client_id} at {connection.host_name}")


CHECK = Check("identity", "configuration", "identity of the device", run)

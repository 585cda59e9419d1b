"""Whether the hub's name leads to an address."""

from __future__ import annotations

import asyncio
import socket

from skerry.edge.checks.check import NOT_PROVISIONED, Check, Device, Result, error, ok

TIMEOUT_S = 10.0


async def run(device: Device) -> Result:
    if device.known is None:
        return NOT_PROVISIONED
    settings, connection = device.known
    name = settings.hub_address or connection.host_name
    try:
        async with asyncio.timeout(TIMEOUT_S):
            found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as problem:
        return error(
            f"{name} has no address: {problem or 'no answer'}", "check /etc/resolv.conf and the network"
        )
    return ok(f"{name} is {', '.join(sorted({str(entry[4][0]) for entry in found}))}")


CHECK = Check("dns", "connectivity", "name of the hub", run)

"""Whether the hub's MQTT port answers, with a certificate we trust."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from skerry.edge.checks.check import NOT_PROVISIONED, Check, Device, Result, error, ok
from skerry.edge.daemon.hub_trust import hub_tls
from skerry.errors import SkerryError

TIMEOUT_S = 10.0


async def run(device: Device) -> Result:
    if device.known is None:
        return NOT_PROVISIONED
    settings, connection = device.known
    host, port = settings.hub_address or connection.host_name, settings.hub_mqtt_port
    try:
        context = hub_tls(settings)
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(
                host, port, ssl=context, server_hostname=connection.host_name
            )
    except ssl.SSLCertVerificationError as problem:
        return error(
            f"the certificate of {host}:{port} is not trusted: {problem.verify_message}",
            "provision with --hub-ca, or correct the clock",
        )
    except (OSError, TimeoutError) as problem:
        return error(
            f"{host}:{port} does not answer: {problem or 'timeout'}",
            "check the network, and that the firewall lets this port out; modules run on meanwhile",
        )
    except SkerryError as problem:
        return error(problem.what, problem.hint)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return ok(f"{host}:{port} answers")


CHECK = Check("hub-reachable", "connectivity", "connection to the hub", run)

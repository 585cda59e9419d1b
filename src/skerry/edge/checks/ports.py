"""Whether the ports modules connect to are ours, or free."""

from __future__ import annotations

import asyncio

from skerry.edge.checks.check import Check, Device, Result, error, ok, skipped

TIMEOUT_S = 5.0


async def run(device: Device) -> Result:
    if device.settings is None:
        return skipped("the device is not provisioned")
    wanted = [port for port in (device.settings.mqtt_port, device.settings.https_port) if port > 0]
    host = device.settings.listen or "127.0.0.1"
    open_ports = [port for port in wanted if await _answers(host, port)]
    running = device.status is not None
    if running and open_ports != wanted:
        missing = ", ".join(str(port) for port in wanted if port not in open_ports)
        return error(f"nobody answers at {host} port {missing}", "look at the runtime's log")
    if not running and open_ports:
        taken = ", ".join(map(str, open_ports))
        return error(
            f"another program has port {taken}", "stop it, or provision with other --mqtt-port/--https-port"
        )
    return ok(f"{', '.join(map(str, wanted)) or 'none'} {'answer' if running else 'are free'}")


async def _answers(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


CHECK = Check("ports", "connectivity", "ports modules connect to", run)

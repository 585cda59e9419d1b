"""Whether each module has its workload socket, and it answers."""

from __future__ import annotations

import httpx

from skerry.edge.checks.check import Check, Device, Result, error, ok, skipped

TIMEOUT_S = 5.0


async def run(device: Device) -> Result:
    if device.settings is None or device.modules is None:
        return skipped("the runtime does not run")
    silent = []
    for name in sorted(device.modules):
        socket = device.settings.workload_directory / name / "workload.sock"
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        async with httpx.AsyncClient(transport=transport, timeout=TIMEOUT_S) as client:
            try:
                answer = await client.get("http://workload/trust-bundle")
            except httpx.HTTPError:
                silent.append(name)
            else:
                silent += [] if answer.is_success else [name]
    if silent:
        return error(f"no workload socket answers for {', '.join(silent)}", "restart the runtime")
    return ok(f"{len(device.modules)} answer")


CHECK = Check("workload-sockets", "runtime", "sockets modules get their keys by", run)

"""Whether the modules run as wanted."""

from __future__ import annotations

from skerry.edge.checks.check import Check, Device, Result, error, ok, skipped

FINE = ("running", "running-reduced", "stopped", "ended", "starting", "pulling")


async def run(device: Device) -> Result:
    if device.modules is None:
        return skipped("the runtime does not run")
    bad = {name: why for name, why in device.modules.items() if why["reason"] not in FINE}
    if bad:
        name, why = min(bad.items())
        return error(
            f"{', '.join(sorted(bad))}: {why['because']}", f"{why['suggestion']}; skerry edge why {name}"
        )
    return ok(f"{len(device.modules)} modules are as the deployment wants them")


CHECK = Check("modules", "runtime", "modules of the deployment", run)

"""Whether the images of the deployment could be had."""

from __future__ import annotations

from skerry.edge.checks.check import Check, Device, Result, error, ok, skipped

# What ``skerry edge why`` says of an image that is not here.
TROUBLE = ("image-not-found", "image-login-refused", "image-unreachable", "image-damaged", "image-not-here")


async def run(device: Device) -> Result:
    if device.modules is None:
        return skipped("the runtime does not run")
    lacking = {name: why for name, why in device.modules.items() if why["reason"] in TROUBLE}
    if lacking:
        name, why = min(lacking.items())
        return error(f"{', '.join(sorted(lacking))}: {why['because']}", f"{why['suggestion']} ({name})")
    return ok("no image is missing")


CHECK = Check("registry", "connectivity", "images of the deployment", run)

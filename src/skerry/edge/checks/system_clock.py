"""Whether the clock can be right: tokens and certificates depend on it."""

from __future__ import annotations

from skerry.clock import EARLIEST, iso
from skerry.edge.checks.check import Check, Device, Result, error, ok


async def run(device: Device) -> Result:
    now = device.clock.now()
    if now < EARLIEST:
        return error(
            f"the clock says {iso(now)}", "set it: timedatectl set-ntp true; the runtime heals afterwards"
        )
    return ok(iso(now))


CHECK = Check("clock", "configuration", "clock of this machine", run)

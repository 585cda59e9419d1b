"""Whether the clock can be right: tokens and certificates depend on it."""

from __future__ import annotations

from datetime import UTC, datetime

from skerry.clock import iso
from skerry.edge.checks.check import Check, Device, Result, error, ok

# Nothing of this release can have run before; a machine without a battery starts in 1970.
EARLIEST = datetime(2025, 1, 1, tzinfo=UTC)


async def run(device: Device) -> Result:
    now = device.clock.now()
    if now < EARLIEST:
        return error(
            f"the clock says {iso(now)}", "set it: timedatectl set-ntp true; the runtime heals afterwards"
        )
    return ok(iso(now))


CHECK = Check("clock", "configuration", "clock of this machine", run)

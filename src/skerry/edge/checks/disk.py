"""Whether there is room on the disk."""

from __future__ import annotations

from skerry.edge.checks.check import NOT_PROVISIONED, Check, Device, Result, error, ok, warning
from skerry.edge.engine.space import GIB, RESERVE_BYTES, free_bytes, size


async def run(device: Device) -> Result:
    if device.settings is None:
        return NOT_PROVISIONED
    folder = device.settings.data_dir
    free = free_bytes(folder)
    text = f"{size(free)} are free at {folder}"
    if free < RESERVE_BYTES:
        return error(text, "free disk space: nothing can be stored or pulled")
    if free < GIB:
        return warning(text, "free disk space before the next deployment")
    return ok(text)


CHECK = Check("disk", "runtime", "room on the disk", run)

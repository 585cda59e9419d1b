"""Other processes: waiting for them, what the kernel says of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path


async def ticks(seconds: float) -> AsyncIterator[None]:
    """At once, then again and again: to wait for what no event announces."""
    while True:
        yield
        await asyncio.sleep(seconds)


def rss_mb(pid: int) -> float:
    """Resident memory, shared pages counted whole."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmRSS:") / 1000


def pss_mb(pid: int) -> float:
    """Resident memory, each shared page counted by its share."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") / 1000


def cpu_seconds(pid: int) -> float:
    """User and system time that the process has used, to the nanosecond."""
    # The kernel's number of another process's CPU clock (clock_getcpuclockid(3)).
    return time.clock_gettime(~pid << 3 | 2)


def _kilobytes(file: Path, field: str) -> float:
    """Bytes of 1024 in the file, as thousands of bytes."""
    line = next(line for line in file.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1.024

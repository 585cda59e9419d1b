"""Other processes: waiting for them, what the kernel says of them."""

from __future__ import annotations

import asyncio
import os
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
    """User and system time that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kilobytes(file: Path, field: str) -> float:
    """Bytes of 1024 in the file, as thousands of bytes."""
    line = next(line for line in file.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1.024

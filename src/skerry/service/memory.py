"""How much memory can be had now."""

from __future__ import annotations

from pathlib import Path

# Where neither machine nor container tells.
UNLIMITED = 1 << 60


def free_bytes(proc: Path = Path("/proc"), group: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that can be had now, of the machine and of the container's limit (cgroups(7)), the smaller."""
    return min(_machine(proc / "meminfo"), _container(group))


def _machine(meminfo: Path) -> int:
    try:
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return UNLIMITED
    return UNLIMITED


def _container(group: Path) -> int:
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            return max(0, int((group / limit).read_text()) - int((group / used).read_text()))
        except (OSError, ValueError):
            continue
    return UNLIMITED

"""How much of the machine a process module may use: rlimits always, control groups where this user may."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skerry.errors import InvalidInput, Unsupported

CGROUPS = Path("/sys/fs/cgroup")
OURS = "skerry"
# Linux' default period of the CPU quota (sched-bwc.rst).
CPU_PERIOD_US = 100_000
CONTROLLERS = ("memory", "cpu", "pids")
# What prlimit(1) can set, by Docker's names of Ulimits.
RLIMITS = frozenset(
    [
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "sigpending",
        "stack",
    ]
)


@dataclass(frozen=True)
class Limits:
    """What ``HostConfig`` asks for; None or empty: not limited."""

    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    rlimits: Sequence[tuple[str, int, int]] = ()

    @property
    def needs_cgroup(self) -> bool:
        return any(limit is not None for limit in (self.memory_bytes, self.cpus, self.pids))


def limits_of(host: Mapping[str, Any]) -> Limits:
    """Read ``Memory``, ``NanoCpus``/``CpuQuota``, ``PidsLimit`` and ``Ulimits``. InvalidInput."""
    quota, period = host.get("CpuQuota") or 0, host.get("CpuPeriod") or CPU_PERIOD_US
    cpus = (host.get("NanoCpus") or 0) / 1e9 or (quota / period if quota > 0 else 0.0)
    pids = host.get("PidsLimit") or 0
    rlimits = []
    for index, limit in enumerate(host.get("Ulimits") or []):
        name = str(limit.get("Name", "")).lower()
        if name not in RLIMITS:
            raise InvalidInput(
                f"there is no limit called {name!r}",
                hint=f"use one of: {', '.join(sorted(RLIMITS))}",
                path=f"createOptions.HostConfig.Ulimits[{index}].Name",
            )
        rlimits.append((name, int(limit.get("Soft", -1)), int(limit.get("Hard", limit.get("Soft", -1)))))
    return Limits(host.get("Memory") or None, cpus or None, pids if pids > 0 else None, tuple(rlimits))


def rlimit_argv(limits: Limits) -> list[str]:
    """What goes before a command so that it has ``limits.rlimits``. Unsupported without prlimit(1)."""
    if not limits.rlimits:
        return []
    program = shutil.which("prlimit")
    if program is None:
        raise Unsupported("HostConfig.Ulimits needs prlimit", hint="install util-linux")

    def text(value: int) -> str:
        return "unlimited" if value < 0 else str(value)

    return [program, *(f"--{n}={text(soft)}:{text(hard)}" for n, soft, hard in limits.rlimits), "--"]


class ControlGroups:
    """The groups of this engine's modules; ``usable`` tells whether this user may make them."""

    def __init__(self, owner: str, root: Path = CGROUPS) -> None:
        self._owner = owner
        self._root = root
        self._unified = (root / "cgroup.controllers").exists()
        self.usable = self._probe()

    def create(self, module: str, limits: Limits) -> list[Path]:
        """Make the module's groups; the files into which its process writes its id. Unsupported."""
        if not limits.needs_cgroup:
            return []
        if not self.usable:
            raise Unsupported("this user may not limit memory, CPU or processes here")
        try:
            return [self._fill(group, limits) / "cgroup.procs" for group in self._groups(module, limits)]
        except OSError as exc:
            raise Unsupported(f"the limits of {module} cannot be set: {exc}", module=module) from exc

    def remove(self, module: str) -> None:
        """The module is gone."""
        for controller in ("", *CONTROLLERS):
            with contextlib.suppress(OSError):
                self._path(controller, module).rmdir()

    def out_of_memory(self, module: str) -> bool:
        """Whether the kernel killed a process of the module for its memory since its last start."""
        for file, key in (
            (self._path("", module) / "memory.events", "oom_kill"),
            (self._path("memory", module) / "memory.oom_control", "oom_kill"),
        ):
            with contextlib.suppress(OSError):
                counts = dict(line.split(maxsplit=1) for line in file.read_text().splitlines())
                return int(counts.get(key, "0")) > 0
        return False

    def _probe(self) -> bool:
        if self._unified:
            try:
                (self._root / OURS).mkdir(exist_ok=True)
                wanted = " ".join(f"+{name}" for name in CONTROLLERS)
                for folder in (self._root, self._root / OURS):
                    (folder / "cgroup.subtree_control").write_text(wanted)
            except OSError:
                return False
            return True
        return all(
            os.access(self._root / name, os.W_OK) and (self._root / name).is_dir() for name in CONTROLLERS
        )

    def _path(self, controller: str, module: str) -> Path:
        base = self._root if self._unified or not controller else self._root / controller
        return base / OURS / f"{self._owner}-{module}"

    def _groups(self, module: str, limits: Limits) -> list[tuple[str, Path]]:
        asked = {"memory": limits.memory_bytes, "cpu": limits.cpus, "pids": limits.pids}
        names = [name for name in CONTROLLERS if asked[name] is not None]
        groups = []
        for name in [""] if self._unified else names:
            path = self._path(name, module)
            with contextlib.suppress(OSError):
                path.rmdir()  # the counts of the last run would be taken for those of this one
            path.mkdir(parents=True, exist_ok=True)
            groups.append((name, path))
        return groups

    def _fill(self, group: tuple[str, Path], limits: Limits) -> Path:
        name, path = group
        quota = None if limits.cpus is None else max(1000, round(limits.cpus * CPU_PERIOD_US))
        v1 = {
            "memory": {"memory.limit_in_bytes": limits.memory_bytes},
            "cpu": {"cpu.cfs_period_us": CPU_PERIOD_US, "cpu.cfs_quota_us": quota},
            "pids": {"pids.max": limits.pids},
        }
        v2 = {
            "memory.max": limits.memory_bytes,
            "cpu.max": None if quota is None else f"{quota} {CPU_PERIOD_US}",
            "pids.max": limits.pids,
        }
        for file, value in (v1[name] if name else v2).items():
            if value is not None:
                (path / file).write_text(str(value))
        return path

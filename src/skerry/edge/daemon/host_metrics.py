"""The machine's numbers under Microsoft's names: uptime, memory, processor and disk, of host and modules.

Names and labels: "Access built-in metrics", edgeAgent section (contract.md §6.12); the host is the module
``host``. Read from proc(5) when somebody asks, so an idle device does nothing for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from skerry.service.metrics import Metrics

PROC = Path("/proc")
HOST = "host"
# proc(5), /proc/pid/stat: fields count from 1, the first after the command's closing parenthesis is 3.
STAT_FIRST_FIELD = 3
PPID, UTIME, STIME, RSS_PAGES = 4, 14, 15, 24


@dataclass(frozen=True, slots=True)
class Process:
    """One line of ``/proc/<pid>/stat``: processor time in clock ticks, memory in pages."""

    parent: int
    ticks: int
    pages: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a module's processes use together."""

    ticks: int
    pages: int
    processes: int


def parse_stat(text: str) -> Process:
    """The numbers of one process. A command may hold blanks and parentheses; ValueError for other texts."""
    fields = text[text.rindex(")") + 2 :].split()
    parent, user, system, pages = (int(fields[i - STAT_FIRST_FIELD]) for i in (PPID, UTIME, STIME, RSS_PAGES))
    return Process(parent, user + system, pages)


def parse_meminfo(text: str) -> dict[str, int]:
    """Bytes by name."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()
        if number and number[0].isdecimal():
            found[name] = int(number[0]) * 1024
    return found


def parse_cpu(text: str) -> tuple[int, int]:
    """``/proc/stat``: (ticks of all processors, those of them in which they had nothing to do)."""
    first = next(line for line in text.splitlines() if line.startswith("cpu "))
    ticks = [int(field) for field in first.split()[1:]]
    # Guest time (the last two) is in user time already; idle is the fourth, waiting for a disk the fifth.
    return sum(ticks[:8]), sum(ticks[3:5])


def family(pid: int, processes: Mapping[int, Process]) -> Usage:
    """``pid`` and everything it started that is still its descendant."""
    children: dict[int, list[int]] = {}
    for one, process in processes.items():
        children.setdefault(process.parent, []).append(one)
    todo, seen = [pid], set[int]()
    while todo:
        one = todo.pop()
        if one in processes and one not in seen:
            seen.add(one)
            todo += children.get(one, ())
    return Usage(
        sum(processes[one].ticks for one in seen), sum(processes[one].pages for one in seen), len(seen)
    )


class HostMetrics:
    """Gauges that are right after ``refresh``; processor shares are those since the refresh before."""

    def __init__(self, metrics: Metrics, disks: Iterable[Path], proc: Path = PROC) -> None:
        self._proc = proc
        self._disks = tuple(disks)
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self._uptime = metrics.gauge("edgeAgent_host_uptime_seconds", "Time since the machine was started")
        module = ["module_name"]
        self._used = metrics.gauge("edgeAgent_used_memory_bytes", "Memory in use", module)
        self._total = metrics.gauge("edgeAgent_total_memory_bytes", "Memory there is", module)
        self._cpu = metrics.gauge(
            "edgeAgent_used_cpu_percent", "Share of all processors since it was asked for last", module
        )
        self._pids = metrics.gauge("edgeAgent_created_pids_total", "Processes now", module)
        disk = ["disk_name"]
        self._free = metrics.gauge("edgeAgent_available_disk_space_bytes", "Free on the disk", disk)
        self._size = metrics.gauge("edgeAgent_total_disk_space_bytes", "Size of the disk", disk)
        self._ticks: dict[str, int] = {}
        self._all_ticks = 0
        self._named: set[str] = set()

    def refresh(self, modules: Mapping[str, int]) -> None:
        """Read everything anew; ``modules`` are the main processes of those that run."""
        self._uptime.set(float((self._proc / "uptime").read_text().split()[0]))
        memory = parse_meminfo((self._proc / "meminfo").read_text())
        self._total.labels(HOST).set(memory["MemTotal"])
        self._used.labels(HOST).set(memory["MemTotal"] - memory["MemAvailable"])
        for disk in self._disks:
            found = os.statvfs(disk)
            self._free.labels(str(disk)).set(found.f_bavail * found.f_frsize)
            self._size.labels(str(disk)).set(found.f_blocks * found.f_frsize)
        self._refresh_processes(modules)

    def _refresh_processes(self, modules: Mapping[str, int]) -> None:
        processes = self._processes() if modules else {}
        all_ticks, idle = parse_cpu((self._proc / "stat").read_text())
        usage = {name: family(pid, processes) for name, pid in modules.items()}
        ticks = {name: one.ticks for name, one in usage.items()} | {HOST: all_ticks - idle}
        passed = all_ticks - self._all_ticks
        for name, now in ticks.items():
            before = self._ticks.get(name)
            # A module that was started anew has used less than its predecessor.
            if before is not None and now >= before and passed > 0:
                self._cpu.labels(name).set(100.0 * (now - before) / passed)
        for name, one in usage.items():
            self._used.labels(name).set(one.pages * self._page_bytes)
            self._pids.labels(name).set(one.processes)
        for name in self._named - usage.keys():
            self._used.remove(name)
            self._pids.remove(name)
            # There is none yet of one that was seen once only.
            self._cpu.labels(name)
            self._cpu.remove(name)
        self._named, self._ticks, self._all_ticks = set(usage), ticks, all_ticks

    def _processes(self) -> dict[int, Process]:
        found = {}
        for entry in self._proc.iterdir():
            if entry.name.isdecimal():
                try:
                    found[int(entry.name)] = parse_stat((entry / "stat").read_text())
                except (OSError, ValueError):
                    continue  # it ended meanwhile
        return found

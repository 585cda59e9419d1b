"""The machine's numbers, read from a written /proc and from this machine's."""

from __future__ import annotations

import os
from pathlib import Path

from skerry.edge.daemon.host_metrics import HostMetrics, Process, family, parse_cpu, parse_meminfo, parse_stat
from skerry.service.metrics import Metrics

PAGE = os.sysconf("SC_PAGE_SIZE")


def stat(pid: int, parent: int, ticks: int, pages: int) -> str:
    fields = ["0"] * 50
    fields[0], fields[1], fields[11], fields[12], fields[21] = (
        "S",
        str(parent),
        str(ticks),
        "0",
        str(pages),
    )
    return f"{pid} (a (b) c) {' '.join(fields)}"


def write(proc: Path, ticks: int, module_ticks: int) -> None:
    proc.mkdir(exist_ok=True)
    (proc / "uptime").write_text("3600.5 7000.0\n")
    (proc / "meminfo").write_text(
        "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  400 kB\nHugePages_Total: 0\n"
    )
    # user nice system idle iowait irq softirq steal guest guest_nice
    (proc / "stat").write_text(f"cpu  {ticks} 0 0 {ticks} 0 0 0 0 5 5\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    for pid, parent, used, pages in ((10, 1, module_ticks, 3), (11, 10, 0, 2), (12, 1, 99, 50)):
        (proc / str(pid)).mkdir(exist_ok=True)
        (proc / str(pid) / "stat").write_text(stat(pid, parent, used, pages))


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_command_with_parentheses_does_not_shift_the_fields() -> None:
    assert parse_stat(stat(10, 1, 7, 3)) == Process(1, 7, 3)


def test_memory_and_processor_texts() -> None:
    assert parse_meminfo("A:  2 kB\nB: x\n\nC: 3\n") == {"A": 2048, "C": 3072}
    assert parse_cpu("cpu  10 1 2 30 4 0 1 0 9 9\ncpu0 1 1\n") == (48, 34)


def test_a_family_is_a_process_with_all_below_it_even_in_a_circle() -> None:
    processes = {1: Process(0, 1, 1), 2: Process(1, 2, 2), 3: Process(2, 4, 4), 9: Process(0, 8, 8)}
    usage = family(2, processes)
    assert (usage.ticks, usage.pages, usage.processes) == (6, 6, 2)
    assert family(77, processes).processes == 0
    assert family(5, {5: Process(6, 1, 1), 6: Process(5, 1, 1)}).processes == 2


def test_host_and_modules_are_told_apart_and_gone_modules_are_forgotten(tmp_path: Path) -> None:
    metrics, proc = Metrics(process=False), tmp_path / "proc"
    host = HostMetrics(metrics, [tmp_path], proc)
    write(proc, ticks=100, module_ticks=10)
    host.refresh({"cnn": 10})
    assert value(metrics, "edgeAgent_host_uptime_seconds") == 3600.5
    assert value(metrics, "edgeAgent_total_memory_bytes", module_name="host") == 1000 * 1024
    assert value(metrics, "edgeAgent_used_memory_bytes", module_name="host") == 600 * 1024
    assert value(metrics, "edgeAgent_used_memory_bytes", module_name="cnn") == 5 * PAGE
    assert value(metrics, "edgeAgent_created_pids_total", module_name="cnn") == 2
    assert value(metrics, "edgeAgent_used_cpu_percent", module_name="cnn") is None
    assert (value(metrics, "edgeAgent_available_disk_space_bytes", disk_name=str(tmp_path)) or 0) > 0
    write(proc, ticks=200, module_ticks=60)
    host.refresh({"cnn": 10})
    assert value(metrics, "edgeAgent_used_cpu_percent", module_name="cnn") == 25.0
    assert value(metrics, "edgeAgent_used_cpu_percent", module_name="host") == 50.0
    write(proc, ticks=300, module_ticks=0)
    host.refresh({"cnn": 10})  # started anew: its share is not known yet, the last one stands
    assert value(metrics, "edgeAgent_used_cpu_percent", module_name="cnn") == 25.0
    host.refresh({})
    assert value(metrics, "edgeAgent_used_memory_bytes", module_name="cnn") is None
    assert value(metrics, "edgeAgent_used_cpu_percent", module_name="cnn") is None


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    metrics = Metrics(process=False)
    HostMetrics(metrics, [tmp_path]).refresh({"self": os.getpid()})
    assert (value(metrics, "edgeAgent_used_memory_bytes", module_name="self") or 0) > 1_000_000
    assert (value(metrics, "edgeAgent_host_uptime_seconds") or 0) > 0

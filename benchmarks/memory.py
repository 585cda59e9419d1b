"""What the edge runtime (daemon, agent, edge hub: one process) takes while three modules idle."""

from __future__ import annotations

import asyncio

from benchmarks.edge_device import device, images
from benchmarks.process import cpu_seconds, pss_mb, rss_mb
from benchmarks.report import Report, Row, Side
from benchmarks.rounds import Options
from skerry.cli.demo.manifest import CAMERA, CNN

PSS_MB = 80.0
PAUSE_S = 5.0


async def run(options: Options) -> Report:
    """Two cameras that send nothing and the CNN are connected; then it is looked at, a pause between."""
    values: list[float] = []
    async with device(options.work / "stage", await images(options)) as edge:
        await edge.deploy(frames=0, cameras=2)
        await edge.running(CNN, CAMERA, f"{CAMERA}1")
        pause_s = 0.5 if options.quick else PAUSE_S
        pid = edge.stage.edge.pid
        await asyncio.sleep(pause_s)
        before = cpu_seconds(pid)
        for _ in range(options.rounds):
            await asyncio.sleep(pause_s)
            values.append(pss_mb(pid))
        busy = (cpu_seconds(pid) - before) / (pause_s * options.rounds)
        seen = {"RSS MB": rss_mb(pid), "CPU %": busy * 100}
    ours = Side("edge runtime", values, seen)
    limit = Side(f"limit, {PSS_MB:g} MB", [PSS_MB] * len(values))
    what = "PSS of daemon + agent + edge hub, idle, 3 modules"
    return Report(
        "memory", [Row(what, "MB", ours, limit, "<=", 1.0)], ["process engine; modules not counted"]
    )

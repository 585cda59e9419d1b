"""Fifty changes of the model under a steady load of four fifths of what the server can do."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

from benchmarks.convnet import digits_convnet
from benchmarks.load.http import post_all
from benchmarks.load.paced import paced
from benchmarks.models import small
from benchmarks.report import Report, Row, Side
from benchmarks.rounds import Options

SWAPS = 50
SHARE = 0.8
# Between two updates: the longest gap shall be a switch's and not a traffic jam of switches.
PAUSE_S = 0.1
CONNECTIONS = 16
GAP_S = 0.25


async def run(options: Options) -> Report:
    """Failed requests, the longest time without any answer, and latencies with and without updates."""
    models = [small(options.work / "small"), digits_convnet(options.work / "digits")]
    bodies = models[0].bodies()
    swaps = options.pick(SWAPS, 3)
    async with _server([model.package for model in models]) as (port, process):
        await post_all(port, bodies, CONNECTIONS, options.pick(3000, 50))
        # Of the slower model: it is the one that must not be swamped.
        rates = []
        for _ in models:
            rates.append((await post_all(port, bodies, CONNECTIONS, options.pick(4000, 50))).rate)
            await _swap(process)
        rate = SHARE * min(rates)
        calm = await paced(port, bodies, rate, _for_seconds(options.pick(5, 1)))
        updating = asyncio.create_task(_swaps(process, swaps))
        busy = await paced(port, bodies, rate, lambda: not updating.done())
        switches = await updating
    failed = [*calm.failures, *busy.failures]
    count, quiet = len(busy.latencies), sorted(calm.latencies)
    slowest = sorted(busy.latencies)
    percent99 = (slowest[len(slowest) * 99 // 100] * 1e3, quiet[len(quiet) * 99 // 100] * 1e3)
    rows = [
        Row(
            f"{swaps} updates, longest time without an answer",
            "s",
            Side("module", [busy.longest_gap_s], {"failed requests": float(len(failed))}),
            Side(f"limit, {GAP_S} s", [GAP_S]),
            "<=",
            1.0,
        ),
        Row(
            "p99 while updating", "ms", Side("module", [percent99[0]]), Side("without", [percent99[1]]), "<="
        ),
    ]
    notes = [
        f"{len(failed)} of {count} requests failed at {rate:.0f} a second ({SHARE:.0%} of capacity)",
        f"the switch itself takes at most {max(switches) * 1e6:.0f} µs",
        f"longest time without an answer when nothing is updated: {calm.longest_gap_s:.3f} s",
        *failed[:3],
    ]
    return Report("model_update", rows, notes)


async def _swaps(process: asyncio.subprocess.Process, count: int) -> list[float]:
    found = []
    for _ in range(count):
        found.append(await _swap(process))
        await asyncio.sleep(PAUSE_S)
    return found


async def _swap(process: asyncio.subprocess.Process) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    return float(await process.stdout.readline())


def _for_seconds(seconds: float) -> Callable[[], bool]:
    end = perf_counter() + seconds
    return lambda: perf_counter() < end


@asynccontextmanager
async def _server(packages: list[Path]) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.swapping_server", *map(str, packages)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline()), process
    finally:
        process.stdin.close()
        await process.wait()

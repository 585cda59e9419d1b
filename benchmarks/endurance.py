"""The CNN module's memory at its start, and after a hundred thousand requests."""

from __future__ import annotations

from benchmarks.load.http import post_all
from benchmarks.models import small
from benchmarks.process import rss_mb
from benchmarks.report import Report, Row, Side
from benchmarks.rounds import Options
from benchmarks.serving import module_processes

REQUESTS = 100_000
CONNECTIONS = 16
# The engine's buffers and Python's free lists settle in the first thousands.
SETTLED = REQUESTS // 10
GROWTH_MAX = 1.05


async def run(options: Options) -> Report:
    """Pictures to ``/score``: decoders, threads, engine, counters and the HTTP server all take part."""
    model = small(options.work / "small")
    bodies = model.bodies()
    requests, settled = options.pick(REQUESTS, 200), options.pick(SETTLED, 100)
    async with module_processes(model.package, 1) as (port, [pid]):
        start = rss_mb(pid)
        await post_all(port, bodies, CONNECTIONS, settled)
        before = rss_mb(pid)
        answers = await post_all(port, bodies, CONNECTIONS, requests - settled)
        after = rss_mb(pid)
    what = f"RSS after {requests:,} requests"
    rows = [
        Row(what, "MB", Side("module", [after]), Side(f"after {settled:,}", [before]), "<=", GROWTH_MAX),
        Row(f"{what}, against its start", "MB", Side("module", [after]), Side("start", [start]), "<="),
    ]
    return Report("endurance", rows, [f"{answers.rate:.0f} img/s over {CONNECTIONS} connections"])

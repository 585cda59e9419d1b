"""The module's HTTP server that changes its model when told: ``python -m benchmarks.swapping_server A B``.

It prints its port. For each line on its input it loads the other package as an update does (files verified,
golden set scored, beside the running model), switches between two requests, closes the one before, and prints
the seconds that the switch itself took.
"""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from itertools import cycle
from pathlib import Path
from time import perf_counter

import uvloop

from skerry.clock import SystemClock
from skerry.serve.environment import read_environment
from skerry.serve.http.listener import HttpListener
from skerry.serve.loading import computes_in_loop, load
from skerry.serve.measures import Measures
from skerry.serve.scoring import Scorer
from skerry.serve.surface import http_handler


async def main(packages: list[Path]) -> None:
    settings, loop = read_environment({}, len(os.sched_getaffinity(0))), asyncio.get_running_loop()
    activated = load(settings, packages[0])
    scorer = Scorer(
        activated.package,
        activated.predictor,
        clock=SystemClock(),
        in_loop=computes_in_loop(settings, activated),
    )
    listener = await HttpListener.start(http_handler(scorer, Measures()), clock=SystemClock())
    _say(str(listener.port))
    for package in cycle([packages[1], packages[0]]):
        if not await asyncio.to_thread(sys.stdin.readline):
            break
        candidate = await asyncio.to_thread(load, settings, package)
        in_loop = await loop.run_in_executor(None, partial(computes_in_loop, settings, candidate))
        model = scorer.load(candidate.package, candidate.predictor, in_loop=in_loop)
        began = perf_counter()
        before = scorer.switch(model)
        _say(f"{perf_counter() - began:.6f}")
        await before.close()
    await listener.close()
    await scorer.close()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main([Path(argument) for argument in sys.argv[1:3]]))

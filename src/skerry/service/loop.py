"""The event loop of a process that serves, with the interpreter tuned for it."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable

import uvloop

from skerry.service.lifecycle import run_until_signal

# What a store's thread waits for the interpreter while the loop is busy; 5 ms by default, which is longer
# than most disks need for a sync.
SWITCH_INTERVAL_S = 0.001
# Objects made before the collector looks at the youngest: per message a few dozen are made, none in a cycle.
COLLECT_AFTER = 20_000


def serve_until_signal(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """``run_until_signal`` on the fast loop, as the whole of a process. Raises what ``main`` raises."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # What was imported stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_until_signal(main))

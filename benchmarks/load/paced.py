"""An open-loop HTTP load: requests leave when they are due, however long the answers take."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from benchmarks.load.http import post

# Enough that one is free whenever a request is due, as long as the server keeps up.
CONNECTIONS = 32


@dataclass
class Outcome:
    """What came back; a latency counts from when the request was due (no coordinated omission)."""

    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    longest_gap_s: float = 0.0


async def paced(port: int, bodies: Sequence[bytes], rate: float, going: Callable[[], bool]) -> Outcome:
    """``rate`` pictures a second to ``/score`` for as long as ``going`` says so, then the last answers."""
    outcome = Outcome()
    async with _connections(port) as free, asyncio.TaskGroup() as tasks:
        began, last, number = perf_counter(), [perf_counter()], 0
        while going():
            due = began + number / rate
            if (early := due - perf_counter()) > 0:
                await asyncio.sleep(early)
            pair = await free.get()
            tasks.create_task(_ask(pair, bodies[number % len(bodies)], due, last, free, outcome))
            number += 1
    return outcome


Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _ask(
    pair: Pair, body: bytes, due: float, last: list[float], free: asyncio.Queue[Pair], outcome: Outcome
) -> None:
    try:
        await post(*pair, body)
    except (OSError, RuntimeError, asyncio.IncompleteReadError) as exc:
        outcome.failures.append(str(exc) or type(exc).__name__)
    now = perf_counter()
    outcome.latencies.append(now - due)
    outcome.longest_gap_s = max(outcome.longest_gap_s, now - last[0])
    last[0] = now
    free.put_nowait(pair)


@contextlib.asynccontextmanager
async def _connections(port: int) -> AsyncIterator[asyncio.Queue[Pair]]:
    free: asyncio.Queue[Pair] = asyncio.Queue()
    made = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    for pair in made:
        free.put_nowait(pair)
    try:
        yield free
    finally:
        for _, writer in made:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

"""A process that fills a queue, to be killed or to run into its file size limit."""

import asyncio
import json
import os
import resource
import sys
from pathlib import Path

from skerry.clock import SystemClock
from skerry.errors import StorageFull
from skerry.store.queue import Entry, Queue

BYTES_MAX = 1 << 30
FILE_BYTES_MAX = 1 << 20
OUT = 1


async def endless(path: Path, first: int) -> None:
    """Append for ever, eight callers at a time, telling each number once it is committed."""
    queue = await Queue.open(path, bytes_max=BYTES_MAX, clock=SystemClock())
    numbers = iter(range(first, 1 << 62))

    async def caller() -> None:
        for number in numbers:
            await queue.append([Entry("up", 0, None, str(number).encode(), b"")])
            os.write(OUT, b"%d\n" % number)

    await asyncio.gather(*(caller() for _ in range(8)))


async def limited(path: Path) -> None:
    """Append until the files may not grow, then lift the limit and append once more."""
    queue = await Queue.open(path, bytes_max=BYTES_MAX, clock=SystemClock())
    entry = Entry("up", 0, None, b"x" * 50_000, b"")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, hard))
    appended, refused = 0, None
    while refused is None:
        try:
            await queue.append([entry])
            appended += 1
        except StorageFull as error:
            refused = error
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await queue.append([entry])
    await queue.close()
    report = {"refused": type(refused).__name__, "refused_hint": refused.hint, "after": "ok"}
    os.write(OUT, json.dumps(report | {"appended": appended + 1}).encode())


if __name__ == "__main__":
    if sys.argv[2] == "limited":
        asyncio.run(limited(Path(sys.argv[1])))
    else:
        asyncio.run(endless(Path(sys.argv[1]), int(sys.argv[2])))

"""Further processes that serve the same package at the same port; the kernel spreads the connections."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence

from skerry.errors import Unavailable

log = logging.getLogger(__name__)

# They close within their own five seconds of grace.
CLOSE_S = 8.0

# What only the first process does: messages, gRPC, the live page.
FIRST_ONLY = ("IOTEDGE_", "EdgeHub", "EdgeModule", "SKERRY_GRPC_PORT", "SKERRY_LIVE_PORT")


class Crew:
    """The processes beside this one, which is the first. They end with it, however it ends."""

    def __init__(self, members: Sequence[asyncio.subprocess.Process]) -> None:
        self._members = members

    @classmethod
    async def start(cls, count: int, environ: Mapping[str, str], *, port: int, threads: int) -> Crew:
        """``count`` processes, each with ``threads`` engine threads."""
        passed = {name: text for name, text in environ.items() if not name.startswith(FIRST_ONLY)}
        passed |= {
            "SKERRY_PROCESSES": "1",
            "SKERRY_CREW_MEMBER": "1",
            "SKERRY_HTTP_SHARED": "1",
            "SKERRY_HTTP_PORT": str(port),
            "SKERRY_THREADS": str(threads),
        }
        command = (sys.executable, "-m", "skerry.serve.main")
        # The end of their input is the end of this process.
        members = [
            await asyncio.create_subprocess_exec(*command, env=passed, stdin=asyncio.subprocess.PIPE)
            for _ in range(count)
        ]
        return cls(members)

    async def broken(self) -> None:
        """Wait until one has ended by itself, then raise Unavailable: whoever supervises starts all anew."""
        tasks = [asyncio.create_task(member.wait()) for member in self._members]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        raise Unavailable(f"a serving process ended with {next(iter(done)).result()}")

    async def close(self) -> None:
        """Let them answer what they have begun, and end."""
        for member in self._members:
            if member.stdin is not None:
                member.stdin.close()
        for member in self._members:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await member.wait()
            except TimeoutError:
                log.warning("process %d does not end by itself", member.pid)
                member.kill()
                await member.wait()

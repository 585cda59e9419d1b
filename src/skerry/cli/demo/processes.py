"""The demo's own processes: each is a real ``skerry`` command with its output in a file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from skerry.clock import Clock
from skerry.errors import TimedOut, Unavailable

# A hub or runtime is up within a second; the bound is for a machine under heavy load.
READY_TIMEOUT_S = 60.0
POLL_S = 0.05
STOP_TIMEOUT_S = 20.0
LOG_LINES_SHOWN = 12


class Process:
    """One ``skerry`` command running beside us."""

    def __init__(self, name: str, arguments: list[str], log: Path, clock: Clock) -> None:
        self.name = name
        self._arguments = arguments
        self._log = log
        self._clock = clock
        self._child: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process id; ``Unavailable`` before ``start``."""
        if self._child is None:
            raise Unavailable(f"{self.name} is not running")
        return self._child.pid

    async def start(self, env: Mapping[str, str] | None = None) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches the demo first."""
        with self._log.open("ab") as output:
            self._child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "skerry",
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    async def until(self, ready: Callable[[], Awaitable[bool]]) -> None:
        """Wait until ``ready``; the last lines of its log are in the error when it ends or does not come."""
        deadline = self._clock.monotonic() + READY_TIMEOUT_S
        while self._clock.monotonic() < deadline:
            if self._child is None or self._child.returncode is not None:
                raise Unavailable(f"{self.name} ended at once:\n{self._tail()}", hint=f"see {self._log}")
            if await ready():
                return
            await self._clock.sleep(POLL_S)
        raise TimedOut(f"{self.name} is not ready:\n{self._tail()}", hint=f"see {self._log}")

    async def kill(self) -> None:
        """``kill -9``, as a power cut would."""
        if self._child is not None and self._child.returncode is None:
            self._child.kill()
            await self._child.wait()

    async def stop(self) -> None:
        """Ask it to end; kill it when it does not."""
        if self._child is None or self._child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._child.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            await self.kill()

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(f"    {line}" for line in lines[-LOG_LINES_SHOWN:])


async def run_once(arguments: list[str], *, text_in: str = "") -> str:
    """A short ``skerry`` command with ``text_in`` on its standard input; its output, or ``Unavailable``."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "skerry",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate(text_in.encode())
    if child.returncode != 0:
        raise Unavailable(f"skerry {arguments[0]} {arguments[1]} failed: {err.decode().strip()}")
    return out.decode()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether ``port`` can be listened on."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, port))
        except OSError:
            return False
    return True

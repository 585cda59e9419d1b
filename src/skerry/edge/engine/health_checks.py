"""Runs the health checks of process modules, in their sandboxes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from skerry.clock import Clock
from skerry.edge.engine.health import Probe, Verdict

log = logging.getLogger(__name__)

# Of what a check prints, enough for the verdict; the rest is thrown away.
OUTPUT_BYTES_MAX = 4096


@dataclass(frozen=True)
class Check:
    """A probe as a command of this machine: already inside the module's sandbox."""

    probe: Probe
    argv: tuple[str, ...]
    env: Mapping[str, str]


class HealthChecks:
    """One task per module that runs; ``changed`` is called with the name when a verdict is another one."""

    def __init__(self, clock: Clock, changed: Callable[[str], None]) -> None:
        self._clock = clock
        self._changed = changed
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._verdicts: dict[str, Verdict] = {}

    def verdict(self, module: str) -> Verdict | None:
        """None for a module without a check."""
        return self._verdicts.get(module)

    def begin(self, module: str, check: Check) -> None:
        """Check it from now on; a check under way is replaced."""
        self.end(module)
        self._verdicts[module] = Verdict()
        self._tasks[module] = asyncio.create_task(self._run(module, check), name=f"health {module}")

    def end(self, module: str) -> None:
        """The module has ended."""
        if (task := self._tasks.pop(module, None)) is not None:
            task.cancel()
        self._verdicts.pop(module, None)

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for module in list(self._tasks):
            self.end(module)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, module: str, check: Check) -> None:
        began = self._clock.monotonic()
        while True:
            await self._clock.sleep(check.probe.interval_s)
            ok, output = await run_check(check)
            before = self._verdicts[module]
            after = before.after(check.probe, ok, output, self._clock.monotonic() - began)
            self._verdicts[module] = after
            if after.health != before.health:
                log.info("module %s is %s: %s", module, after.health, after.output)
                self._changed(module)


async def run_check(check: Check) -> tuple[bool, str]:
    """Whether it exited with 0 in time, and what it printed."""
    try:
        child = await asyncio.create_subprocess_exec(
            *check.argv,
            env=dict(check.env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        return False, str(error)
    assert child.stdout is not None
    try:
        async with asyncio.timeout(check.probe.timeout_s):
            output = await _first_bytes(child.stdout.read)
            code = await child.wait()
    except TimeoutError:
        return False, f"it took longer than {check.probe.timeout_s:g} s"
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await asyncio.shield(child.wait())
    return code == 0, output.decode(errors="replace")


async def _first_bytes(read: Callable[[int], Awaitable[bytes]]) -> bytes:
    kept = b""
    while chunk := await read(OUTPUT_BYTES_MAX):
        kept = kept or chunk
    return kept

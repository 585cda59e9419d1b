"""Does the planner's steps on the engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import assert_never

from skerry.edge.agent.state import Create, Pull, Remove, Start, Step, Stop
from skerry.edge.engine.port import Engine
from skerry.errors import SkerryError

log = logging.getLogger(__name__)


async def execute(step: Stop | Remove | Create | Start, engine: Engine) -> None:
    """One step. Raises what the engine does. Pulls take long and are the agent's background work."""
    log.info("%s", step)
    match step:
        case Stop():
            await engine.stop(step.module)
        case Remove():
            await engine.remove(step.module)
        case Create():
            await engine.create(step.run)
        case Start():
            await engine.start(step.module)
        case _:
            assert_never(step)


async def execute_all(steps: Iterable[Step], engine: Engine) -> tuple[list[Step], dict[str, SkerryError]]:
    """All steps in order, stops and removals side by side; a module's steps end at its first failure.

    Returns what was done, and the failure of each module that had one.
    """
    done: list[Step] = []
    failed: dict[str, SkerryError] = {}

    async def attempt(step: Step) -> None:
        if isinstance(step, Pull) or step.module in failed:
            return
        try:
            await execute(step, engine)
        except SkerryError as error:
            log.warning("could not %s: %s", step, error)
            failed[step.module] = error
        else:
            done.append(step)

    steps = list(steps)
    for kind in (Stop, Remove):
        await asyncio.gather(*(attempt(step) for step in steps if isinstance(step, kind)))
    for step in steps:
        if isinstance(step, Create | Start):
            await attempt(step)
    return done, failed

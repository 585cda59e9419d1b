"""All checks, in the order in which their problems explain each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

from skerry.edge.checks import (
    certificates,
    config,
    disk,
    dns,
    engine,
    hub_auth,
    hub_reachable,
    identity,
    modules,
    ports,
    registry,
    store,
    system_clock,
    workload_sockets,
)
from skerry.edge.checks.check import Check, Device, Result
from skerry.errors import InvalidInput

CHECKS: tuple[Check, ...] = (
    config.CHECK,
    identity.CHECK,
    system_clock.CHECK,
    certificates.CHECK,
    dns.CHECK,
    hub_reachable.CHECK,
    hub_auth.CHECK,
    ports.CHECK,
    registry.CHECK,
    engine.CHECK,
    disk.CHECK,
    store.CHECK,
    workload_sockets.CHECK,
    modules.CHECK,
)


async def run_all(device: Device, leave_out: Collection[str] = ()) -> AsyncIterator[tuple[Check, Result]]:
    """Each check with its result, one after the other. InvalidInput for a name that no check has."""
    names = [check.name for check in CHECKS]
    for name in leave_out:
        if name not in names:
            raise InvalidInput(f"no check is called {name!r}", hint=f"there are: {', '.join(names)}")
    for check in CHECKS:
        if check.name not in leave_out:
            yield check, await check.run(device)

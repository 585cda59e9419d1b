"""Whether the hub takes this device's key."""

from __future__ import annotations

from skerry.edge.checks.check import NOT_PROVISIONED, Check, Device, Result, error, ok, skipped
from skerry.edge.daemon.hub_trust import hub_tls
from skerry.edge.daemon.identity_service import HubIdentityService
from skerry.errors import NotAllowed, NotAuthenticated, SkerryError, Unavailable


async def run(device: Device) -> Result:
    if device.known is None:
        return NOT_PROVISIONED
    settings, connection = device.known
    try:
        service = HubIdentityService(
            connection,
            address=settings.hub_address,
            port=settings.hub_https_port,
            tls=hub_tls(settings, connection),
            clock=device.clock,
        )
    except SkerryError as problem:
        return error(problem.what, problem.hint)
    try:
        modules = await service.list()
    except (NotAuthenticated, NotAllowed) as problem:
        return error(
            f"the hub refuses this device: {problem.what}",
            "run: skerry edge provision --force; check the clock",
        )
    except Unavailable as problem:
        return skipped(f"the hub was not reached: {problem.what}")
    except SkerryError as problem:
        return error(problem.what, problem.hint)
    finally:
        await service.close()
    return ok(f"the hub knows {connection.identity.client_id} and {len(modules)} modules of it")


CHECK = Check("hub-auth", "connectivity", "login at the hub", run)

"""What the agent and the edge hub need of their neighbours, in their own terms."""

from __future__ import annotations

from collections.abc import Callable

from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.edge.agent.ports import Document, Prepared
from skerry.edge.daemon.identities import ModuleIdentity
from skerry.edge.daemon.module_host import WorkloadHost
from skerry.edge.hub.edge_hub import EdgeHub
from skerry.edge.hub.twins import Twins


def identity_changed(hub: EdgeHub, before: ModuleIdentity | None, after: ModuleIdentity | None) -> None:
    """Tells the edge hub what the daemon learned of an identity."""
    if (module := after or before) is not None:
        # A first identity has no past: what its module reported while it was waited for is still to be sent.
        same = before is None or (after is not None and before.generation_id == after.generation_id)
        hub.identity_changed(Identity(hub.device.device, module.module), same_generation=same)


class AgentTwin:
    """The ``$edgeAgent`` twin out of the edge hub's cache."""

    def __init__(self, twins: Twins, identity: Identity) -> None:
        self._twins = twins
        self._identity = identity

    def desired(self) -> Document | None:
        twin = self._twins.cached(self._identity)
        return {**twin.desired, "$version": twin.desired_version} if twin.known else None

    def reported(self) -> Document:
        return self._twins.cached(self._identity).reported

    async def report(self, patch: Document) -> None:
        await self._twins.patch_reported(self._identity, patch)

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        return self._twins.on_desired(self._identity, lambda *_: listener())


class AgentHost:
    """The daemon's module host as the agent wants it."""

    def __init__(self, host: WorkloadHost, device: DeviceId, hub: EdgeHub) -> None:
        self._host = host
        self._device = device
        self._hub = hub

    async def prepare(self, module: str) -> Prepared:
        generation, directory = await self._host.open(ModuleId(module))
        identity = Identity(self._device, ModuleId(module))
        if not self._hub.twins.cached(identity).known:
            # Its twin is fetched now: it may have to start without a network soon.
            self._hub.upstream.open(identity)
        return Prepared(generation, directory)

    async def release(self, module: str) -> None:
        await self._host.release(ModuleId(module))

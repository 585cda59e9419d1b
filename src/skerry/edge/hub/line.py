"""One identity's connection to the hub, which also keeps its twin in step."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from skerry.clock import Clock
from skerry.contract.credentials import Signer, make_token
from skerry.contract.names import Identity
from skerry.edge.hub.twins import Twins
from skerry.errors import InvalidInput, NotAllowed, NotAuthenticated, SkerryError, TooLarge
from skerry.protocol.client import DeviceClient

log = logging.getLogger(__name__)

TOKEN_LIFE_S = 3600
# A twin request that failed is asked again after this long.
RETRY_S = 5.0
# A patch the hub calls illegal will not become legal by repetition; new ones still go out with it.
REFUSED_RETRY_S = 60.0


class IdentityTokens:
    """SAS tokens signed with an identity's present key, once there is one."""

    def __init__(
        self,
        signer: Callable[[Identity], Signer],
        identity: Identity,
        exists: Callable[[], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._signer = signer
        self._identity = identity
        self._exists = exists
        self._clock = clock

    async def token(self, resource: str) -> str:
        """Waits while the device holds no key: before the identity's first contact, after its removal."""
        await self._exists()
        expiry = int(self._clock.now().timestamp()) + TOKEN_LIFE_S
        return make_token(resource, self._signer(self._identity), expiry)


class VouchingTokens:
    """For a leaf device that showed its certificate here: the gateway speaks for it, as itself."""

    def __init__(self, gateway: IdentityTokens, resource: str) -> None:
        self._gateway = gateway
        self._resource = resource

    async def token(self, resource: str) -> str:
        return await self._gateway.token(self._resource)


class Line:
    """Runs until cancelled: connected, the cached twin fetched anew after each connect, patches sent."""

    def __init__(
        self, client: DeviceClient, twins: Twins, clock: Clock, changed: Callable[[Identity, bool], None]
    ) -> None:
        self.client = client
        self.identity = client.identity
        self._twins = twins
        self._clock = clock
        self._changed = changed
        self._stale = True
        self._wake = asyncio.Event()
        client.on_connection_changed = self._connection_changed
        client.on_desired = self._desired

    @property
    def idle(self) -> bool:
        """Nothing is under way over it."""
        return self.client.in_flight == 0

    @property
    def refused(self) -> bool:
        """Whether the hub refused the identity's credentials when it was last asked."""
        return isinstance(self.client.last_error, NotAuthenticated | NotAllowed)

    def wake(self) -> None:
        """There may be something to report."""
        self._wake.set()

    async def run(self) -> None:
        """Keep the line up and the twin in step."""
        await self.client.start()
        try:
            while True:
                await self.client.wait_connected()
                try:
                    await self._step()
                except (InvalidInput, NotAllowed, TooLarge) as error:
                    log.warning("the hub refuses what %s reports: %s", self.identity.client_id, error)
                    await self._clock.sleep(REFUSED_RETRY_S)
                except SkerryError as error:
                    log.info("twin of %s: %s", self.identity.client_id, error)
                    await self._clock.sleep(RETRY_S)
        finally:
            await self.client.stop()

    async def _step(self) -> None:
        self._wake.clear()
        if self._stale:
            self._stale = False
            try:
                document = await self.client.twin()
            except SkerryError:
                self._stale = True
                raise
            await self._twins.synced(self.identity, document)
        elif pending := self._twins.cached(self.identity).pending:
            version = await self.client.report(pending)
            await self._twins.confirm(self.identity, pending, version)
        else:
            await self._wake.wait()

    def _connection_changed(self, connected: bool) -> None:
        if connected:
            self._stale = True
            self._wake.set()
        self._changed(self.identity, connected)

    async def _desired(self, patch: dict[str, Any], version: int) -> None:
        if not await self._twins.desired_patch(self.identity, patch, version):
            self._stale = True
            self._wake.set()

"""Direct methods: asking a connected device or module something and getting its answer."""

from __future__ import annotations

import logging

from skerry.contract.json_text import compact
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.contract.names import Identity
from skerry.errors import Damaged, InvalidInput, NotFound, TimedOut, Unavailable
from skerry.hub.connections import Connections
from skerry.hub.registry import Registry

log = logging.getLogger(__name__)


class Methods:
    """Calls go to the identity's session; nothing is stored (contract §4.3, method request)."""

    def __init__(self, registry: Registry, connections: Connections) -> None:
        self._registry = registry
        self._connections = connections

    async def invoke(self, identity: Identity, request: MethodRequest) -> MethodResponse:
        """The answer of the device; waits ``connect_timeout_s`` for it to come online.

        Raises NotFound (no such identity, or ``code_name="DeviceNotOnline"``), TimedOut (no answer, also
        when the connection ended after the question was sent: the device may or may not have acted on it),
        Damaged (its answer is not JSON).
        """
        self._registry.require(identity)
        session = await self._connections.wait_for(identity, "methods", request.connect_timeout_s)
        if session is None:
            raise NotFound(
                f"{identity.client_id} is not online",
                hint="give connectTimeoutInSeconds to wait for it, or look at its connectionState",
                code_name="DeviceNotOnline",
            )
        try:
            response = await session.invoke(request)
        except Unavailable as exc:
            raise TimedOut(f"{identity.client_id} went offline before it answered {request.name!r}") from exc
        try:
            compact(response.payload)
        except InvalidInput as exc:
            raise Damaged(f"{identity.client_id} answered {request.name!r} with what is not JSON") from exc
        log.info("method %s on %s answered %d", request.name, identity.client_id, response.status)
        return response

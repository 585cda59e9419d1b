"""Direct methods: asking a connected device or module something and getting its answer."""

from __future__ import annotations

import logging

from skerry.contract.json_text import compact
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.contract.names import Identity
from skerry.errors import Damaged, InvalidInput
from skerry.hub.owners import Owners
from skerry.hub.registry import Registry

log = logging.getLogger(__name__)


class Methods:
    """Calls go to whoever holds the connection; nothing is stored (contract §4.3, method request)."""

    def __init__(self, registry: Registry, owners: Owners) -> None:
        self._registry = registry
        self._owners = owners

    async def invoke(self, identity: Identity, request: MethodRequest) -> MethodResponse:
        """The answer of the device; waits ``connect_timeout_s`` for it to come online.

        Raises NotFound (no such identity, or ``code_name="DeviceNotOnline"``), TimedOut (no answer, also
        when the connection ended after the question was sent: the device may or may not have acted on it),
        Damaged (its answer is not JSON).
        """
        self._registry.require(identity)
        response = await self._owners.invoke(identity, request)
        try:
            compact(response.payload)
        except InvalidInput as exc:
            raise Damaged(f"{identity.client_id} answered {request.name!r} with what is not JSON") from exc
        log.info("method %s on %s answered %d", request.name, identity.client_id, response.status)
        return response

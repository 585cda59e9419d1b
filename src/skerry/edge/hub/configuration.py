"""The edge hub's configuration: the desired properties of ``$edgeHub``, the last good ones kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from skerry import __version__
from skerry.contract.hub_desired import parse_hub_desired
from skerry.contract.names import Identity
from skerry.edge.hub.limits import UNLIMITED, EndpointLimits, parse_limits
from skerry.edge.hub.router import RoutingTable
from skerry.edge.hub.twins import Twins
from skerry.errors import InvalidInput
from skerry.store.documents import Documents

log = logging.getLogger(__name__)

LAST_GOOD = "last-good"
SCHEMA_VERSION = "1.3"


class HubConfiguration:
    """The routing table and limits in force; ``changed`` is called with new ones."""

    def __init__(
        self,
        identity: Identity,
        twins: Twins,
        documents: Documents,
        changed: Callable[[RoutingTable, EndpointLimits], None],
    ) -> None:
        self._identity = identity
        self._twins = twins
        self._documents = documents
        self._changed = changed
        self._taken: dict[str, Any] | None = None
        self.table = RoutingTable()
        self.limits = UNLIMITED

    def load(self) -> None:
        """Start with the last configuration that was good."""
        backup = self._documents.get(LAST_GOOD)
        if backup is not None:
            self._use(RoutingTable.of(parse_hub_desired(backup)), parse_limits(backup))

    async def take(self) -> None:
        """Look at the twin and use what it wants, if that is legal; report how it was taken."""
        twin = self._twins.cached(self._identity)
        if not twin.known or twin.desired == self._taken:
            return
        self._taken = twin.desired
        code, description = 200, ""
        if twin.desired:
            try:
                desired, limits = parse_hub_desired(twin.desired), parse_limits(twin.desired)
            except InvalidInput as error:
                code = 412 if error.fields.get("code") == 412 else 400
                where = f" at {error.fields['path']}" if "path" in error.fields else ""
                description = f"{error}{where}"
                log.warning("edge hub configuration %d is refused: %s", twin.desired_version, description)
            else:
                await self._documents.put(LAST_GOOD, twin.desired)
                self._use(RoutingTable.of(desired), limits)
                log.info("edge hub configuration %d is in force", twin.desired_version)
        await self._twins.patch_reported(
            self._identity,
            {
                "schemaVersion": SCHEMA_VERSION,
                "version": {"version": __version__, "build": "", "commit": ""},
                "lastDesiredVersion": twin.desired_version,
                "lastDesiredStatus": {"code": code, "description": description},
            },
        )

    def _use(self, table: RoutingTable, limits: EndpointLimits) -> None:
        self.table = table
        self.limits = limits
        self._changed(table, limits)

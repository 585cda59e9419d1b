"""Where the agent's configuration comes from: the twin, else the last good one kept on the device."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from skerry.contract.manifest import AgentDesired, parse_agent_desired
from skerry.edge.agent.ports import AgentTwin, Document
from skerry.edge.agent.report import BAD_FORMAT, BAD_SCHEMA, NO_DEPLOYMENT, DesiredStatus
from skerry.errors import InvalidInput, StorageFull
from skerry.store.documents import Documents

log = logging.getLogger(__name__)

LAST_GOOD = "last-good"


@dataclass(frozen=True)
class Configuration:
    """The configuration in force; ``refused`` says why a newer one is not, None when there is none."""

    desired: AgentDesired | None
    version: int
    refused: DesiredStatus | None


class Source:
    """Reads the twin as often as asked and remembers the newest configuration that was valid."""

    def __init__(self, twin: AgentTwin, documents: Documents) -> None:
        self._twin = twin
        self._documents = documents
        self._good: tuple[AgentDesired, int] | None = None
        self._seen: Document | None = None
        self._refused: DesiredStatus | None = None

    @property
    def desired(self) -> AgentDesired | None:
        """The configuration in force."""
        return self._good[0] if self._good else None

    def load(self) -> None:
        """Start from the backup; whatever the twin says later, this one is known to have worked."""
        backup = self._documents.get(LAST_GOOD)
        if backup is not None:
            self._good = (parse_agent_desired(backup["desired"]), backup["version"])

    async def current(self) -> Configuration:
        """The configuration to bring about now."""
        document = self._twin.desired()
        if document is None:
            self._refused = (
                None if self._good else DesiredStatus(0, NO_DEPLOYMENT, "the hub was never reached")
            )
        elif document != self._seen:
            self._refused = await self._take(document)
            self._seen = document
        desired, version = self._good or (None, 0)
        return Configuration(desired, version, self._refused)

    async def _take(self, document: Document) -> DesiredStatus | None:
        version = int(document.get("$version", 0))
        properties = {name: value for name, value in document.items() if not name.startswith("$")}
        if not properties:
            # A device that lost its deployment keeps what it runs (contract.md §6.11).
            return DesiredStatus(version, NO_DEPLOYMENT, "no deployment")
        try:
            desired = parse_agent_desired(properties)
        except InvalidInput as error:
            log.warning("configuration %d is refused: %s", version, error)
            code = BAD_SCHEMA if error.fields.get("code") == BAD_SCHEMA else BAD_FORMAT
            where = f" at {error.fields['path']}" if "path" in error.fields else ""
            return DesiredStatus(version, code, f"{error}{where}")
        try:
            await self._documents.put(LAST_GOOD, {"desired": properties, "version": version})
        except StorageFull as error:
            log.warning("configuration %d is used but not backed up: %s", version, error)
        self._good = (desired, version)
        log.info("configuration %d wants modules: %s", version, ", ".join(sorted(desired.modules)) or "none")
        return None

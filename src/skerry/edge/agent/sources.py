"""Where the agent's configuration comes from: the twin, else the one in force kept on the device."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from skerry.contract.manifest import AgentDesired, parse_agent_desired
from skerry.edge.agent.deployments import Deployment, Deployments
from skerry.edge.agent.ports import AgentTwin, Document
from skerry.edge.agent.report import BAD_FORMAT, BAD_SCHEMA, FAILED, NO_DEPLOYMENT, DesiredStatus
from skerry.edge.agent.state import History, Wanted
from skerry.edge.agent.trial import STEADY_S, condemned, look
from skerry.edge.engine.port import Observed
from skerry.errors import InvalidInput, StorageFull
from skerry.store.documents import Documents

log = logging.getLogger(__name__)

DEPLOYMENTS = "deployments"
# A trial is written this often, so that a restarted agent knows of faults but for the last seconds.
SAVE_FAULTS_EVERY_S = 10.0


@dataclass(frozen=True)
class Configuration:
    """The configuration in force; ``refused`` says why a newer one is not, None when there is none."""

    desired: AgentDesired | None
    version: int
    refused: DesiredStatus | None


class Source:
    """Reads the twin as often as asked; knows which deployment is in force and which one was before."""

    def __init__(self, twin: AgentTwin, documents: Documents, patience_s: float) -> None:
        self._twin = twin
        self._documents = documents
        self._patience_s = patience_s
        self._saved: Document | None = None
        self._saved_at = 0.0
        self._desired: AgentDesired | None = None
        self._seen: Document | None = None
        self._refused: DesiredStatus | None = None
        self.deployments = Deployments()

    @property
    def desired(self) -> AgentDesired | None:
        """The configuration in force."""
        return self._desired

    @property
    def on_trial(self) -> bool:
        """Whether the deployment in force has yet to show that it works."""
        return self.deployments.trial is not None

    def load(self) -> None:
        """Start from what is on the device; whatever the twin says later, this was valid once."""
        if (kept := self._documents.get(DEPLOYMENTS)) is not None:
            self._saved = kept
            self.deployments = Deployments.from_json(kept)
            self._parse()

    async def current(self) -> Configuration:
        """The configuration to bring about now."""
        document = self._twin.desired()
        if document is None:
            never = self.deployments.current is None
            self._refused = DesiredStatus(0, NO_DEPLOYMENT, "the hub was never reached") if never else None
        elif document != self._seen:
            self._refused = await self._take(document)
            self._seen = document
        current = self.deployments.current
        return Configuration(
            self._desired, current.version if current else 0, self._refused or self._fallen()
        )

    async def judge(
        self, wanted: Mapping[str, Wanted], observed: Mapping[str, Observed], history: History, now: float
    ) -> bool:
        """Look whether the deployment on trial works; True when another one is in force now."""
        before = self.deployments
        if before.trial is None:
            return False
        steady_s = min(STEADY_S, self._patience_s / 2)
        trial, proven = look(before.trial, wanted, observed, history, now, steady_s=steady_s)
        tried = Deployments(before.current, before.proven, trial)
        if proven:
            log.info("deployment %d works", before.current.version if before.current else 0)
            await self._keep(tried.prove(), now)
            return False
        reason = condemned(trial, self._patience_s)
        judged = tried if reason is None else tried.condemn(reason)
        await self._keep(judged, now)
        if (back := judged.rolled_back) is None:
            return False
        log.warning("deployment %d does not work, back to %d: %s", back.origin, back.to, back.reason)
        self._parse()
        return True

    async def _take(self, document: Document) -> DesiredStatus | None:
        version = int(document.get("$version", 0))
        properties = {name: value for name, value in document.items() if not name.startswith("$")}
        if not properties:
            # A device that lost its deployment keeps what it runs (contract.md §6.11).
            return DesiredStatus(version, NO_DEPLOYMENT, "no deployment")
        try:
            parse_agent_desired(properties)
        except InvalidInput as error:
            log.warning("configuration %d is refused: %s", version, error)
            code = BAD_SCHEMA if error.fields.get("code") == BAD_SCHEMA else BAD_FORMAT
            where = f" at {error.fields['path']}" if "path" in error.fields else ""
            return DesiredStatus(version, code, f"{error}{where}")
        offered = self.deployments.offer(Deployment(version, properties))
        if offered is not self.deployments:
            await self._keep(offered)
            self._parse()
            names = ", ".join(sorted(self._desired.modules)) if self._desired else ""
            log.info("configuration %d wants modules: %s", version, names or "none")
        return None

    def _parse(self) -> None:
        current = self.deployments.current
        self._desired = parse_agent_desired(current.properties) if current is not None else None

    def _fallen(self) -> DesiredStatus | None:
        back = self.deployments.rolled_back
        if back is None:
            return None
        return DesiredStatus(back.origin, FAILED, f"rolled back to {back.to}: {back.reason}")

    async def _keep(self, deployments: Deployments, now: float | None = None) -> None:
        """In force from now on, and on disk: a change of faults alone now and then, all else at once."""
        before, self.deployments = self.deployments, deployments
        only_faults = (before.current, before.proven, before.failed) == (
            deployments.current,
            deployments.proven,
            deployments.failed,
        ) and (before.trial is None) == (deployments.trial is None)
        if only_faults and now is not None and 0 <= now - self._saved_at < SAVE_FAULTS_EVERY_S:
            return
        document = deployments.to_json()
        if document == self._saved:
            return
        try:
            await self._documents.put(DEPLOYMENTS, document)
            self._saved, self._saved_at = document, now or self._saved_at
        except StorageFull as error:
            log.warning("the configuration in force is not on disk: %s", error)

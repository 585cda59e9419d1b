"""What the runtime shows of itself and does on request, put together from its parts."""

from __future__ import annotations

import logging
import platform
from collections.abc import AsyncIterator
from pathlib import Path

from skerry import __version__
from skerry.clock import Clock
from skerry.edge.agent.agent import Agent
from skerry.edge.agent.logs import moment
from skerry.edge.agent.ports import Document
from skerry.edge.daemon.assignment import Reprovisioning
from skerry.edge.daemon.host_metrics import HostMetrics
from skerry.edge.daemon.identity_watch import IdentityWatch
from skerry.edge.daemon.management_api import Runtime
from skerry.edge.daemon.recent_log import RecentLog
from skerry.edge.daemon.support_bundle import SupportBundle
from skerry.edge.hub.edge_hub import EdgeHub
from skerry.edge.stores import Stores
from skerry.service.log import set_level
from skerry.service.metrics import Metrics

log = logging.getLogger(__name__)


def view(
    agent: Agent,
    hub: EdgeHub,
    stores: Stores,
    metrics: Metrics,
    watch: IdentityWatch,
    archive: SupportBundle,
    recent: RecentLog,
    clock: Clock,
    disk: Path,
    reprovisioning: Reprovisioning,
) -> Runtime:
    """What the management API shows and does; ``disk`` is a folder on the one whose room counts."""
    machine = HostMetrics(metrics, [disk])

    def exposition() -> bytes:
        hub.refresh_metrics()
        machine.refresh(agent.processes())
        return metrics.exposition()

    def logs(
        name: str, tail: int | None, since: str | None, until: str | None, follow: bool
    ) -> AsyncIterator[bytes]:
        after, before = moment(since, clock), moment(until, clock, "until")
        return agent.engine.logs(name, tail=tail, since=after, until=before, follow=follow)

    async def bundle(since: str | None, until: str | None, runtime_only: bool) -> bytes:
        return await archive.build(moment(since, clock), moment(until, clock, "until"), runtime_only)

    def own_log(since: str | None, until: str | None) -> str:
        return recent.text(moment(since, clock), moment(until, clock, "until"))

    def set_log_level(level: str) -> None:
        set_level(level)
        log.warning("the log level is %s now", level)

    def status() -> Document:
        return {
            "device": hub.device.client_id,
            "version": __version__,
            "engine": agent.engine.name,
            "deployment": agent.deployment(),
            **stores.status(),
            **hub.status(),
            # The first contact fails before there is a key to connect with: its error is the telling one.
            "upstream": {
                "connected": hub.upstream.connected,
                "lastError": str(watch.last_error or hub.upstream.last_error or "") or None,
            },
        }

    return Runtime(
        modules=agent.modules,
        status=status,
        system_info=lambda: {
            "osType": platform.system().lower(),
            "architecture": platform.machine(),
            "version": __version__,
            "provisioning": reprovisioning.described,
        },
        logs=logs,
        restart=agent.restart,
        metrics=exposition,
        why=agent.why,
        bundle=bundle,
        reprovision=reprovisioning.answer,
        own_log=own_log,
        set_log_level=set_log_level,
    )

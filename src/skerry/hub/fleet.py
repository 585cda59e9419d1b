"""Everything that is about many devices at once, in one value."""

from __future__ import annotations

from dataclasses import dataclass

from skerry.clock import Clock
from skerry.hub.audit import Audit
from skerry.hub.bulk import Bulk
from skerry.hub.changes import Changes
from skerry.hub.configurations import Configurations
from skerry.hub.deployments import Deployments
from skerry.hub.jobs import Jobs
from skerry.hub.journal import Journal
from skerry.hub.methods import Methods
from skerry.hub.owners import Owners
from skerry.hub.queries import Queries
from skerry.hub.registry import Registry
from skerry.hub.rollout import Rollout
from skerry.hub.transfers import Transfers
from skerry.hub.twins import Twins
from skerry.service.lifecycle import Supervisor
from skerry.store.storage import Storage


@dataclass(frozen=True, slots=True)
class Fleet:
    """Queries, bulk changes, configurations with their rollout, jobs."""

    queries: Queries
    bulk: Bulk
    rollout: Rollout
    configurations: Configurations
    jobs: Jobs
    transfers: Transfers

    async def start(self, supervisor: Supervisor) -> None:
        """Begin what runs by itself."""
        await self.queries.prepare()
        supervisor.start("roll out configurations", self.rollout.run)
        supervisor.start("run jobs", self.jobs.run)


def fleet(
    database: Storage,
    owners: Owners,
    registry: Registry,
    twins: Twins,
    methods: Methods,
    deployments: Deployments,
    changes: Changes,
    journal: Journal,
    clock: Clock,
) -> Fleet:
    """The fleet verbs over these."""
    queries = Queries(database, owners)
    bulk = Bulk(registry, twins)
    rollout = Rollout(database, owners, deployments, twins, changes, journal, clock)
    return Fleet(
        queries=queries,
        bulk=bulk,
        rollout=rollout,
        configurations=Configurations(database, queries, rollout, journal, clock),
        jobs=Jobs(database, queries, twins, methods, journal, clock),
        transfers=Transfers(database, bulk, Audit(database, journal), clock),
    )

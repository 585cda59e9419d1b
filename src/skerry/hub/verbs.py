"""Everything a front may ask of the hub, in one value."""

from __future__ import annotations

from dataclasses import dataclass

from skerry.clock import Clock
from skerry.hub.audit import Audit
from skerry.hub.authority import Authority
from skerry.hub.ca_certificates import CaCertificates
from skerry.hub.commands import Commands
from skerry.hub.connections import Connections
from skerry.hub.consumers import Consumers
from skerry.hub.containers.containers import Containers
from skerry.hub.deployments import Deployments
from skerry.hub.enrollments import Enrollments
from skerry.hub.fleet import Fleet
from skerry.hub.methods import Methods
from skerry.hub.outbox import Outbox
from skerry.hub.owners import Owners
from skerry.hub.provisioning import Provisioning
from skerry.hub.registry import Registry
from skerry.hub.sinks import Sinks
from skerry.hub.telemetry import Telemetry
from skerry.hub.throttle import Throttle
from skerry.hub.twins import Twins
from skerry.hub.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Verbs:
    """REST, gateway and dashboard parse, call one of these, and render: many fronts, one data plane."""

    authority: Authority
    registry: Registry
    twins: Twins
    methods: Methods
    commands: Commands
    deployments: Deployments
    fleet: Fleet
    telemetry: Telemetry
    enrollments: Enrollments
    provisioning: Provisioning
    uploads: Uploads
    certificates: CaCertificates
    audit: Audit
    throttle: Throttle
    consumers: Consumers
    sinks: Sinks
    outbox: Outbox
    owners: Owners
    # Those that end in this process.
    connections: Connections
    containers: Containers
    clock: Clock

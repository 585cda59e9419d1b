"""The agent's numbers, under Microsoft's names (contract.md §6.12)."""

from __future__ import annotations

from collections.abc import Mapping

from skerry import __version__
from skerry.edge.agent.state import Create, Remove, Start, Step, Stop, Wanted
from skerry.edge.engine.port import Observed
from skerry.service.metrics import Metrics

# A longer pause between two looks is one in which nobody looked, not one in which modules ran.
LOOK_MAX_S = 60.0
COMMANDS = {Stop: "stop", Remove: "remove", Create: "create", Start: "start"}


class AgentMetrics:
    """Counts what the agent does and sees; labels are ``module_name`` and ``module_version``."""

    def __init__(self, metrics: Metrics) -> None:
        names = ["module_name"]
        self._running = metrics.gauge(
            "edgeAgent_total_time_running_correctly_seconds", "Time in which a module ran as wanted", names
        )
        self._expected = metrics.gauge(
            "edgeAgent_total_time_expected_running_seconds", "Time in which a module had to run", names
        )
        versioned = ["module_name", "module_version"]
        self._starts = metrics.counter("edgeAgent_module_start", "Times a module was started", versioned)
        self._stops = metrics.counter("edgeAgent_module_stop", "Times a module was stopped", versioned)
        self._latency = metrics.histogram(
            "edgeAgent_command_latency_seconds", "Time until an engine had done a command", ["command"]
        )
        self._syncs = metrics.counter("edgeAgent_iothub_syncs", "Reports written")
        self._lost = metrics.counter("edgeAgent_unsuccessful_iothub_syncs", "Reports not written")
        self._deployment = metrics.gauge(
            "edgeAgent_deployment_time_seconds", "From taking the last deployment to all modules as wanted"
        )
        self._methods = metrics.gauge(
            "edgeagent_direct_method_invocations_count", "Direct methods called", ["method_name"]
        )
        metrics.gauge("edgeAgent_metadata", "The agent", ["edge_agent_version"]).labels(__version__).set(1)
        self._looked_at: float | None = None
        self._taken: tuple[int, float] | None = None
        self._deployed = -1

    def look(self, wanted: Mapping[str, Wanted], observed: Mapping[str, Observed], now: float) -> None:
        """Account for the time since the last look (``now`` in unix seconds)."""
        elapsed = 0.0 if self._looked_at is None else min(max(now - self._looked_at, 0.0), LOOK_MAX_S)
        self._looked_at = now
        for name, module in wanted.items():
            if module.spec.status != "running":
                continue
            self._expected.labels(name).inc(elapsed)
            seen = observed.get(name)
            if seen is not None and seen.status == "running" and seen.health != "unhealthy":
                self._running.labels(name).inc(elapsed)

    def did(self, step: Step, wanted: Mapping[str, Wanted], seconds: float) -> None:
        """A step was done, ``seconds`` after the plan was begun."""
        if (command := COMMANDS.get(type(step))) is None or not isinstance(
            step, Stop | Remove | Create | Start
        ):
            return
        self._latency.labels(command).observe(seconds)
        module = wanted.get(step.module)
        version = module.spec.version if module else ""
        if isinstance(step, Start):
            self._starts.labels(step.module, version).inc()
        elif isinstance(step, Stop):
            self._stops.labels(step.module, version).inc()

    def taken(self, version: int, at: float) -> None:
        """A deployment is in force from now on; ``at`` is monotonic."""
        self._taken = (version, at)

    def deployed(self, version: int, at: float) -> None:
        """All modules are as wanted; ``at`` is monotonic."""
        if self._taken is not None and self._taken[0] == version != self._deployed:
            self._deployed = version
            self._deployment.set(at - self._taken[1])

    def synced(self, *, well: bool) -> None:
        (self._syncs if well else self._lost).inc()

    def invoked(self, method: str) -> None:
        """A direct method with a known name was called."""
        self._methods.labels(method).inc()

"""Whether a deployment works: every new one is on trial until all its modules run well.

Pure. A module that is at fault for ``patience_s`` without having run well in between condemns the deployment.
Time at fault is counted look by look and not read off a clock that may be stepped by decades; while the agent
is not running, nothing is counted. A registry or hub that is away is nobody's fault: then the trial lasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skerry.edge.agent.restart import wants_restart
from skerry.edge.agent.state import NEVER, UNKNOWN_IMAGE, History, Wanted
from skerry.edge.engine.port import Observed

# A module that has run this long without a complaint works; most broken ones die within seconds.
STEADY_S = 30.0
# The longest time between two looks that is counted: a machine that slept was not at fault.
LOOK_MAX_S = 10.0


@dataclass(frozen=True, slots=True)
class Fault:
    """For how long a module has not run well, and why."""

    seconds: float
    reason: str


@dataclass(frozen=True)
class Trial:
    """The faults of a deployment so far, by module; ``looked_at`` in unix seconds."""

    faults: Mapping[str, Fault] = field(default_factory=dict)
    looked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Good:
    """The module does what is wanted of it."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Nothing can be said of the module yet."""


@dataclass(frozen=True, slots=True)
class Faulty:
    """The module does not run well."""

    reason: str


Condition = Good | Pending | Faulty


def condition(
    wanted: Wanted, seen: Observed | None, history: History, now: float, steady_s: float
) -> Condition:
    """How a module is now, whatever it was before."""
    refused = history.failures.get(wanted.name, NEVER)
    if refused.blames:
        return Faulty(refused.reason)
    if seen is None or seen.spec_digest != wanted.run.digest:
        return _image(wanted, history)
    if wanted.spec.status == "stopped":
        return Pending() if seen.status == "running" else Good()
    match seen.status:
        case "created":
            return Pending()
        case "running":
            return _running(seen, now, steady_s)
        case "exited" | "dead":
            return _ended(wanted, seen, history)


def look(
    trial: Trial,
    wanted: Mapping[str, Wanted],
    observed: Mapping[str, Observed],
    history: History,
    now: float,
    *,
    steady_s: float = STEADY_S,
) -> tuple[Trial, bool]:
    """The trial after a look at the modules, and whether the deployment has proven itself."""
    elapsed = 0.0 if trial.looked_at is None else min(max(now - trial.looked_at, 0.0), LOOK_MAX_S)
    faults: dict[str, Fault] = {}
    proven = True
    for name, module in wanted.items():
        before = trial.faults.get(name)
        match condition(module, observed.get(name), history, now, steady_s):
            case Good():
                continue
            case Faulty(reason):
                faults[name] = Fault(before.seconds + elapsed if before else 0.0, reason)
            case Pending():
                # Up again after a crash is no cure yet: the crash loop goes on until it runs well.
                if before is not None:
                    faults[name] = Fault(before.seconds + elapsed, before.reason)
        proven = False
    return Trial(faults, now), proven


def condemned(trial: Trial, patience_s: float) -> str | None:
    """Why the deployment does not work, or None while it still may."""
    lost = [
        f"{name}: {fault.reason}"
        for name, fault in sorted(trial.faults.items())
        if fault.seconds >= patience_s
    ]
    return "; ".join(lost) or None


def _image(wanted: Wanted, history: History) -> Condition:
    image = history.images.get(wanted.run.image, UNKNOWN_IMAGE)
    if image.present:
        return Pending()
    if wanted.spec.image_pull_policy == "never":
        return Faulty(f"image {wanted.run.image} is not on this device and may not be pulled")
    return Faulty(image.failed.reason) if image.failed.blames else Pending()


def _running(seen: Observed, now: float, steady_s: float) -> Condition:
    if seen.health == "unhealthy":
        return Faulty(f"unhealthy: {seen.detail}" if seen.detail else "unhealthy")
    if seen.health == "starting" or seen.started_at is None:
        return Pending()
    return Good() if now - seen.started_at >= steady_s else Pending()


def _ended(wanted: Wanted, seen: Observed, history: History) -> Condition:
    if wanted.name in history.owed:
        return Pending()
    if seen.status == "exited" and seen.exit_code == 0:
        # A job that is done; under "always" one that is run again and again.
        return Pending() if wants_restart(wanted.spec.restart_policy, seen) else Good()
    return Faulty(f"exited with code {seen.exit_code}" + (f", {seen.detail}" if seen.detail else ""))

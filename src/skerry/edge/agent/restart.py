"""When an ended or unhealthy module is started again."""

from __future__ import annotations

from dataclasses import dataclass

from skerry.edge.agent.state import NEVER, Tally
from skerry.edge.engine.port import Observed

# contract.md §6.7: wait min(10 s x 2^n, 300 s) after an exit, and forget n after 10 healthy minutes.
# Microsoft's agent gives up after 20 restarts; ours never does, unless it is told to.
BACKOFF_FIRST_S = 10.0
BACKOFF_MAX_S = 300.0
HEALTHY_AFTER_S = 600.0
# 2^5 x 10 s is past the cap; a larger exponent only risks an overflow.
EXPONENT_MAX = 5


@dataclass(frozen=True, slots=True)
class Rules:
    """What the user may decide about starts.

    A module restarted ``restarts_max`` times in a row is given up (0: never). A module is held for up to
    ``readiness_s`` while one of a lower startup order is not healthy yet (0: not held).
    """

    restarts_max: int = 0
    readiness_s: float = 0.0

    def gives_up(self, tally: Tally) -> bool:
        return 0 < self.restarts_max <= tally.count


NO_RULES = Rules()


def backoff_s(count: int) -> float:
    """Seconds to wait after ``count`` attempts in a row."""
    return min(BACKOFF_FIRST_S * 2.0 ** min(max(count, 0), EXPONENT_MAX), BACKOFF_MAX_S)


def due_at(since: float, count: int, now: float) -> float:
    """The moment the next attempt is due; at once when the clock stepped to before ``since``."""
    return now if since > now else since + backoff_s(count)


def wants_restart(policy: str, module: Observed) -> bool:
    """Whether ``policy`` asks to start this module again, sooner or later."""
    ended = module.status in ("exited", "dead")
    failed = ended and (module.exit_code is None or module.exit_code != 0)
    unhealthy = module.status == "running" and module.health == "unhealthy"
    if policy == "always":
        return ended or unhealthy
    if policy == "on-unhealthy":
        return failed or unhealthy
    if policy == "on-failure":
        return failed
    return False


def restart_due_at(module: Observed, tally: Tally, now: float) -> float:
    """When to restart ``module``, restarted ``tally.count`` times since it was last healthy."""
    if module.status == "running":
        return due_at(tally.at, tally.count - 1, now) if tally.count else now
    if not tally.count and module.started_at is not None:
        # It was well until now: what ran for longer than the first wait is back at once (field.md pain 9).
        return due_at(module.started_at, 0, now)
    return due_at(module.finished_at if module.finished_at is not None else tally.at, tally.count, now)


def settled(tally: Tally, module: Observed, now: float) -> Tally:
    """The tally, forgotten once the module has run healthily for ten minutes."""
    if module.status != "running" or module.health == "unhealthy" or module.started_at is None:
        return tally
    return NEVER if now - module.started_at >= HEALTHY_AFTER_S else tally

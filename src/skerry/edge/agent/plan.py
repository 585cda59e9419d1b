"""The planner: from what is wanted, seen and remembered to the next steps.

Pure. The agent asks, does the steps, looks again; a plan without steps or waits means converged. Order:
stop and remove what is not wanted, replace what changed, start by startup order (contract.md §6.7).
A changed module keeps running until the image of its successor is here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import assert_never

from skerry.edge.agent.restart import NO_RULES, Rules, due_at, restart_due_at, wants_restart
from skerry.edge.agent.state import (
    NEVER,
    UNKNOWN_IMAGE,
    Create,
    History,
    Plan,
    Pull,
    Remove,
    Start,
    Step,
    Stop,
    Wait,
    Wanted,
)
from skerry.edge.engine.port import Observed

Move = Step | Wait


def plan(
    wanted: Mapping[str, Wanted],
    observed: Mapping[str, Observed],
    history: History,
    now: float,
    rules: Rules = NO_RULES,
) -> Plan:
    """The steps that bring ``observed`` nearer to ``wanted`` at ``now`` (unix seconds)."""
    moves = list(_unwanted(wanted, observed))
    for module in sorted(wanted.values(), key=lambda w: (w.spec.startup_order, w.name)):
        moves += _module(module, observed.get(module.name), history, now, rules)
    if rules.readiness_s:
        moves = [_held(move, moves, wanted, observed, now, rules.readiness_s) for move in moves]
    steps: list[Step] = []
    for move in moves:
        # Two modules may need the same image pulled.
        if not isinstance(move, Wait) and move not in steps:
            steps.append(move)
    waits = tuple(move for move in moves if isinstance(move, Wait))
    return Plan(tuple(sorted(steps, key=_phase)), waits)


def _phase(step: Step) -> int:
    match step:
        case Pull():
            return 0
        case Stop():
            return 1
        case Remove():
            return 2
        case Create():
            return 3
        case Start():
            return 4
        case _:
            assert_never(step)


def _unwanted(wanted: Mapping[str, Wanted], observed: Mapping[str, Observed]) -> Iterator[Move]:
    for name in sorted(observed.keys() - wanted.keys()):
        if observed[name].status == "running":
            yield Stop(name, "no longer wanted")
        yield Remove(name, "no longer wanted")


def _held(
    move: Move,
    moves: Sequence[Move],
    wanted: Mapping[str, Wanted],
    observed: Mapping[str, Observed],
    now: float,
    readiness_s: float,
) -> Move:
    """A first start waits while a module of a lower startup order is being started or not healthy yet.

    A module without a health check is ready when it runs. A restart is never held: what worked together
    once does not go down together.
    """
    if not isinstance(move, Start) or move.restart:
        return move
    order = wanted[move.module].spec.startup_order
    starting = {step.module for step in moves if isinstance(step, Start) and not step.restart}
    for other in sorted(wanted.values(), key=lambda w: w.name):
        if other.spec.startup_order >= order:
            continue
        seen = observed.get(other.name)
        if other.name in starting:
            return Wait(move.module, None, f"{other.name} starts first")
        if seen is not None and seen.status == "running" and seen.health == "starting":
            until = (now if seen.started_at is None else min(seen.started_at, now)) + readiness_s
            if until > now:
                return Wait(move.module, until, f"{other.name} is not healthy yet")
    return move


def _module(
    wanted: Wanted, seen: Observed | None, history: History, now: float, rules: Rules
) -> Iterator[Move]:
    refused = history.failures.get(wanted.name, NEVER)
    if refused.count and (due := due_at(refused.at, refused.count - 1, now)) > now:
        yield Wait(wanted.name, due, refused.reason)
    elif seen is None or seen.spec_digest != wanted.run.digest or seen.status == "dead":
        yield from _make(wanted, seen, history, now, rules)
    else:
        yield from _keep(wanted, seen, history, now, rules)


def _make(
    wanted: Wanted, seen: Observed | None, history: History, now: float, rules: Rules
) -> Iterator[Move]:
    missing = list(_image(wanted, history, now))
    yield from missing
    if missing:
        if seen is not None and seen.status != "dead":
            # Until its successor is here the old one is looked after as ever.
            yield from _keep(wanted, seen, history, now, rules)
        return
    reason = "new" if seen is None else "dead" if seen.spec_digest == wanted.run.digest else "changed"
    if seen is not None:
        if seen.status == "running":
            yield Stop(wanted.name, reason)
        yield Remove(wanted.name, reason)
    yield Create(wanted.run)
    if wanted.spec.status == "running":
        yield Start(wanted.name, reason)


def _image(wanted: Wanted, history: History, now: float) -> Iterator[Move]:
    """What has to happen before the module's image can be used; nothing when it can be."""
    reference = wanted.run.image
    image = history.images.get(reference, UNKNOWN_IMAGE)
    # A reference with a digest names bytes, not a moving tag; and what a failed pull left is usable.
    fresh = "@sha256:" in reference or wanted.spec.image_pull_policy == "never"
    if image.present and (fresh or image.pulled or image.failed.count):
        return
    if image.pulling:
        yield Wait(wanted.name, None, f"pulling {reference}")
    elif wanted.spec.image_pull_policy == "never":
        yield Wait(wanted.name, None, f"image {reference} is not on this device and may not be pulled")
    elif image.failed.count and (due := due_at(image.failed.at, image.failed.count - 1, now)) > now:
        yield Wait(wanted.name, due, image.failed.reason)
    else:
        yield Pull(reference)


def _keep(wanted: Wanted, seen: Observed, history: History, now: float, rules: Rules) -> Iterator[Move]:
    running = seen.status == "running"
    if wanted.spec.status == "stopped":
        if running:
            yield Stop(wanted.name, "wanted stopped")
    elif seen.status == "created":
        yield Start(wanted.name, "not started yet")
    elif not running and wanted.name in history.owed:
        yield Start(wanted.name, "wanted running")
    elif wants_restart(wanted.spec.restart_policy, seen):
        tally = history.restarts.get(wanted.name, NEVER)
        why = "unhealthy" if running else f"exited with code {seen.exit_code}"
        if not running and rules.gives_up(tally):
            yield Wait(wanted.name, None, f"given up after {tally.count} restarts; {why}")
            return
        if (due := restart_due_at(seen, tally, now)) > now:
            yield Wait(wanted.name, due, why)
            return
        if running:
            yield Stop(wanted.name, why)
        yield Start(wanted.name, why, restart=True)

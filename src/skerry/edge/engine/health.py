"""Docker's HEALTHCHECK: what to run how often, and what its results make of a module's health.

Pure. Source: Docker Engine API 1.41 ``HealthConfig``; Dockerfile reference, "HEALTHCHECK". Times there are
nanoseconds; 0 or absent means inherited, and then Docker's default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from skerry.edge.engine.port import Health
from skerry.errors import InvalidInput

NANOSECONDS = 1_000_000_000
INTERVAL_S = TIMEOUT_S = 30.0
RETRIES = 3
# Docker refuses shorter ones; a check per millisecond would be an attack on the device.
SHORTEST_S = 0.001
SHELL = ("/bin/sh", "-c")
# What a check printed is shown with the status; more would not help.
OUTPUT_CHARS_MAX = 200


@dataclass(frozen=True, slots=True)
class Probe:
    """A command to run in the module every ``interval_s``; longer than ``timeout_s`` is a failure."""

    argv: tuple[str, ...]
    interval_s: float = INTERVAL_S
    timeout_s: float = TIMEOUT_S
    start_period_s: float = 0.0
    retries: int = RETRIES


@dataclass(frozen=True, slots=True)
class Verdict:
    """A module's health so far; ``failures`` in a row."""

    health: Health = "starting"
    failures: int = 0
    output: str = ""

    def after(self, probe: Probe, ok: bool, output: str, up_s: float) -> Verdict:
        """The health after another result, ``up_s`` seconds after the module's start."""
        text = " ".join(output.split())[:OUTPUT_CHARS_MAX]
        if ok:
            return Verdict("healthy", 0, text)
        if self.health == "starting" and up_s < probe.start_period_s:
            # Failures while it starts do not count; a success ends the period early.
            return replace(self, output=text)
        failures = self.failures + 1
        return Verdict("unhealthy" if failures >= probe.retries else self.health, failures, text)


def probe_of(image: Mapping[str, Any] | None, options: Mapping[str, Any] | None) -> Probe | None:
    """The check of a module: createOptions' ``Healthcheck`` over the image's; None when there is none.

    InvalidInput for one that makes no sense.
    """
    own, inherited = options or {}, image or {}
    test = own.get("Test") or inherited.get("Test") or []
    if not isinstance(test, Sequence) or isinstance(test, str) or not all(isinstance(t, str) for t in test):
        raise InvalidInput("Healthcheck.Test is not a list of strings", path="createOptions.Healthcheck.Test")
    if not test or test[0] == "NONE":
        return None
    kind, *words = test
    if kind not in ("CMD", "CMD-SHELL") or not words:
        raise InvalidInput(
            f"Healthcheck.Test begins with {kind!r}",
            hint='use ["CMD", program, …], ["CMD-SHELL", command] or ["NONE"]',
            path="createOptions.Healthcheck.Test",
        )

    def seconds(key: str, default: float) -> float:
        value = own.get(key) or inherited.get(key) or 0
        if not isinstance(value, int | float) or value < 0:
            raise InvalidInput(f"Healthcheck.{key} is not a time", path=f"createOptions.Healthcheck.{key}")
        return max(value / NANOSECONDS, SHORTEST_S) if value else default

    retries = own.get("Retries") or inherited.get("Retries") or RETRIES
    return Probe(
        tuple(words) if kind == "CMD" else (*SHELL, words[0]),
        seconds("Interval", INTERVAL_S),
        seconds("Timeout", TIMEOUT_S),
        seconds("StartPeriod", 0.0),
        int(retries),
    )

"""What was chosen to run, in which order it is tried, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skerry.package.candidate import Candidate

# Who chose: the build, a probe on this device now or at an earlier start, or a setting.
BUILD, MEASURED, CACHE, SET = "build", "measured", "cache", "set"


@dataclass(frozen=True, slots=True)
class Way:
    """A candidate on a number of threads."""

    candidate: Candidate
    threads: int

    def __str__(self) -> str:
        return f"{self.candidate.name} on {self.threads} threads"


@dataclass(frozen=True, slots=True)
class Timed:
    """What one image takes, in milliseconds, by a candidate's name and its threads."""

    name: str
    threads: int
    p50_ms: float


@dataclass(frozen=True, slots=True)
class Selection:
    """The ways to try, the best first; ``refused`` says why a candidate is not among them."""

    ways: tuple[Way, ...]
    source: str = BUILD
    reason: str = ""
    timings: tuple[Timed, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For reports; the first way is the one that runs once the model is activated."""
        measured: dict[str, dict[str, float]] = {}
        for timed in self.timings:
            measured.setdefault(timed.name, {})[f"threads{timed.threads}"] = timed.p50_ms
        way = self.ways[0]
        return {
            "candidate": way.candidate.name,
            "engine": way.candidate.engine,
            "precision": way.candidate.precision,
            "threads": way.threads,
            "source": self.source,
            "reason": self.reason or None,
            "p50Ms": measured or None,
            "refused": dict(self.refused) or None,
        }

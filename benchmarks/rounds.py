"""Contestants take turns, so that a noisy neighbour hits all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.report import Side


@dataclass(frozen=True)
class Options:
    """``quick``: everything runs and is checked, but too briefly to mean anything.

    ``peers``: other servers are installed and measured in the same run.
    """

    quick: bool
    rounds: int
    work: Path
    cache: Path
    peers: bool = False

    def pick(self, full: int, quick: int) -> int:
        """A size for this run."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Sample:
    """One measurement, with what else was seen."""

    value: float
    seen: Mapping[str, float] = field(default_factory=dict)


Contestant = Callable[[], Awaitable[Sample]]


async def interleaved(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, Side]:
    """Each contestant once per round; the order turns around from round to round."""
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    for number in range(rounds):
        names = list(contestants)
        for name in names if number % 2 == 0 else reversed(names):
            samples[name].append(await contestants[name]())
    return {name: side(name, found) for name, found in samples.items()}


def side(name: str, samples: list[Sample]) -> Side:
    """The samples of one contestant, what else was seen as medians."""
    seen = {key: median(sample.seen[key] for sample in samples) for key in samples[0].seen}
    return Side(name, [sample.value for sample in samples], seen)

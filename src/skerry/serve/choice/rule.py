"""From what a probe measured to the order in which candidates are tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skerry.package.candidate import Candidate
from skerry.package.preference import ADVANTAGE, preferred
from skerry.serve.choice.selection import Timed, Way


def thread_counts(threads: int) -> tuple[int, ...]:
    """How many threads are worth a try on ``threads`` CPUs: all, half, one."""
    return tuple(dict.fromkeys(count for count in (threads, threads // 2, 1) if count >= 1))


def ranked(candidates: Sequence[Candidate], timings: Sequence[Timed]) -> tuple[Way, ...]:
    """Each measured candidate on its best number of threads: first by the rule of the build, then by speed.

    Within a tenth of its best time a candidate gets the fewest threads: the others are free for decoding.
    """
    seconds: dict[str, float] = {}
    ways = []
    for candidate in candidates:
        mine = {timed.threads: timed.p50_ms for timed in timings if timed.name == candidate.name}
        if mine:
            threads = _fewest(mine)
            seconds[candidate.name] = mine[threads]
            ways.append(Way(candidate, threads))
    first = preferred(ways, lambda way: way.candidate.precision, lambda way: seconds[way.candidate.name])
    rest = sorted(ways, key=lambda way: (way is not first, seconds[way.candidate.name]))
    return tuple(rest)


def _fewest(times: Mapping[int, float]) -> int:
    best = min(times.values())
    return min(threads for threads, time in times.items() if ADVANTAGE * time <= best)

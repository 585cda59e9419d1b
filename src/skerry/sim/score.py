"""Counts that prove a run: right or wrong, fast or slow, delivered, lost or doubled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from skerry.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How many of the pictures with a known class got it."""

    right: int
    total: int

    @property
    def share(self) -> float:
        """From 0 to 1; 0 for nothing scored."""
        return self.right / self.total if self.total else 0.0


def accuracy(pairs: Iterable[tuple[str | None, str | None]]) -> Accuracy:
    """Of (truth, predicted) pairs; those without a truth do not count."""
    known = [(truth, predicted) for truth, predicted in pairs if truth is not None]
    return Accuracy(sum(truth == predicted for truth, predicted in known), len(known))


def agreement(one: Mapping[str, str | None], other: Mapping[str, str | None]) -> Accuracy:
    """How many of the frames that both have got the same label."""
    shared = one.keys() & other.keys()
    return Accuracy(sum(one[name] == other[name] for name in shared), len(shared))


def confusion(pairs: Iterable[tuple[str, str | None]]) -> dict[str, dict[str, int]]:
    """truth → predicted → count, both sorted; no prediction counts under ``(none)``."""
    counts = Counter((truth, predicted or "(none)") for truth, predicted in pairs)
    matrix: dict[str, dict[str, int]] = {}
    for (truth, predicted), count in sorted(counts.items()):
        matrix.setdefault(truth, {})[predicted] = count
    return matrix


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` per cent of the values do not exceed (nearest rank).

    Raises InvalidInput for no values or a percentage outside 0..100.
    """
    if not values or not 0 <= percent <= 100:
        raise InvalidInput("a percentile needs values and 0..100", values=len(values), percent=percent)
    ordered = sorted(values)
    # Ceiling division, without the rounding errors of floats for whole percentages.
    rank = -int(-percent * len(ordered) // 100)
    return ordered[max(rank, 1) - 1]


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds over a run."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    worst: float


def latencies(values_ms: Sequence[float]) -> Latencies:
    """The summary; InvalidInput for no values."""
    at = {percent: percentile(values_ms, percent) for percent in (50, 95, 99)}
    mean = sum(values_ms) / len(values_ms)
    return Latencies(len(values_ms), mean, at[50], at[95], at[99], max(values_ms))


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one sender's messages 1..sent."""

    sent: int
    received: int
    """Different messages that arrived at least once."""
    duplicates: int
    lost: int
    missing: tuple[int, ...] = ()
    """The first lost sequence numbers, for looking them up."""
    out_of_order: int = 0
    """First arrivals that came after one with a higher sequence number."""
    unexpected: int = 0
    """Arrivals with a sequence number that was never sent."""

    @property
    def complete(self) -> bool:
        """Every message arrived, in order, and nothing that was not sent."""
        return not (self.lost or self.out_of_order or self.unexpected)


MISSING_SHOWN = 20


@dataclass(slots=True)
class Ledger:
    """Arrivals of (sender, sequence), in the order seen; sequences of a sender count from ``first``."""

    first: int = 1
    _seen: dict[str, dict[int, int]] = field(default_factory=dict)
    _highest: dict[str, int] = field(default_factory=dict)
    _late: Counter[str] = field(default_factory=Counter)

    def received(self, sender: str, sequence: int) -> None:
        """Enter one arrival."""
        seen = self._seen.setdefault(sender, {})
        seen[sequence] = seen.get(sequence, 0) + 1
        if seen[sequence] == 1 and sequence < self._highest.get(sender, sequence):
            self._late[sender] += 1
        self._highest[sender] = max(sequence, self._highest.get(sender, sequence))

    def delivery(self, sender: str, sent: int) -> Delivery:
        """The account of a sender that has sent ``sent`` messages."""
        seen = self._seen.get(sender, {})
        wanted = range(self.first, self.first + sent)
        missing = [sequence for sequence in wanted if sequence not in seen]
        return Delivery(
            sent=sent,
            received=sent - len(missing),
            duplicates=sum(count - 1 for sequence, count in seen.items() if sequence in wanted),
            lost=len(missing),
            missing=tuple(missing[:MISSING_SHOWN]),
            out_of_order=self._late[sender],
            unexpected=sum(count for sequence, count in seen.items() if sequence not in wanted),
        )


def deliveries(events: Iterable[tuple[str, int]], sent: Mapping[str, int]) -> dict[str, Delivery]:
    """The account of every sender in ``sent``, given the arrivals (sender, sequence) in their order."""
    ledger = Ledger()
    for sender, sequence in events:
        ledger.received(sender, sequence)
    return {sender: ledger.delivery(sender, count) for sender, count in sent.items()}

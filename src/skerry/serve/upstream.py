"""Which predictions a module sends on: all, changes only, a summary per interval, or the doubtful ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from skerry.clock import iso
from skerry.errors import InvalidInput
from skerry.serve.answer import Scored

Json = Any

ALL, CHANGES, SUMMARY, LOW_CONFIDENCE = "all", "changes", "summary", "lowConfidence"
POLICIES = (ALL, CHANGES, SUMMARY, LOW_CONFIDENCE)

# A device has a handful of cameras; of more sources the one not heard of for longest counts as new.
SOURCES_MAX = 256

# A summary is one message; with more classes than this the rest are counted together.
CLASSES_MAX = 500
OTHER = "(other)"
# With as many classes a summary stays well below what a message holds.
LABEL_CHARACTERS_MAX = 100

# An hour is what a person still calls live; a day what a summary still means something for.
INTERVAL_S_MIN, INTERVAL_S_MAX = 1, 86_400


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Upstream:
    """The policy as the twin gives it: a name, or an object with the policy's own numbers."""

    policy: str = ALL
    interval_s: float = 60.0
    """Between two summaries."""
    below: float = 0.6
    """A best score under this is doubtful."""

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise InvalidInput(f"upstream.policy is one of {', '.join(POLICIES)}", field="upstream.policy")
        if not _is_number(self.interval_s) or not INTERVAL_S_MIN <= self.interval_s <= INTERVAL_S_MAX:
            raise InvalidInput(
                f"upstream.intervalSeconds is {INTERVAL_S_MIN} to {INTERVAL_S_MAX}",
                field="upstream.intervalSeconds",
            )
        if not _is_number(self.below) or not 0 <= self.below <= 1:
            raise InvalidInput("upstream.below is 0 to 1", field="upstream.below")

    @classmethod
    def from_json(cls, value: Json) -> Upstream:
        """``"changes"``, or ``{"policy": "summary", "intervalSeconds": 60}``. Raises InvalidInput."""
        given = {"policy": value} if isinstance(value, str) else value
        if not isinstance(given, Mapping):
            raise InvalidInput("upstream is a policy's name or an object", field="upstream")
        fields = {"policy": "policy", "intervalSeconds": "interval_s", "below": "below"}
        unknown = [str(name)[:50] for name in given if name not in fields]
        if unknown:
            raise InvalidInput(f"upstream has no {unknown[0]}", hint=f"it has {', '.join(fields)}")
        numbers: dict[str, Any] = {fields[name]: each for name, each in given.items()}
        return cls(**numbers)

    def to_json(self) -> dict[str, Json]:
        """All of it, as reported."""
        return {"policy": self.policy, "intervalSeconds": self.interval_s, "below": self.below}


EVERYTHING = Upstream()


class Gate:
    """Decides answer by answer, in the order they would leave; counts what stays."""

    def __init__(self, began: datetime) -> None:
        self.withheld = 0
        self._last: OrderedDict[str, tuple[str | None, ...]] = OrderedDict()
        self._summary = Summary(began)

    def passes(self, upstream: Upstream, source: str, results: Mapping[str, Scored]) -> bool:
        """Whether this answer leaves; under ``summary`` it is counted for the next one instead."""
        match upstream.policy:
            case "changes":
                passed = self._changed(source, tuple(_label(each) for each in results.values()))
            case "summary":
                self._summary.add(results.values())
                passed = False
            case "lowConfidence":
                passed = any(_score(each) < upstream.below for each in results.values())
            case _:
                passed = True
        self.withheld += not passed
        return passed

    def summary(self, now: datetime) -> dict[str, Json] | None:
        """What was counted since the last one, which begins a new count; None when nothing was."""
        counted, self._summary = self._summary, Summary(now)
        return counted.to_json(now) if counted.images else None

    def _changed(self, source: str, labels: tuple[str | None, ...]) -> bool:
        before = self._last.pop(source, None)
        self._last[source] = labels
        if len(self._last) > SOURCES_MAX:
            self._last.popitem(last=False)
        return before != labels


class Summary:
    """Images by their best class over an interval."""

    def __init__(self, began: datetime) -> None:
        self.images = 0
        self._began = began
        self._classes: dict[str, list[float]] = {}
        self._doubt = 1.0

    def add(self, results: Iterable[Scored]) -> None:
        """Count these answers."""
        for each in results:
            label, score = (_label(each) or "(none)")[:LABEL_CHARACTERS_MAX], _score(each)
            if label not in self._classes and len(self._classes) >= CLASSES_MAX:
                label = OTHER
            found = self._classes.setdefault(label, [0, 0.0])
            found[0] += 1
            found[1] += score
            self._doubt = min(self._doubt, score)
            self.images += 1

    def to_json(self, now: datetime) -> dict[str, Json]:
        """The body of a summary message; most frequent class first."""
        ranked = sorted(self._classes.items(), key=lambda item: -item[1][0])
        classes = [
            {"label": label, "images": int(count), "meanScore": total / count}
            for label, (count, total) in ranked
        ]
        span = {"from": iso(self._began), "to": iso(now)}
        return {"summary": {**span, "images": self.images, "lowestScore": self._doubt, "classes": classes}}


def _label(scored: Scored) -> str | None:
    return scored.predictions[0].label if scored.predictions else None


def _score(scored: Scored) -> float:
    return scored.predictions[0].score if scored.predictions else 0.0

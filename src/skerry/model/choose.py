"""Which candidate is shipped as the first choice, by one stated rule, and why.

The rule: of the candidates whose answers pass the gate and that keep the budget, the fastest on one image
with all threads. Within a tenth of it the more exact one is taken, and of equally exact ones the first in the
order of ``KINDS``: less than a tenth is noise, and the plainer engine has less to go wrong.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from skerry.errors import InvalidInput, NotFound, Unsupported
from skerry.model.candidates import NAMES, NotTried, Row, Tried
from skerry.model.verify import Thresholds, Verification, VerificationFailed
from skerry.package.preference import RULE, preferred

# Outputs in fp32 differ by rounding; below fp32 classes decide, not digits.
FP32 = Thresholds(max_abs=1e-4, agreement=1.0)
REDUCED = Thresholds(max_abs=math.inf, agreement=0.98)
# In points of 1: half a percent of the labelled samples may be lost.
ACCURACY_DROP = 0.005


@dataclass(frozen=True, slots=True)
class Gate:
    """What answers have to keep; None takes the limit that suits the precision."""

    max_abs: float | None = None
    agreement: float | None = None
    accuracy_drop: float = ACCURACY_DROP

    def thresholds(self, precision: str) -> Thresholds:
        usual = FP32 if precision == "fp32" else REDUCED
        return Thresholds(
            usual.max_abs if self.max_abs is None else self.max_abs,
            usual.agreement if self.agreement is None else self.agreement,
        )

    def objection(
        self, precision: str, found: Verification, accuracy: float | None, original: float | None
    ) -> str | None:
        """Why answers that compare so, with ``accuracy`` against the original's, do not pass, or None."""
        limits = self.thresholds(precision)
        if not math.isfinite(found.max_abs_difference):
            return "gives values that are no numbers"
        if found.max_abs_difference > limits.max_abs:
            return f"differs by {found.max_abs_difference:.2g}, allowed is {limits.max_abs:.2g}"
        if found.top1_agreement < limits.agreement:
            return f"agrees on {found.top1_agreement:.1%} of the samples, required are {limits.agreement:.1%}"
        if accuracy is not None and original is not None and original - accuracy > self.accuracy_drop + 1e-9:
            lost = (original - accuracy) * 100
            return f"loses {lost:.1f} points of accuracy, allowed are {self.accuracy_drop * 100:.1f}"
        return None


@dataclass(frozen=True, slots=True)
class Bound:
    """One line of the budget: ``value`` of ``row`` may be at most ``limit``, all in the base unit."""

    name: str
    limit: float
    unit: str
    scale: float
    value: Callable[[Tried], float]

    def __str__(self) -> str:
        return f"{self.name} {self.shown(self.limit)}"

    def shown(self, value: float) -> str:
        return f"{value / self.scale:.3g} {self.unit}"


Budget = tuple[Bound, ...]
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9}
_TIMES = ("us", "ms", "s")
_BOUNDS: dict[str, tuple[bool, Callable[[Tried], float]]] = {
    "latency": (True, lambda row: _latency(row)),
    "p99": (True, lambda row: row.measurement.best.p99_ms / 1e3 if row.measurement.best else math.inf),
    "load": (True, lambda row: row.measurement.load_s),
    "size": (False, lambda row: float(len(row.data))),
    "memory": (False, lambda row: float(row.measurement.rss_bytes)),
}
_ITEM = re.compile(r"\s*([a-z0-9]+)\s*=\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]+)\s*")


def parse_budget(text: str) -> Budget:
    """``latency=20ms,size=30MB``: latency and p99 of one image with all threads, load, size, memory.

    InvalidInput says which item is not understood.
    """
    bounds = []
    for item in text.split(","):
        match = _ITEM.fullmatch(item)
        name, number, unit = match.groups() if match else (item.strip(), "", "")
        is_time, value = _BOUNDS.get(name, (False, _latency))
        if match is None or name not in _BOUNDS or unit not in _UNITS or (unit in _TIMES) != is_time:
            raise InvalidInput(
                f"budget item {item.strip()!r} is not understood",
                hint="such as latency=20ms, p99=50ms, load=1s, size=30MB, memory=200MB",
                field="budget",
            )
        bounds.append(Bound(name, float(number) * _UNITS[unit], unit, _UNITS[unit], value))
    return tuple(bounds)


class BudgetMissed(Unsupported):
    """No candidate that answers rightly keeps the budget; ``fields["misses"]`` says by how much each."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The chosen candidate, why, every other that passes gate and budget, and what became of the rest."""

    chosen: Tried
    why: str
    passing: tuple[Tried, ...]
    objections: dict[str, str]


def choose(
    rows: Sequence[Row], gate: Gate, budget: Budget, original: float | None, engine: str | None = None
) -> Choice:
    """Apply the rule; ``engine`` names the candidate or the engine to take instead of the fastest.

    VerificationFailed, naming the worst samples, when no answer passes; BudgetMissed when none of those that
    pass keeps the budget; NotFound when ``engine`` is none of the candidates.
    """
    asked = _asked(rows, engine)
    tried = [row for row in asked if isinstance(row, Tried)]
    objections = {row.kind.name: f"not available: {row.reason}" for row in rows if isinstance(row, NotTried)}
    right = []
    for row in (row for row in rows if isinstance(row, Tried)):
        found = gate.objection(row.kind.precision, row.verification, row.accuracy, original)
        if found is not None:
            objections[row.kind.name] = found
        else:
            right.append(row)
    able = [row for row in tried if row in right]
    if not able:
        raise _none_right(tried, objections)
    misses = {row.kind.name: _misses(row, budget) for row in right}
    objections |= {name: "; ".join(missed) for name, missed in misses.items() if missed}
    within = [row for row in able if not misses[row.kind.name]]
    if not within:
        raise _over_budget(able, budget, objections)
    chosen = _fastest(within)
    return Choice(
        chosen,
        _why(chosen, within, engine),
        tuple(row for row in right if not misses[row.kind.name]),
        objections,
    )


def _asked(rows: Sequence[Row], engine: str | None) -> list[Row]:
    asked = [row for row in rows if engine in (None, row.kind.name, row.kind.engine)]
    if not asked:
        raise NotFound(
            f"no candidate {engine!r} was tried",
            hint=f"engines and candidates: {', '.join((*NAMES, 'onnxruntime', 'openvino', 'litert'))}",
            field="engine",
        )
    if not any(isinstance(row, Tried) for row in asked):
        reasons = [row for row in asked if isinstance(row, NotTried)]
        raise Unsupported(
            f"{engine or 'no candidate'} is not available: {reasons[0].reason}", hint=reasons[0].hint
        )
    return asked


def _none_right(tried: Sequence[Tried], objections: dict[str, str]) -> VerificationFailed:
    best = min(tried, key=lambda row: (-row.verification.top1_agreement, row.verification.max_abs_difference))
    worst = best.verification.worst
    reasons = "; ".join(f"{row.kind.name} {objections[row.kind.name]}" for row in tried)
    return VerificationFailed(
        f"no candidate answers as the original does: {reasons}; {'; '.join(str(w) for w in worst)}",
        hint="no package was written; --agreement, --max-abs and --accuracy-drop set the limits",
        worst=[w.name for w in worst],
        max_abs_difference=best.verification.max_abs_difference,
        top1_agreement=best.verification.top1_agreement,
    )


def _over_budget(able: Sequence[Tried], budget: Budget, objections: dict[str, str]) -> BudgetMissed:
    lines = "; ".join(f"{row.kind.name}: {objections[row.kind.name]}" for row in able)
    return BudgetMissed(
        f"no candidate keeps the budget ({', '.join(str(bound) for bound in budget)}): {lines}",
        hint="raise the budget, allow more candidates (--candidates all), or train a smaller model",
        misses={row.kind.name: objections[row.kind.name] for row in able},
    )


def _misses(row: Tried, budget: Budget) -> list[str]:
    return [
        f"{bound.name} is {bound.shown(bound.value(row))}, allowed are {bound.shown(bound.limit)}"
        for bound in budget
        if bound.value(row) > bound.limit
    ]


def _fastest(rows: Sequence[Tried]) -> Tried:
    return preferred(rows, lambda row: row.kind.precision, _latency) or rows[0]


def _why(chosen: Tried, within: Sequence[Tried], engine: str | None) -> str:
    name, timing = chosen.kind.name, chosen.measurement.best
    if engine is not None:
        return f"{name}: asked for with --engine {engine}"
    if len(within) == 1 or timing is None:
        return f"{name}: the only candidate that passes"
    others = [row for row in within if row is not chosen]
    rest = ", ".join(f"{row.kind.name} {_latency(row) * 1e3:.3g} ms" for row in others)
    return f"{name}: {RULE} ({timing.p50_ms:.3g} ms on {timing.threads} threads; {rest})"


def _latency(row: Tried) -> float:
    """Seconds for one image with all threads; endless where it was not timed."""
    return row.measurement.best.p50_ms / 1e3 if row.measurement.best else math.inf

"""What a package offers to run: the candidates that passed, the chosen one first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from skerry.errors import InvalidInput
from skerry.model.benchmark import SECONDS
from skerry.model.candidates import (
    DEFAULT,
    KINDS,
    NotTried,
    Progress,
    Row,
    Subject,
    Tried,
    try_candidates,
)
from skerry.model.choose import Budget, Gate, choose
from skerry.model.keras_file import F32
from skerry.model.verify import Verification
from skerry.package.candidate import Candidate
from skerry.package.closeness import distances
from skerry.package.recipe import Recipe

SHIP = ("chosen", "all")
# An int8 or bf16 answer differs a little between two CPUs, which round and saturate in other places.
OTHER_CPU = 2.0
TOLERANCE_MIN = 1e-3


@dataclass(frozen=True, slots=True)
class Wish:
    """Which candidates to try, what they must keep, and what is shipped.

    ``names`` as ``parse_names`` gives them; ``engine`` overrides the choice; ``ship`` is ``chosen``, or
    ``all`` that pass, for the device to measure again. ``seconds`` per timing. ``certify_timings`` puts what
    was timed here into the certificate, which makes every build another package.
    """

    names: tuple[str, ...] = (DEFAULT,)
    gate: Gate = field(default_factory=Gate)
    budget: Budget = ()
    engine: str | None = None
    ship: str = "chosen"
    seconds: float = SECONDS
    certify_timings: bool = False

    def __post_init__(self) -> None:
        if self.ship not in SHIP:
            raise InvalidInput(f"ship {self.ship!r} is not known", hint=f"one of {', '.join(SHIP)}")

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to choose: fp32 ONNX, which the build verifies in any case."""
        return self.names == (DEFAULT,) and not self.budget and self.engine in (None, DEFAULT, "onnxruntime")


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """The candidates with their files, and what the certificate says of all that were tried."""

    candidates: tuple[Candidate, ...]
    models: Mapping[str, bytes]
    rows: tuple[Row, ...]
    why: str
    objections: Mapping[str, str]
    certificate: Mapping[str, object]


def plain_offer(model: bytes, tolerance: float, name: str = DEFAULT) -> Offer:
    """The one model that the build itself has verified: the fp32 ONNX, or what came as LiteRT."""
    kind = next(kind for kind in KINDS if kind.name == name)
    candidate = Candidate(kind.name, kind.engine, kind.precision, kind.file, tolerance)
    return Offer(
        (candidate,), {kind.file: model}, (), f"{kind.name}: no other candidate was asked for", {}, {}
    )


def make_offer(subject: Subject, golden: F32, wish: Wish, progress: Progress) -> Offer:
    """Try what is wished for, choose, and keep what is shipped.

    ``golden``: the outputs [n, outputs] of the fp32 ONNX on the samples, which devices compare with. Raises
    as ``choose`` does.
    """
    rows = try_candidates(subject, wish.names, progress, seconds=wish.seconds)
    choice = choose(rows, wish.gate, wish.budget, subject.accuracy(subject.expected), wish.engine)
    progress(f"chosen {choice.why}")
    rest = [row for row in choice.passing if row is not choice.chosen]
    shipped = [choice.chosen, *(rest if wish.ship == "all" else [])]
    return Offer(
        tuple(_candidate(row, golden, wish.gate, subject.recipe) for row in shipped),
        {row.kind.file: row.data for row in shipped},
        tuple(rows),
        choice.why,
        choice.objections,
        {
            "chosen": choice.chosen.kind.name,
            "candidates": {row.kind.name: _certified(row, wish.certify_timings) for row in rows},
        },
    )


def _candidate(row: Tried, golden: F32, gate: Gate, recipe: Recipe) -> Candidate:
    kind = row.kind
    if kind.precision == "fp32":
        tolerance = gate.thresholds("fp32").max_abs
    else:
        found = OTHER_CPU * float(distances(row.singles, golden, recipe).max())
        tolerance = max(rounded_up(found), TOLERANCE_MIN)
    return Candidate(kind.name, kind.engine, kind.precision, kind.file, tolerance)


def _certified(row: Row, timings: bool) -> dict[str, object]:
    if isinstance(row, NotTried):
        return {"available": False, "reason": row.reason}
    return {
        "available": True,
        **compared(row.verification),
        "accuracy": row.accuracy,
        "bytes": len(row.data),
        **({"measured": row.measurement.to_json()} if timings else {}),
    }


def compared(verification: Verification) -> dict[str, object]:
    """The comparison as certificates have it."""
    several = {
        part.name: {
            "kind": part.kind,
            "maxAbsDifference": rounded_up(part.max_abs_difference),
            "agreement": part.agreement,
        }
        for part in verification.outputs
    }
    return {
        "maxAbsDifference": rounded_up(verification.max_abs_difference),
        "top1Agreement": verification.top1_agreement,
        "topKAgreement": verification.topk_agreement,
        **({"outputs": several} if len(several) > 1 else {}),
    }


def rounded_up(value: float) -> float:
    """To one digit: the last bits of a reference differ between machines and say nothing."""
    if value <= 0 or not math.isfinite(value):
        return value if math.isfinite(value) else -1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return float(f"{math.ceil(value / unit) * unit:.0e}")


def rows_json(rows: Sequence[Row], objections: Mapping[str, str]) -> list[dict[str, object]]:
    """The candidates table for scripts."""
    return [_row_json(row, objections.get(row.kind.name)) for row in rows]


def _row_json(row: Row, objection: str | None) -> dict[str, object]:
    about: dict[str, object] = {
        "name": row.kind.name,
        "engine": row.kind.engine,
        "precision": row.kind.precision,
    }
    if isinstance(row, NotTried):
        return {**about, "available": False, "reason": row.reason, "hint": row.hint}
    found = row.verification
    return {
        **about,
        "available": True,
        "passes": objection is None,
        "objection": objection,
        "maxAbsDifference": found.max_abs_difference if math.isfinite(found.max_abs_difference) else None,
        "top1Agreement": found.top1_agreement,
        "topKAgreement": found.topk_agreement,
        "accuracy": row.accuracy,
        "worst": [str(worst) for worst in found.worst],
        "bytes": len(row.data),
        "measured": row.measurement.to_json(),
    }

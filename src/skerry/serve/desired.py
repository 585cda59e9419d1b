"""What the module's twin asks of it, and what it answers, property by property."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from skerry.errors import InvalidInput
from skerry.serve.answer import Settings
from skerry.serve.upstream import EVERYTHING, Upstream

Json = Any

# The status codes of a property's acknowledgement, as IoT Plug and Play writes them.
ACCEPTED, REFUSED, NOT_TRIED = 200, 400, 424

# A twin of thousands of devices is not a metrics store; Prometheus reads /metrics as often as it likes.
REPORT_EVERY_S = 60.0
REPORT_EVERY_S_MAX = 86_400


@dataclass(frozen=True, slots=True)
class ModuleSettings:
    """All that the twin may change, but for the model."""

    answers: Settings
    upstream: Upstream = EVERYTHING
    report_every_s: float = REPORT_EVERY_S
    """Between two reports of the counts; 0: none."""

    def __post_init__(self) -> None:
        seconds = self.report_every_s
        fits = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not fits or not (seconds == 0 or 1 <= seconds <= REPORT_EVERY_S_MAX):
            raise InvalidInput(
                f"reportSeconds is 0 (never) or 1 to {REPORT_EVERY_S_MAX}", field="reportSeconds"
            )


@dataclass(frozen=True, slots=True)
class _Property:
    read: Callable[[ModuleSettings], Json]
    change: Callable[[ModuleSettings, Json], ModuleSettings]


def _answers(field: str) -> _Property:
    return _Property(
        lambda settings: getattr(settings.answers, field),
        lambda settings, value: replace(settings, answers=replace(settings.answers, **{field: value})),
    )


PROPERTIES = {
    "threshold": _answers("threshold"),
    "topK": _answers("top_k"),
    "upstream": _Property(
        lambda settings: settings.upstream.to_json(),
        lambda settings, value: replace(settings, upstream=Upstream.from_json(value)),
    ),
    "reportSeconds": _Property(
        lambda settings: settings.report_every_s,
        lambda settings, value: replace(settings, report_every_s=value),
    ),
}


@dataclass(frozen=True, slots=True)
class Applied:
    """The settings from now on, and the reported properties that say so."""

    settings: ModuleSettings
    reported: dict[str, Json]


def apply_desired(
    current: ModuleSettings,
    defaults: ModuleSettings,
    desired: Mapping[str, Json],
    version: int,
    removed: frozenset[str] = frozenset(),
) -> Applied:
    """The settings asked for, as a whole: one property that makes no sense leaves ``current``.

    Each property asked for is acknowledged as ``{"value", "ac", "av", "ad"}`` (IoT Plug and Play:
    effective value, status, desired version, description); one that was ``removed`` is back at its default,
    and its acknowledgement goes. Properties of others are left alone.
    """
    problems: dict[str, str] = {}
    settings = defaults
    for name, each in PROPERTIES.items():
        if name in desired:
            try:
                settings = each.change(settings, desired[name])
            except InvalidInput as exc:
                problems[name] = str(exc)
    if problems:
        settings = current
    names = [name for name in PROPERTIES if name in desired or name in removed]
    return Applied(
        settings,
        {
            name: _acknowledgement(name, PROPERTIES[name].read(settings), version, problems)
            if name in desired or problems
            else None
            for name in names
        },
    )


def _acknowledgement(name: str, value: Json, version: int, problems: Mapping[str, str]) -> dict[str, Json]:
    if name in problems:
        status, description = REFUSED, problems[name]
    elif problems:
        status, description = NOT_TRIED, f"not applied because of {', '.join(problems)}"
    else:
        status, description = ACCEPTED, "applied"
    return {"value": value, "ac": status, "av": version, "ad": description}

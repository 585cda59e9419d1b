"""What the module's twin asks of it, and what it answers, property by property."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from skerry.errors import InvalidInput
from skerry.serve.answer import Settings

Json = Any

# The twin's names of the settings it may change.
FIELDS = {"threshold": "threshold", "topK": "top_k"}

# The status codes of a property's acknowledgement, as IoT Plug and Play writes them.
ACCEPTED, REFUSED, NOT_TRIED = 200, 400, 424


@dataclass(frozen=True, slots=True)
class Applied:
    """The settings from now on, and the reported properties that say so."""

    settings: Settings
    reported: dict[str, Json]
    accepted: tuple[str, ...] = ()
    """The properties that were applied."""


def apply_desired(current: Settings, defaults: Settings, patch: Mapping[str, Json], version: int) -> Applied:
    """Apply the patch as a whole: one property that makes no sense leaves all as they are.

    Each property asked for is acknowledged as ``{"value", "ac", "av", "ad"}`` (IoT Plug and Play:
    effective value, status, desired version, description); null goes back to the default and takes the
    acknowledgement away. Properties of others are left alone.
    """
    asked = {name: patch[name] for name in FIELDS if name in patch}
    problems: dict[str, str] = {}
    settings = current
    for name, value in asked.items():
        field = FIELDS[name]
        try:
            wanted = getattr(defaults, field) if value is None else value
            settings = replace(settings, **{field: wanted})
        except InvalidInput as exc:
            problems[name] = exc.what
    if problems:
        settings = current
    return Applied(
        settings,
        {
            name: _acknowledgement(name, getattr(settings, FIELDS[name]), version, problems)
            if value is not None or problems
            else None
            for name, value in asked.items()
        },
        () if problems else tuple(asked),
    )


def _acknowledgement(name: str, value: float, version: int, problems: Mapping[str, str]) -> dict[str, Json]:
    if name in problems:
        status, description = REFUSED, problems[name]
    elif problems:
        status, description = NOT_TRIED, f"not applied because of {', '.join(problems)}"
    else:
        status, description = ACCEPTED, "applied"
    return {"value": value, "ac": status, "av": version, "ad": description}

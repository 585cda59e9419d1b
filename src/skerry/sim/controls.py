"""What a camera is asked to do: by its environment, its twin, its methods."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from skerry.errors import InvalidInput

Json = Any

# The names of the twin, of reported properties and of the fields here.
FIELDS = {"framesPerSecond": "frames_per_second", "count": "count", "enabled": "enabled", "loop": "loop"}


@dataclass(frozen=True, slots=True)
class Controls:
    """How a camera plays its pictures; InvalidInput names the property that makes no sense."""

    frames_per_second: float = 1.0
    """0: as fast as they are acknowledged."""
    count: int | None = None
    """How many to send in all, since the first start; None: without end."""
    enabled: bool = True
    loop: bool = True
    """Whether to begin anew after the last picture."""

    def __post_init__(self) -> None:
        rate, count = self.frames_per_second, self.count
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1000:
            raise InvalidInput("framesPerSecond must be 0 to 1000", field="framesPerSecond", value=rate)
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
            raise InvalidInput("count must be a whole number from 0 on", field="count", value=count)
        for name in ("enabled", "loop"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidInput(f"{name} must be true or false", field=name, value=getattr(self, name))

    @property
    def interval_s(self) -> float:
        """Seconds between pictures."""
        return 1 / self.frames_per_second if self.frames_per_second else 0.0

    def limit(self, frames: int) -> float:
        """The number of the last message to send now, of a folder with so many pictures."""
        if not self.enabled:
            return 0
        limit = math.inf if self.count is None else self.count
        return limit if self.loop else min(limit, frames)


def change(
    current: Controls, defaults: Controls, patch: Mapping[str, Json], version: int
) -> tuple[Controls, dict[str, Json]]:
    """The controls after a change of the desired properties, and what to report of it.

    All of the patch is applied, or nothing when a property makes no sense; null means the default.
    Each property is acknowledged as ``{"value", "ac", "av", "ad"}`` (IoT Plug and Play).
    """
    asked = {name: patch[name] for name in FIELDS if name in patch}
    wanted = {
        FIELDS[name]: getattr(defaults, FIELDS[name]) if value is None else value
        for name, value in asked.items()
    }
    try:
        changed, status, description = replace(current, **wanted), 200, "applied"
    except InvalidInput as exc:
        changed, status, description = current, 400, exc.what
    return changed, {
        name: {"value": getattr(changed, FIELDS[name]), "ac": status, "av": version, "ad": description}
        for name in asked
    }

"""What a check is: a name, what it looks at, and its result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from skerry.clock import Clock
from skerry.contract.credentials import ConnectionString
from skerry.edge.settings import EdgeSettings

Outcome = Literal["ok", "warning", "error", "skipped"]
Group = Literal["configuration", "connectivity", "runtime"]


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found, and what to do about it."""

    outcome: Outcome
    text: str
    hint: str = ""


@dataclass(frozen=True)
class Device:
    """What the checks look at; ``status`` and ``modules`` are None while the runtime does not run."""

    data_dir: Path
    settings: EdgeSettings | None
    connection: ConnectionString | None
    status: Mapping[str, Any] | None
    modules: Mapping[str, Any] | None
    clock: Clock

    @property
    def known(self) -> tuple[EdgeSettings, ConnectionString] | None:
        """Settings and identity, where both are right; other checks say what is wrong with them."""
        if self.settings is None or self.connection is None:
            return None
        return self.settings, self.connection


@dataclass(frozen=True, slots=True)
class Check:
    """``run`` reports what it finds and raises nothing of ours."""

    name: str
    group: Group
    about: str
    run: Callable[[Device], Awaitable[Result]]


NOT_PROVISIONED = Result("skipped", "the device is not provisioned")


def ok(text: str) -> Result:
    return Result("ok", text)


def warning(text: str, hint: str) -> Result:
    return Result("warning", text, hint)


def error(text: str, hint: str) -> Result:
    return Result("error", text, hint)


def skipped(text: str) -> Result:
    return Result("skipped", text)

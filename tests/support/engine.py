"""An engine in memory: the whole port, with modules that do what a test tells them to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from skerry.clock import Clock
from skerry.contract.manifest import RegistryCredentials
from skerry.edge.engine.port import STOP_GRACE_S, Health, LogLine, Observed, RunSpec
from skerry.errors import NotFound, SkerryError


@dataclass
class World:
    """What outlives an engine, as containers outlive the agent: images, modules, their output."""

    registry: set[str] = field(default_factory=set)
    images: set[str] = field(default_factory=set)
    modules: dict[str, Observed] = field(default_factory=dict)
    specs: dict[str, RunSpec] = field(default_factory=dict)
    output: dict[str, list[LogLine]] = field(default_factory=dict)
    # Steps in the order they were done: "create cnn", "start cnn" …
    journal: list[str] = field(default_factory=list)
    # A verb and name to fail with an error: ("create", "cnn") → error.
    failures: dict[tuple[str, str], SkerryError] = field(default_factory=dict)


class MemoryEngine:
    """Modules "run" until ``exits`` or ``falls_ill`` is called. Time is the clock's."""

    name = "memory"

    def __init__(self, clock: Clock, world: World | None = None) -> None:
        self.world = world or World()
        self._clock = clock
        self._listeners: set[asyncio.Queue[str]] = set()

    # What a test does to it.

    def exits(self, name: str, code: int) -> None:
        """The module's program ends."""
        self._change(name, status="exited", exit_code=code, finished_at=self._now(), pid=None)

    def falls_ill(self, name: str, health: Health = "unhealthy") -> None:
        """The module's health check says so."""
        self._change(name, health=health)

    def writes(self, name: str, *lines: str) -> None:
        now = self._now()
        self.world.output.setdefault(name, []).extend(LogLine(now, 1, line.encode()) for line in lines)

    def power_off(self) -> None:
        """Every running module ends, as when the machine goes down."""
        for name, module in self.world.modules.items():
            if module.status == "running":
                self.exits(name, 137)

    # The port.

    async def pull(self, image: str, credentials: RegistryCredentials | None = None) -> None:
        if image not in self.world.registry:
            raise NotFound(f"there is no image {image}", image=image)
        self._do("pull", image)
        self.world.images.add(image)

    async def has_image(self, image: str) -> bool:
        return image in self.world.images

    async def remove_image(self, image: str) -> None:
        self._do("remove image", image)
        self.world.images.discard(image)

    async def create(self, spec: RunSpec) -> None:
        self._do("create", spec.name)
        if spec.image not in self.world.images:
            raise NotFound(f"there is no image {spec.image} here", image=spec.image)
        self.world.specs[spec.name] = spec
        self.world.modules[spec.name] = Observed(
            spec.name, spec.image, f"sha256:{spec.image}", "created", spec_digest=spec.digest
        )
        self._tell(spec.name)

    async def start(self, name: str) -> None:
        self._do("start", name)
        if self._module(name).status != "running":
            self._change(name, status="running", exit_code=None, started_at=self._now(), health=None, pid=1)

    async def stop(self, name: str, grace_s: float = STOP_GRACE_S) -> None:
        self._do("stop", name)
        if name in self.world.modules and self.world.modules[name].status == "running":
            self.exits(name, 0)

    async def remove(self, name: str) -> None:
        self._do("remove", name)
        self.world.modules.pop(name, None)
        self._tell(name)

    async def observe(self) -> list[Observed]:
        return list(self.world.modules.values())

    async def logs(
        self,
        name: str,
        *,
        tail: int | None = None,
        since: float | None = None,
        until: float | None = None,
        follow: bool = False,
    ) -> AsyncIterator[bytes]:
        async for line in self.lines(name, tail=tail, since=since, until=until):
            yield line.text

    async def lines(
        self,
        name: str,
        *,
        tail: int | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> AsyncIterator[LogLine]:
        self._module(name)
        lines = [
            line
            for line in self.world.output.get(name, [])
            if line.at is not None and (since or line.at) <= line.at <= (until or line.at)
        ]
        for one in lines if tail is None else lines[max(len(lines) - tail, 0) :]:
            yield one

    async def events(self) -> AsyncIterator[str]:
        events: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.add(events)
        try:
            while True:
                yield await events.get()
        finally:
            self._listeners.discard(events)

    def unsupported(self, create_options: Mapping[str, Any]) -> list[str]:
        return [key for key in create_options if key == "Volumes"]

    def gateway_address(self) -> str:
        return "127.0.0.1"

    async def close(self) -> None:
        self._listeners.clear()

    def _do(self, verb: str, name: str) -> None:
        if (failure := self.world.failures.get((verb, name))) is not None:
            raise failure
        self.world.journal.append(f"{verb} {name}")

    def _module(self, name: str) -> Observed:
        if name not in self.world.modules:
            raise NotFound(f"there is no module {name}", module=name)
        return self.world.modules[name]

    def _change(self, name: str, **changes: Any) -> None:
        self.world.modules[name] = replace(self._module(name), **changes)
        self._tell(name)

    def _tell(self, name: str) -> None:
        for events in self._listeners:
            events.put_nowait(name)

    def _now(self) -> float:
        return self._clock.now().timestamp()

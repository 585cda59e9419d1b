"""What the suite for every engine says in one word each."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from skerry.edge.engine.docker import DockerEngine
from skerry.edge.engine.port import Engine, Observed, RunSpec
from skerry.edge.engine.process import ProcessEngine

IMAGE = "skerry-test/shell:1"
SCRIPT = """
trap 'echo bye; exit 3' TERM
echo "hello $GREETING"
[ -n "$CRASH" ] && exit 7
[ -n "$READ" ] && cat "$READ"
while :; do sleep 0.2; done
"""
Open = Callable[[], Awaitable[Engine]]


def spec(**changes: Any) -> RunSpec:
    base: dict[str, Any] = {"name": "shell", "image": IMAGE, "env": {"GREETING": "device"}}
    return RunSpec(**{**base, **changes})


def images_of(engine: Engine) -> Path:
    """Where the engine of ``open_engine`` takes its images from."""
    assert isinstance(engine, DockerEngine | ProcessEngine)
    return engine.images_dir


async def until(engine: Engine, done: Callable[[Observed], bool], name: str = "shell") -> Observed:
    async with asyncio.timeout(15):
        while True:
            for module in await engine.observe():
                if module.name == name and done(module):
                    return module
            await asyncio.sleep(0.05)


async def lines(engine: Engine, tail: int | None = None) -> list[bytes]:
    return [line async for line in engine.logs("shell", tail=tail)]


async def until_logged(engine: Engine, line: bytes) -> None:
    async with asyncio.timeout(15):
        while line not in await lines(engine):
            await asyncio.sleep(0.05)


def engine_of(engine: Engine) -> str:
    """``docker``, ``podman`` or ``process``."""
    return "process" if isinstance(engine, ProcessEngine) else engine.name

"""Small builders for the agent's tests."""

from __future__ import annotations

from typing import Any

from skerry.contract.manifest import ModuleSpec
from skerry.edge.agent.state import History, Image, Tally, Wanted
from skerry.edge.engine.port import Observed, RunSpec

NOON = 1_800_000_000.0


def wanted(name: str = "cnn", image: str = "cnn:1", **spec: Any) -> Wanted:
    return Wanted(ModuleSpec(name, image, **spec), RunSpec(name, image))


def all_of(*modules: Wanted) -> dict[str, Wanted]:
    return {module.name: module for module in modules}


def seen(name: str = "cnn", image: str = "cnn:1", **changes: Any) -> Observed:
    values: dict[str, Any] = {
        "status": "running",
        "started_at": NOON - 60,
        "spec_digest": RunSpec(name, image).digest,
        **changes,
    }
    return Observed(name, image, f"sha256:{image}", **values)


def running(*modules: Observed) -> dict[str, Observed]:
    return {module.name: module for module in modules}


def here(*images: str, **more: Any) -> History:
    return History(images={image: Image(present=True, pulled=True) for image in images}, **more)


def tallies(**counts: int) -> dict[str, Tally]:
    return {name: Tally(count, NOON - 5, "it failed") for name, count in counts.items()}

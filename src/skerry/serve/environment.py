"""The CNN module's settings, from its container's environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skerry.errors import InvalidInput
from skerry.serve.activation import GOLDEN_MAX
from skerry.serve.scoring import ADMITTED_MAX, DECODE_THREADS


@dataclass(frozen=True, slots=True)
class Environment:
    """Settings by their variables; each has a default that suits a container."""

    model_dir: Path = Path("/opt/skerry/model")
    http_host: str = "0.0.0.0"
    http_port: int = 5001
    threads: int = 0
    decode_threads: int = DECODE_THREADS
    queue_max: int = ADMITTED_MAX
    golden_max: int = GOLDEN_MAX
    log_level: str = "info"
    edge: bool = False
    """Whether a workload API is there, that is, an edge device to be a module of."""


def read_environment(environ: Mapping[str, str], cpus: int) -> Environment:
    """The settings in ``environ``; ``cpus`` is how many inference threads are used unless it says.

    Raises InvalidInput naming the variable and its value.
    """
    return Environment(
        model_dir=Path(environ.get("SKERRY_MODEL_DIR") or "/opt/skerry/model"),
        http_host=environ.get("SKERRY_HTTP_HOST") or "0.0.0.0",
        http_port=_whole(environ, "SKERRY_HTTP_PORT", 5001, 0, 65535),
        threads=_whole(environ, "SKERRY_THREADS", cpus, 1, 256),
        decode_threads=_whole(environ, "SKERRY_DECODE_THREADS", DECODE_THREADS, 1, 64),
        queue_max=_whole(environ, "SKERRY_QUEUE_MAX", ADMITTED_MAX, 1, 10_000),
        golden_max=_whole(environ, "SKERRY_GOLDEN_MAX", GOLDEN_MAX, 0, 10_000),
        log_level=environ.get("SKERRY_LOG_LEVEL") or "info",
        edge=bool(environ.get("IOTEDGE_WORKLOADURI")),
    )


def _whole(environ: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or not low <= int(text) <= high:
        raise InvalidInput(
            f"{name}={text[:50]} is not a whole number from {low} to {high}", field=name, value=text[:50]
        )
    return int(text)

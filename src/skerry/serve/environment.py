"""The CNN module's settings, from its container's environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skerry.errors import InvalidInput
from skerry.package.trust import trusted_keys
from skerry.serve.activation import GOLDEN_MAX
from skerry.serve.preparation import DECODE_THREADS
from skerry.serve.scoring import ADMITTED_MAX
from skerry.serve.update.settings import UpdateSettings, read_update_settings


@dataclass(frozen=True, slots=True)
class Environment:
    """Settings by their variables; each has a default that suits a container."""

    model_dir: Path = Path("/opt/skerry/model")
    http_host: str = "0.0.0.0"
    http_port: int = 5001
    threads: int = 0
    """How many threads the engine gets at most; a probe may find that fewer do as well."""
    threads_fixed: bool = False
    candidate: str = ""
    """The candidate of the package to run, by its name; empty: what the build chose or a probe finds."""
    probe: bool = True
    """Whether the first start of a package measures what runs best here, where the result can be kept."""
    decode_threads: int = DECODE_THREADS
    queue_max: int = ADMITTED_MAX
    golden_max: int = GOLDEN_MAX
    log_level: str = "info"
    compute: str = "auto"
    """Who runs the model: the event ``loop``, a ``thread``, or ``auto``: whichever a short probe says."""
    latest_wins: bool = False
    """Of the images of a named source the newest wins; otherwise a full queue refuses the newest."""
    http_shared: bool = False
    """Other processes may serve the same port; the kernel spreads the connections."""
    processes: int = 1
    """How many processes serve the HTTP port; only the first is a module, serves gRPC and the live page."""
    crew_member: bool = False
    """Whether this is one of the others: it ends when its input does."""
    grpc_port: int | None = None
    """Where the Open Inference Protocol is served over gRPC; None: nowhere."""
    live_port: int | None = None
    """Where the live page is; None: nowhere."""
    driver: Path | None = None
    """A user's scoring script with ``init()`` and ``run()``, to serve instead of the package's model."""
    trusted_keys: tuple[bytes, ...] | None = None
    """Public keys, one of which must have signed the package; None serves unsigned packages too."""
    update: UpdateSettings | None = None
    """Where updates of the model are kept; None: the model is always the image's."""
    edge: bool = False
    """Whether a workload API is there, that is, an edge device to be a module of."""


def read_environment(environ: Mapping[str, str], cpus: int) -> Environment:
    """The settings in ``environ``; ``cpus`` is how many inference threads are used unless it says.

    Raises InvalidInput naming the variable and its value.
    """
    keys = trusted_keys(environ)
    update = read_update_settings(environ, keys)
    processes = _whole(environ, "SKERRY_PROCESSES", 1, 1, 64)
    if processes > 1 and (update is not None or environ.get("SKERRY_DRIVER")):
        raise InvalidInput(
            "several processes serve one fixed package: neither updates of the model nor a driver",
            hint="leave SKERRY_PROCESSES, or SKERRY_STATE_DIR and SKERRY_DRIVER, out",
            field="SKERRY_PROCESSES",
        )
    return Environment(
        model_dir=Path(environ.get("SKERRY_MODEL_DIR") or "/opt/skerry/model"),
        http_host=environ.get("SKERRY_HTTP_HOST") or "0.0.0.0",
        http_port=_whole(environ, "SKERRY_HTTP_PORT", 5001, 0, 65535),
        threads=_whole(environ, "SKERRY_THREADS", max(1, cpus // processes), 1, 256),
        threads_fixed=bool(environ.get("SKERRY_THREADS", "").strip()) or processes > 1,
        candidate=environ.get("SKERRY_CANDIDATE", "").strip(),
        probe=_choice(environ, "SKERRY_PROBE", ("auto", "off")) == "auto",
        decode_threads=_whole(environ, "SKERRY_DECODE_THREADS", DECODE_THREADS, 1, 64),
        queue_max=_whole(environ, "SKERRY_QUEUE_MAX", ADMITTED_MAX, 1, 10_000),
        golden_max=_whole(environ, "SKERRY_GOLDEN_MAX", GOLDEN_MAX, 0, 10_000),
        log_level=environ.get("SKERRY_LOG_LEVEL") or "info",
        compute=_choice(environ, "SKERRY_COMPUTE", ("auto", "loop", "thread")),
        latest_wins=_choice(environ, "SKERRY_BACKPRESSURE", ("refuse", "latest")) == "latest",
        http_shared=_choice(environ, "SKERRY_HTTP_SHARED", ("0", "1")) == "1" or processes > 1,
        processes=processes,
        crew_member=environ.get("SKERRY_CREW_MEMBER") == "1",
        grpc_port=_port(environ, "SKERRY_GRPC_PORT"),
        live_port=_port(environ, "SKERRY_LIVE_PORT"),
        driver=Path(environ["SKERRY_DRIVER"]) if environ.get("SKERRY_DRIVER") else None,
        trusted_keys=keys,
        update=update,
        edge=bool(environ.get("IOTEDGE_WORKLOADURI")),
    )


def _port(environ: Mapping[str, str], name: str) -> int | None:
    """A port, or None without the variable."""
    return _whole(environ, name, 0, 0, 65535) if environ.get(name, "").strip() else None


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """One of ``choices``; the first unless the variable says."""
    text = environ.get(name, "").strip() or choices[0]
    if text not in choices:
        raise InvalidInput(f"{name}={text[:50]} is none of {', '.join(choices)}", field=name, value=text[:50])
    return text


def _whole(environ: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or not low <= int(text) <= high:
        raise InvalidInput(
            f"{name}={text[:50]} is not a whole number from {low} to {high}", field=name, value=text[:50]
        )
    return int(text)

"""The port to what runs modules: its values and the verbs every engine offers.

The agent knows only this file. ``docker.py`` and ``process.py`` implement it; the tests' in-memory engine
does too, and all pass one suite.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from skerry.contract.manifest import RegistryCredentials

# Azure IoT Edge marks its containers with these; tools that look for them find ours (contract.md §6.2).
LABEL_OWNER = "net.azure-devices.edge.owner"
LABEL_ORIGINAL_IMAGE = "net.azure-devices.edge.original-image"
# Ours: the hash of the RunSpec a module was created from; a different one means "replace the module".
LABEL_SPEC_DIGEST = "net.azure-devices.edge.skerry-spec-digest"
# Ours: the device whose agent owns the module, so that two devices can share one engine in tests.
LABEL_DEVICE = "net.azure-devices.edge.skerry-device"
OWNER = "skerry"

Status = Literal["created", "running", "exited", "dead"]
Health = Literal["healthy", "unhealthy", "starting"]

# A module that logs in a loop must not fill the disk: 3 files of 10 MB each.
LOG_FILE_BYTES = 10 * 1024 * 1024
LOG_FILES = 3
STOP_GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Mount:
    """A host directory or file that the module sees at ``target``."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How much of a module's output is kept."""

    file_bytes: int = LOG_FILE_BYTES
    files: int = LOG_FILES


@dataclass(frozen=True)
class RunSpec:
    """Everything an engine needs to create a module.

    ``create_options`` is the Docker Engine create-container document as the manifest gives it; ``env`` wins
    over its ``Env``. ``hosts`` are extra names the module resolves to an address.
    """

    name: str
    image: str
    env: Mapping[str, str] = field(default_factory=dict)
    create_options: Mapping[str, Any] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    log_limits: LogLimits = LogLimits()

    @property
    def digest(self) -> str:
        """``sha256:…`` over all of it but the digest label itself; equal specs have equal digests."""
        document = {
            "name": self.name,
            "image": self.image,
            "env": dict(self.env),
            "createOptions": self.create_options,
            "mounts": [[mount.source, mount.target, mount.read_only] for mount in self.mounts],
            "labels": {key: value for key, value in self.labels.items() if key != LABEL_SPEC_DIGEST},
            "hosts": dict(self.hosts),
            "logs": [self.log_limits.file_bytes, self.log_limits.files],
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def labelled(self) -> RunSpec:
        """The same spec carrying its own digest as a label, ready for ``Engine.create``."""
        return replace(self, labels={**self.labels, LABEL_SPEC_DIGEST: self.digest})


@dataclass(frozen=True, slots=True)
class Observed:
    """What an engine sees of one module of ours now; times are unix seconds."""

    name: str
    image: str
    image_id: str
    status: Status
    exit_code: int | None = None
    started_at: float | None = None
    finished_at: float | None = None
    health: Health | None = None
    spec_digest: str = ""
    pid: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a module's output without its line end; ``stream`` is 1 (output) or 2 (error)."""

    at: float | None
    stream: int
    text: bytes


class Engine(Protocol):
    """Runs modules. Verbs are idempotent: starting a running module or removing a missing one is done.

    Every verb may raise ``Unavailable`` (the engine cannot be reached) and, where named, more.
    """

    name: str

    async def pull(self, image: str, credentials: RegistryCredentials | None = None) -> None:
        """Have ``image`` here; ``NotFound``, ``NotAuthenticated`` or ``StorageFull`` when it cannot be."""

    async def has_image(self, image: str) -> bool:
        """Whether ``create`` would find ``image`` without a network."""

    async def remove_image(self, image: str) -> None:
        """Have ``image`` no longer take up space; one that something still uses stays."""

    async def create(self, spec: RunSpec) -> None:
        """Make the module, not started; one of the same name is replaced. ``InvalidInput``, ``NotFound``."""

    async def start(self, name: str) -> None:
        """Run a created or exited module. ``NotFound`` when there is none."""

    async def stop(self, name: str, grace_s: float = STOP_GRACE_S) -> None:
        """Ask it to end, kill it after ``grace_s``."""

    async def remove(self, name: str) -> None:
        """Stop it and forget it with its writable files; its image stays."""

    async def observe(self) -> list[Observed]:
        """Every module of ours, found by labels, whoever started it: also after a restart of the agent."""

    def logs(
        self,
        name: str,
        *,
        tail: int | None = None,
        since: float | None = None,
        until: float | None = None,
        follow: bool = False,
    ) -> AsyncIterator[bytes]:
        """Lines without their line end, oldest first; times in unix seconds. ``NotFound``."""

    def lines(
        self,
        name: str,
        *,
        tail: int | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> AsyncIterator[LogLine]:
        """The same with what is known of each line, so far. ``NotFound``."""

    def events(self) -> AsyncIterator[str]:
        """Yields a module name whenever something about it changed; a hint to observe again."""

    def unsupported(self, create_options: Mapping[str, Any]) -> list[str]:
        """The keys of ``create_options`` this engine cannot give, to be reported and not ignored silently."""

    def gateway_address(self) -> str:
        """The address at which modules reach the edge hub."""

    async def close(self) -> None:
        """Let go of the engine; modules keep running where the engine can do that."""

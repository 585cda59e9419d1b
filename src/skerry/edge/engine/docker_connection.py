"""Reaching a Docker Engine, or Podman's socket that speaks for one, and what it says of itself."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiodocker

from skerry.edge.engine.docker_errors import translated
from skerry.errors import Unavailable

log = logging.getLogger(__name__)

# Asking the engine for anything but a pull, a load or a log stream takes milliseconds.
CALL_TIMEOUT_S = 60.0
PODMAN = "Podman Engine"
# podman-system-service(1): where the service of the system listens; a user's is in XDG_RUNTIME_DIR.
PODMAN_SOCKET = Path("/run/podman/podman.sock")
# sd_booted(3): there when systemd is the init. Podman runs health checks by its timers, and not without it.
SYSTEMD = Path("/run/systemd/system")


@dataclass(frozen=True)
class Reached:
    """An engine that answers: where modules reach this machine, where images lie, what runtimes there are."""

    docker: aiodocker.Docker
    gateway: str
    root: Path
    runtimes: frozenset[str]
    podman: bool

    def cannot(self, create_options: Mapping[str, Any], host: Mapping[str, Any]) -> list[str]:
        """The keys this engine accepts and then does not give: those that Podman leaves out."""
        if not self.podman:
            return []
        missing = []
        if host.get("Runtime"):
            missing.append("HostConfig.Runtime")
        if create_options.get("Healthcheck") and not SYSTEMD.is_dir():
            missing.append("Healthcheck")
        return missing


async def reach(network: str, url: str | None = None) -> Reached:
    """The engine at ``url``, else what ``docker`` finds (DOCKER_HOST, its socket), else Podman's.

    Makes the module network. ``Unavailable`` when none answers.
    """
    docker = _client(url)
    try:
        with translated("connect to the Docker Engine"):
            version = await asyncio.wait_for(docker.version(), CALL_TIMEOUT_S)
            gateway = await _network_gateway(docker, network)
            info = await docker.system.info()
    except BaseException:
        await docker.close()
        raise
    return Reached(
        docker,
        gateway=gateway,
        root=Path(info.get("DockerRootDir") or "/var/lib/docker"),
        runtimes=frozenset(info.get("Runtimes") or ()),
        podman=any(part.get("Name") == PODMAN for part in version.get("Components") or ()),
    )


async def runtimes(docker: aiodocker.Docker) -> frozenset[str]:
    """The container runtimes there are now."""
    with translated("ask what runtimes there are"):
        return frozenset((await docker.system.info()).get("Runtimes") or ())


def _client(url: str | None) -> aiodocker.Docker:
    try:
        return aiodocker.Docker(url=url)
    except (AssertionError, ValueError) as exc:  # no socket at any of the usual places
        users = Path(os.environ.get("XDG_RUNTIME_DIR", "/nonexistent"), "podman/podman.sock")
        for socket in (PODMAN_SOCKET, users):
            if url is None and socket.is_socket() and os.access(socket, os.W_OK):
                return aiodocker.Docker(url=f"unix://{socket}")
        raise Unavailable(
            "no Docker Engine was found", hint="start it or Podman's socket, or use --engine process"
        ) from exc


async def _network_gateway(docker: aiodocker.Docker, network: str) -> str:
    try:
        shown = await (await docker.networks.get(network)).show()
    except aiodocker.DockerError as exc:
        if exc.status != 404:
            raise
        await docker.networks.create({"Name": network, "Driver": "bridge", "CheckDuplicate": True})
        log.info("network %s created", network)
        shown = await (await docker.networks.get(network)).show()
    for pool in (shown.get("IPAM") or {}).get("Config") or []:
        if pool.get("Gateway"):
            return str(pool["Gateway"])
    raise Unavailable(f"the network {network} has no gateway address", hint=f"docker network rm {network}")

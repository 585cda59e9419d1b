"""Where an image's registry is, by Docker's rules for names that leave it out."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from skerry.oci.reference import Reference

# What "debian" means (distribution/reference, normalize.go), and the host that answers for it.
DOCKER_HUB = "docker.io"
DOCKER_HUB_HOST = "registry-1.docker.io"
DOCKER_HUB_NAMES = (DOCKER_HUB, "index.docker.io", DOCKER_HUB_HOST)
DEFAULT_TAG = "latest"


@dataclass(frozen=True, slots=True)
class Place:
    """A registry's host (with its port), a repository there, a tag or digest in it."""

    host: str
    repository: str
    reference: str

    def __str__(self) -> str:
        mark = "@" if ":" in self.reference else ":"
        return f"{self.host}/{self.repository}{mark}{self.reference}"


def place_of(reference: Reference) -> Place:
    """Where ``reference`` points; its digest counts before its tag."""
    wanted = str(reference.digest or reference.tag or DEFAULT_TAG)
    if reference.registry is None or reference.registry in DOCKER_HUB_NAMES:
        short = "/" not in reference.repository
        return Place(
            DOCKER_HUB_HOST, f"library/{reference.repository}" if short else reference.repository, wanted
        )
    return Place(reference.registry, reference.repository, wanted)


def is_loopback(host: str) -> bool:
    """Whether ``host`` (perhaps with a port) is this machine: nobody listens in between."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")

"""A session with an image registry, as ``docker login`` or a hub's own folder give the right to it."""

from __future__ import annotations

import os
import random
from pathlib import Path

from skerry.cli.login import CONNECTION_VARIABLE, text_of
from skerry.clock import Clock
from skerry.contract.credentials import ConnectionString
from skerry.hub.certificates import ca_file
from skerry.hub.setup import connection_string
from skerry.oci.registry.credentials import Login, config_directory, find_login
from skerry.oci.registry.session import Registry
from skerry.service.tls import client_context

# Where Docker looks for a registry's own authority (dockerd, "Verify repository client with certificates").
CERTIFICATES = Path("/etc/docker/certs.d")


def registry_session(
    host: str, clock: Clock, *, hub_dir: Path | None, ca: Path | None, insecure: bool
) -> Registry:
    """A session with ``host``.

    Who we are: the owner of the hub in ``hub_dir``, the policy in the environment if it is this host's, what
    Docker's configuration says, nobody. Whom we trust: ``ca``, that hub's root, Docker's folder for this
    registry, the machine's roots.
    """
    login = _hub_login(host, hub_dir) or find_login(host, config_directory(os.environ, Path.home()))
    given = ca or _known_ca(host, hub_dir)
    ca_pem = None if given is None else text_of(given, "give a PEM file")
    return Registry(
        host,
        clock=clock,
        jitter=random.random,
        login=login,
        tls=client_context(ca_pem, system_roots=True),
        insecure=insecure,
    )


def _hub_login(host: str, hub_dir: Path | None) -> Login | None:
    text = os.environ.get(CONNECTION_VARIABLE, "")
    if hub_dir is not None:
        text = connection_string(hub_dir, "iothubowner")
    if not text:
        return None
    parsed = ConnectionString.parse(text)
    ours = hub_dir is not None or parsed.host_name.lower() == host.partition(":")[0].lower()
    if not ours or parsed.shared_access_key_name is None or parsed.shared_access_key is None:
        return None
    return Login(parsed.shared_access_key_name, parsed.shared_access_key)


def _known_ca(host: str, hub_dir: Path | None) -> Path | None:
    found = ca_file(hub_dir) if hub_dir is not None else CERTIFICATES / host / "ca.crt"
    return found if found.is_file() else None

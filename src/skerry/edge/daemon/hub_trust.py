"""Whom the device believes to be its hub."""

from __future__ import annotations

import ssl

from skerry.edge.settings import EdgeSettings
from skerry.errors import NotFound
from skerry.service.tls import client_context


def hub_tls(settings: EdgeSettings) -> ssl.SSLContext:
    """The CA that was given at provisioning, else the machine's roots. NotFound when its file is gone."""
    try:
        ca_pem = settings.hub_ca.read_text() if settings.hub_ca is not None else None
    except OSError as error:
        raise NotFound(f"cannot read {settings.hub_ca}", hint="provision again with --hub-ca") from error
    return client_context(ca_pem, system_roots=ca_pem is None)

"""Whom the device believes to be its hub, and what it shows there."""

from __future__ import annotations

import ssl

from skerry.contract.credentials import ConnectionString
from skerry.edge.settings import EdgeSettings
from skerry.errors import NotFound
from skerry.service.files import read_private
from skerry.service.tls import TlsFiles, client_context


def hub_tls(settings: EdgeSettings, connection: ConnectionString | None = None) -> ssl.SSLContext:
    """The CA that was given at provisioning, else the machine's roots; and the device's certificate where it
    proves itself by one. NotFound when a file is gone, NotAllowed when others may read the key."""
    return _context(settings, shows=connection is not None and connection.x509)


def service_tls(settings: EdgeSettings) -> ssl.SSLContext:
    """The same for the provisioning service, which is shown the certificate if there is one."""
    return _context(settings, shows=settings.identity_key_file.exists())


def _context(settings: EdgeSettings, *, shows: bool) -> ssl.SSLContext:
    try:
        ca_pem = settings.hub_ca.read_text() if settings.hub_ca is not None else None
    except OSError as error:
        raise NotFound(f"cannot read {settings.hub_ca}", hint="provision again with --hub-ca") from error
    identity = None
    if shows:
        read_private(settings.identity_key_file)
        identity = TlsFiles(settings.identity_certificate_file, settings.identity_key_file)
    return client_context(ca_pem, system_roots=ca_pem is None, identity=identity)

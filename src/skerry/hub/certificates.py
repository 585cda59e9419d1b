"""The hub's own authority and the server certificate that it issues."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from skerry.clock import Clock
from skerry.errors import NotFound
from skerry.service.certificates import Authority
from skerry.service.files import PRIVATE, write_atomic
from skerry.service.tls import TlsFiles

log = logging.getLogger(__name__)

# A certificate with less than this left is replaced, when the hub starts and while it runs.
RENEW_BEFORE = timedelta(days=30)
SERVER_VALID_S = 365 * 86_400


def ca_file(data_dir: Path) -> Path:
    """The root certificate clients trust, PEM."""
    return data_dir / "ca" / "ca.pem"


def server_files(data_dir: Path) -> TlsFiles:
    """The server certificate with its key."""
    return TlsFiles(data_dir / "server.pem", data_dir / "server.key.pem")


def ensure(data_dir: Path, names: Sequence[str], clock: Clock) -> None:
    """Create the authority once; issue a server certificate when there is none for ``names`` that lasts.

    Raises Damaged, StorageFull, Unavailable.
    """
    try:
        authority = Authority.load(data_dir / "ca", clock)
    except NotFound:
        authority = Authority.create("Skerry hub root", clock)
        authority.save(data_dir / "ca")
        log.info("created the certificate authority %s", ca_file(data_dir))
    files = server_files(data_dir)
    if not _is_good(files, authority, names, clock):
        dns = [name for name in names if not _is_address(name)]
        addresses = [name for name in names if _is_address(name)]
        issued = authority.issue_server(names[0], dns, addresses, SERVER_VALID_S)
        # The key first: a crash between the two leaves a pair that does not match, which is issued anew.
        write_atomic(files.key, issued.key_pem.encode(), mode=PRIVATE)
        write_atomic(files.certificate, issued.cert_chain_pem.encode())
        log.info("issued the server certificate for %s", ", ".join(names))


def _is_good(files: TlsFiles, authority: Authority, names: Sequence[str], clock: Clock) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        key = files.key.read_bytes()
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, x509.ExtensionNotFound):
        return False
    known = {str(name.value) for name in alternative}
    lasts = certificate.not_valid_after_utc - clock.now() > RENEW_BEFORE
    return lasts and known >= set(names) and authority.issued(certificate) and _is_pair(certificate, key)


def _is_pair(certificate: x509.Certificate, key_pem: bytes) -> bool:
    try:
        return load_pem_private_key(key_pem, None).public_key() == certificate.public_key()
    except (ValueError, TypeError):
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

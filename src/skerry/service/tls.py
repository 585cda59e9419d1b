"""TLS contexts: TLS 1.2 or newer, trusting only what was named."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from skerry.errors import InvalidInput

# X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h; Python has no name for it.
NO_CHECK_TIME = 0x200000


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where a server's certificate chain (leaf first) and its private key lie, as PEM."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """The server context of these files."""
        return server_context(self.certificate, self.key)


def server_context(certificate: Path | str, key: Path | str) -> ssl.SSLContext:
    """A server's context from PEM files (``Path``) or PEM text (``str``). Raises InvalidInput."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, certificate, key)
    return context


def load_certificate(context: ssl.SSLContext, certificate: Path | str, key: Path | str) -> None:
    """Give a context a (renewed) certificate, used for new connections. Raises InvalidInput."""
    try:
        if isinstance(certificate, Path) and isinstance(key, Path):
            context.load_cert_chain(certificate, key)
        else:
            _load_text(context, _text(certificate), _text(key))
    except (OSError, ssl.SSLError) as error:
        place = str(certificate) if isinstance(certificate, Path) else "the certificate given as text"
        raise InvalidInput(
            f"cannot use {place} with its key: {error.strerror or error}",
            hint="a PEM chain with the leaf first, and the key that belongs to the leaf",
        ) from error


def client_context(
    ca_pem: str | None,
    *,
    system_roots: bool = False,
    identity: TlsFiles | None = None,
    check_time: bool = True,
) -> ssl.SSLContext:
    """A client's context that checks host names and trusts ``ca_pem`` (PEM text) and nothing else.

    The machine's own roots are trusted only with ``system_roots``. ``identity`` is the certificate to
    show. Without ``check_time`` the dates are not looked at: between programs on one device, whose clock may
    be wrong by years. Raises InvalidInput, also when nothing would be trusted.
    """
    if ca_pem is None and not system_roots:
        raise InvalidInput(
            "no authority to trust", hint="give the CA certificate, or allow the system's roots"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_pem is not None:
        _trust(context, ca_pem)
    if system_roots:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if not check_time:
        context.verify_flags |= NO_CHECK_TIME
    if identity is not None:
        load_certificate(context, identity.certificate, identity.key)
    return context


def _trust(context: ssl.SSLContext, ca_pem: str) -> None:
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidInput("the CA certificate is not PEM", hint="-----BEGIN CERTIFICATE----- …") from error


def _text(pem: Path | str) -> str:
    return pem.read_text() if isinstance(pem, Path) else pem


def _load_text(context: ssl.SSLContext, certificate: str, key: str) -> None:
    # OpenSSL's Python binding reads certificates from files only; ours is 0600 and gone at once.
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(key.rstrip() + "\n" + certificate)
        file.flush()
        context.load_cert_chain(file.name)

"""A device client made from a connection string."""

from __future__ import annotations

import ssl

from skerry.clock import Clock
from skerry.contract.credentials import ConnectionString
from skerry.errors import InvalidInput

from .client import DeviceClient
from .endpoint import Endpoint
from .tokens import FixedToken, KeyTokens, TokenSource

# contract.md §0: Microsoft's SDKs know no other port.
MQTT_PORT = 8883


def client_from_connection_string(
    text: str, clock: Clock, *, ca_pem: str | None = None, port: int = MQTT_PORT
) -> DeviceClient:
    """A client for who the string names; without ``ca_pem`` the system's roots are trusted."""
    parsed = ConnectionString.parse(text)
    credentials: TokenSource
    if parsed.shared_access_key is not None:
        credentials = KeyTokens(parsed.shared_access_key, clock)
    elif parsed.shared_access_signature is not None:
        credentials = FixedToken(parsed.shared_access_signature)
    else:
        raise InvalidInput("X.509 needs a client certificate", hint="use a connection string with a key")
    host = parsed.gateway_host_name or parsed.host_name
    endpoint = Endpoint(host, port, tls_trusting(ca_pem), host)
    return DeviceClient(parsed.identity, parsed.host_name, endpoint, credentials, clock=clock)


def tls_trusting(ca_pem: str | None) -> ssl.SSLContext:
    """A client's TLS (1.2 up) that trusts only these roots (PEM), or the system's; InvalidInput if none."""
    try:
        context = ssl.create_default_context(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as exc:
        raise InvalidInput("the trusted roots are no PEM certificates", field="ca_pem") from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context

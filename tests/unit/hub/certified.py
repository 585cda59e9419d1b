"""Devices that show a certificate to a running hub."""

from __future__ import annotations

from typing import Any

import httpx
from cryptography import x509

from skerry.contract.names import Identity
from skerry.protocol.client import DeviceClient, Endpoint
from skerry.protocol.tokens import NoToken
from skerry.service.certificate_chain import thumbprints
from skerry.service.certificates import Issued
from skerry.service.tls import client_context, load_certificate
from tests.unit.hub.running import RunningHub

Json = dict[str, Any]


def thumbprint(own: Issued, *, sha256: bool = False) -> str:
    return thumbprints(x509.load_pem_x509_certificate(own.cert_chain_pem.encode()))[int(sha256)]


def self_signed_by(primary: str, secondary: str = "") -> Json:
    """An identity's authentication."""
    both = {"primaryThumbprint": primary, "secondaryThumbprint": secondary}
    return {"type": "selfSigned", "x509Thumbprint": both}


def client_with(hub: RunningHub, device: str, own: Issued) -> DeviceClient:
    """A client that connects with this certificate; not started."""
    tls = client_context(hub.ca_pem)
    load_certificate(tls, own.cert_chain_pem, own.key_pem)
    endpoint = Endpoint("127.0.0.1", hub.addresses.mqtt_port, tls, "localhost")
    return DeviceClient(Identity.parse(device), "localhost", endpoint, NoToken(), clock=hub.clock)


async def raw_with(hub: RunningHub, own: Issued, method: str, path: str, body: Any = None) -> httpx.Response:
    """One HTTPS request with this certificate and no token."""
    tls = client_context(hub.ca_pem)
    load_certificate(tls, own.cert_chain_pem, own.key_pem)
    url = f"https://localhost:{hub.addresses.https_port}{path}"
    async with httpx.AsyncClient(verify=tls, trust_env=False) as http:
        return await http.request(method, url, json=body)

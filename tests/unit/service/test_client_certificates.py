"""TLS servers that take any client certificate and hand it on."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from skerry.clock import ManualClock, SystemClock
from skerry.errors import Unsupported
from skerry.mqtt.peer import peer_certificates
from skerry.service.certificates import Authority, Issued, self_signed
from skerry.service.client_certificates import ask_for_certificates
from skerry.service.tls import client_context, load_certificate, server_context

CLOCK = SystemClock()
ROOT = Authority.create("root", CLOCK)
SERVER = ROOT.issue_server("s", ["s"])
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def server() -> ssl.SSLContext:
    context = server_context(SERVER.cert_chain_pem, SERVER.key_pem)
    ask_for_certificates(context)
    return context


def client(own: Issued | None, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = client_context(ROOT.root_pem)
    context.minimum_version = context.maximum_version = version
    if own is not None:
        load_certificate(context, own.cert_chain_pem, own.key_pem)
    return context


def ders(own: Issued) -> tuple[bytes, ...]:
    chain = x509.load_pem_x509_certificates(own.cert_chain_pem.encode())
    return tuple(one.public_bytes(Encoding.DER) for one in chain)


async def shown(server: ssl.SSLContext, *clients: ssl.SSLContext) -> list[tuple[bytes, ...]]:
    """What the server saw of each client, one after the other."""
    seen: list[tuple[bytes, ...]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(peer_certificates(writer.get_extra_info("ssl_object")))
        writer.write(b"hello\n")
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        for context in clients:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="s"
            )
            assert await reader.readline() == b"hello\n"
            writer.close()
            await writer.wait_closed()
    return seen


OWN = {
    "self-signed": self_signed("dev-1", CLOCK),
    "unknown authority, two levels": Authority.create("x", CLOCK).issue_intermediate("y").issue_client("d"),
    "expired": self_signed("old", ManualClock(CLOCK.now().replace(year=2001)), 3600),
    "rsa": self_signed("dev-2", CLOCK, key="rsa2048"),
}


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_certificate_gets_in_with_its_chain(version: ssl.TLSVersion) -> None:
    clients = [client(own, version) for own in OWN.values()]
    assert await shown(server(), *clients, client(None, version)) == [*map(ders, OWN.values()), ()]


def test_it_is_the_same_on_uvloop() -> None:
    own = OWN["unknown authority, two levels"]
    clients = [client(own, version) for version in VERSIONS]
    assert uvloop.run(shown(server(), *clients)) == [ders(own)] * 2


async def test_a_client_that_comes_back_shows_its_certificates_again() -> None:
    """A resumed session would lack the intermediate ones."""
    own = OWN["unknown authority, two levels"]
    for version in VERSIONS:
        context = client(own, version)
        assert await shown(server(), context, context, context) == [ders(own)] * 3


async def test_the_server_certificate_can_still_be_replaced() -> None:
    context = server()
    other = Authority.create("other", CLOCK).issue_server("s", ["s"])
    load_certificate(context, other.cert_chain_pem, other.key_pem)
    with pytest.raises(ssl.SSLCertVerificationError):
        await shown(context, client(None, ssl.TLSVersion.TLSv1_3))


def test_a_python_whose_openssl_is_hidden_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hiding:
        def __init__(self, name: str | None) -> None: ...

    monkeypatch.setattr("ctypes.CDLL", Hiding)
    context = server_context(SERVER.cert_chain_pem, SERVER.key_pem)
    with pytest.raises(Unsupported, match="hides its OpenSSL"):
        ask_for_certificates(context)
    assert context.verify_mode == ssl.CERT_NONE

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import Awaitable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from skerry.errors import Unavailable
from skerry.mqtt.link import Limits
from skerry.mqtt.packets import Publish
from tests.unit.mqtt.ends import Recorder, connected, eventually, listening


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for hub.test and 127.0.0.1, and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub.test")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    names = [x509.DNSName("hub.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=365 * 100))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "cert.pem", folder / "key.pem"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate_path, key_path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def client_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


async def test_messages_of_any_size_go_both_ways_through_tls(certificate: tuple[Path, Path]) -> None:
    got: list[bytes] = []

    def on_publish(packet: Publish) -> Awaitable[None] | None:
        got.append(packet.payload)
        return None

    handler = Recorder()
    bodies = [bytes([n]) * n * 20_000 for n in range(13)]
    async with (
        listening(handler, tls=server_tls(certificate)) as listener,
        connected(listener, on_publish=on_publish, tls=client_tls(certificate)) as client,
    ):
        await asyncio.gather(*(client.publish("t", body, qos=1) for body in bodies))
        await asyncio.gather(*(handler.links["d"].publish("t", body, qos=1) for body in bodies))
        assert handler.links["d"].peer_certificates == ()
    assert [packet.payload for packet in handler.published_packets] == bodies
    assert got == bodies


async def test_a_client_certificate_is_handed_to_the_handler(certificate: tuple[Path, Path]) -> None:
    server, client = server_tls(certificate), client_tls(certificate)
    server.verify_mode = ssl.CERT_OPTIONAL
    server.load_verify_locations(str(certificate[0]))
    client.load_cert_chain(*certificate)
    handler = Recorder()
    expected = x509.load_pem_x509_certificate(certificate[0].read_bytes())
    async with listening(handler, tls=server) as listener, connected(listener, tls=client):
        await eventually(lambda: "d" in handler.links)
        given = handler.links["d"].peer_certificates
        assert given == (expected.public_bytes(serialization.Encoding.DER),)


async def test_a_server_that_is_not_trusted_is_told_apart_from_one_that_is_away(
    certificate: tuple[Path, Path],
) -> None:
    async with listening(Recorder(), tls=server_tls(certificate)) as listener:
        with pytest.raises(Unavailable, match="not trusted"):
            async with connected(listener, tls=ssl.create_default_context()):
                pytest.fail("it was trusted")


async def test_a_peer_that_does_not_speak_tls_does_no_harm(certificate: tuple[Path, Path]) -> None:
    async with listening(Recorder(), tls=server_tls(certificate)) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01d" * 10)
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()
        async with connected(listener, tls=client_tls(certificate)) as client:
            assert client.is_open


async def test_a_flood_of_handshakes_that_never_end_keeps_nobody_out_and_is_let_go(
    certificate: tuple[Path, Path],
) -> None:
    """Half of them say nothing, half stop in the middle of their first record."""
    limits = Limits(connect_timeout_s=1.0)
    async with listening(Recorder(), tls=server_tls(certificate), limits=limits) as listener:
        silent = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(200)]
        for _, writer in silent[::2]:
            writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        async with connected(listener, tls=client_tls(certificate)) as client:
            await client.publish("t", b"hello", qos=1)
        async with asyncio.timeout(20):
            ends = await asyncio.gather(*(_end_of(reader) for reader, _ in silent))
        assert ends == [True] * len(silent)
        for _, writer in silent:
            writer.close()


async def _end_of(reader: asyncio.StreamReader) -> bool:
    """Whether the other side closed; what it said before is of no interest."""
    try:
        while await reader.read(4096):
            pass
    except ConnectionError:
        return True
    return True

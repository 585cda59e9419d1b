"""Authorities, the certificates they issue, and TLS with them."""

import asyncio
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from skerry.clock import ManualClock, SystemClock
from skerry.errors import Damaged, InvalidInput, NotFound, Unavailable
from skerry.service.certificates import Authority, KeyKind
from skerry.service.files import write_atomic
from skerry.service.tls import TlsFiles, client_context, load_certificate, server_context

CLOCK = SystemClock()


async def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> bytes:
    """The server certificate that the client saw, or the client's ssl.SSLError."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
        try:
            assert await reader.readline() == b"hello\n"
            der: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
            return der
        finally:
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize("kind", ["ec-p256", "rsa2048"])
async def test_a_client_that_trusts_the_root_accepts_a_leaf_two_levels_down(kind: KeyKind) -> None:
    root = Authority.create("root", CLOCK, key=kind)
    device = root.issue_intermediate("device ca").issue_intermediate("edge ca", key=kind)
    issued = device.issue_server("edge", ["edge.local"], ["127.0.0.1", "::1"], 3600, key=kind)
    server = server_context(issued.cert_chain_pem, issued.key_pem)
    client = client_context(root.root_pem)
    leaf = x509.load_der_x509_certificate(await handshake(server, client, "edge.local"))
    assert leaf.not_valid_after_utc == issued.not_after
    assert await handshake(server, client, "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        await handshake(server, client, "other.local")
    with pytest.raises(ssl.SSLCertVerificationError):
        await handshake(server, client_context(Authority.create("root", CLOCK).root_pem), "edge.local")
    assert device.root_pem == root.certificate_pem
    assert issued.cert_chain_pem.count("BEGIN CERTIFICATE") == 3
    assert root.chain_pem == ""


async def test_a_device_with_a_wrong_clock_can_talk_to_itself() -> None:
    past = ManualClock(datetime(2001, 1, 1, tzinfo=UTC))
    root = Authority.create("root", past)
    issued = root.issue_server("edge", ["edge"], valid_s=3600)
    server = server_context(issued.cert_chain_pem, issued.key_pem)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        await handshake(server, client_context(root.root_pem), "edge")
    assert await handshake(server, client_context(root.root_pem, check_time=False), "edge")


def test_certificates_begin_a_day_early_and_never_outlive_their_issuer() -> None:
    clock = ManualClock(datetime(2026, 6, 1, 12, tzinfo=UTC))
    root = Authority.create("root", clock, valid_s=3600)
    issued = root.issue_server("s", ["s"], valid_s=7200)
    leaf = x509.load_pem_x509_certificate(issued.cert_chain_pem.encode())
    assert leaf.not_valid_before_utc == clock.now() - timedelta(days=1)
    assert issued.not_after == clock.now() + timedelta(seconds=3600)
    early = datetime(2000, 1, 1, tzinfo=UTC)
    chosen = root.issue_server("s", ["s"], not_before=early).cert_chain_pem
    assert x509.load_pem_x509_certificate(chosen.encode()).not_valid_before_utc == early


def test_an_authority_reads_back_as_it_was_saved(tmp_path: Path) -> None:
    edge = Authority.create("root", CLOCK).issue_intermediate("edge")
    edge.save(tmp_path / "ca")
    assert stat.S_IMODE((tmp_path / "ca/ca.key.pem").stat().st_mode) == 0o600
    assert sorted(path.name for path in (tmp_path / "ca").iterdir()) == ["ca.key.pem", "ca.pem"]
    loaded = Authority.load(tmp_path / "ca", CLOCK)
    assert (loaded.certificate, loaded.above, loaded.key_pem) == (edge.certificate, edge.above, edge.key_pem)
    leaf = x509.load_pem_x509_certificate(loaded.issue_client("d").cert_chain_pem.encode())
    assert edge.issued(leaf)
    assert not Authority.create("edge", CLOCK).issued(leaf)


def test_a_missing_or_damaged_authority_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no authority in"):
        Authority.load(tmp_path, CLOCK)
    Authority.create("one", CLOCK).save(tmp_path)
    key = Authority.create("two", CLOCK).key_pem
    (tmp_path / "ca.key.pem").write_text(key)
    with pytest.raises(Damaged, match="do not belong together"):
        Authority.load(tmp_path, CLOCK)
    (tmp_path / "ca.pem").write_text("garbage")
    with pytest.raises(Damaged):
        Authority.load(tmp_path, CLOCK)


@pytest.mark.parametrize(
    ("name", "dns", "ips", "valid_s"),
    [
        ("", [], [], 1),
        ("x" * 65, [], [], 1),
        ("x", ["bücher"], [], 1),
        ("x", [], ["1.2.3"], 1),
        ("x", [], [], 0),
    ],
)
def test_names_that_x509_cannot_hold_are_refused(
    name: str, dns: list[str], ips: list[str], valid_s: float
) -> None:
    with pytest.raises(InvalidInput):
        Authority.create("root", CLOCK).issue_server(name, dns, ips, valid_s)


def test_no_private_key_is_shown(tmp_path: Path) -> None:
    root = Authority.create("root", CLOCK)
    assert "PRIVATE" not in repr(root) + repr(root.issue_server("s", ["s"]))


async def test_a_renewed_certificate_is_used_for_new_connections(tmp_path: Path) -> None:
    root = Authority.create("root", CLOCK)
    files = TlsFiles(tmp_path / "s.pem", tmp_path / "s.key")
    first, second = root.issue_server("s", ["s"]), root.issue_server("s", ["s"])
    write_atomic(files.certificate, first.cert_chain_pem.encode())
    write_atomic(files.key, first.key_pem.encode(), mode=0o600)
    server, client = files.context(), client_context(root.root_pem)
    before = await handshake(server, client, "s")
    load_certificate(server, second.cert_chain_pem, second.key_pem)
    after = await handshake(server, client, "s")
    assert before != after


def test_contexts_refuse_what_cannot_work(tmp_path: Path) -> None:
    root = Authority.create("root", CLOCK)
    issued = root.issue_server("s", ["s"])
    with pytest.raises(InvalidInput, match="no authority to trust"):
        client_context(None)
    with pytest.raises(InvalidInput, match="not PEM"):
        client_context("garbage")
    with pytest.raises(InvalidInput, match="with its key"):
        server_context(issued.cert_chain_pem, root.key_pem)
    with pytest.raises(InvalidInput, match=r"none\.pem"):
        server_context(tmp_path / "none.pem", tmp_path / "none.key")
    assert server_context(issued.cert_chain_pem, issued.key_pem).minimum_version == ssl.TLSVersion.TLSv1_2
    assert client_context(None, system_roots=True).verify_mode == ssl.CERT_REQUIRED


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a" / "key"
    write_atomic(path, b"one", mode=0o600)
    write_atomic(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(Unavailable, match="folder"):
        write_atomic(tmp_path / "folder", b"x")
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []

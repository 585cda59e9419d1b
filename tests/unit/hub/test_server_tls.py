"""The hub's TLS: given files, and new ones under open connections."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from skerry.clock import ManualClock, SystemClock
from skerry.errors import InvalidInput, NotAllowed
from skerry.hub.server_tls import RELOAD_EVERY_S, ServerTls
from skerry.hub.settings import HubSettings
from skerry.hub.setup import initialise
from skerry.service.certificates import Authority, Issued
from skerry.service.tls import client_context
from tests.unit.hub.running import running_hub

CLOCK = SystemClock()
ROOT = Authority.create("public root", CLOCK)


def issued() -> Issued:
    return ROOT.issue_server("localhost", ["localhost"])


def written(folder: Path, own: Issued) -> tuple[Path, Path]:
    certificate, key = folder / "server.pem", folder / "server.key.pem"
    key.touch(mode=0o600)
    key.write_text(own.key_pem)
    certificate.write_text(own.cert_chain_pem)
    return certificate, key


def serial(own: Issued) -> int:
    return x509.load_pem_x509_certificate(own.cert_chain_pem.encode()).serial_number


class Shown:
    """A server with that context, and a connection to it that stays open."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context

    async def __aenter__(self) -> Shown:
        self.server = await asyncio.start_server(self._echo, "127.0.0.1", 0, ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]
        self.reader, self.writer = await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        await self.writer.wait_closed()
        self.server.close()

    async def now(self) -> int:
        """The serial number that a new connection sees; the old one has to work on."""
        self.writer.write(b"still here\n")
        assert await self.reader.readline() == b"still here\n"
        _, writer = await self._open()
        der = writer.get_extra_info("ssl_object").getpeercert(True)
        writer.close()
        await writer.wait_closed()
        return x509.load_der_x509_certificate(der).serial_number

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        tls = client_context(ROOT.root_pem)
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=tls, server_hostname="localhost")

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()


async def test_new_files_are_shown_to_new_connections_and_old_ones_stay(tmp_path: Path) -> None:
    first, second, third = issued(), issued(), issued()
    certificate, key = written(tmp_path, first)
    clock = ManualClock(CLOCK.now())
    tls = ServerTls(HubSettings(tmp_path, certificate=certificate, certificate_key=key), clock)
    running = asyncio.create_task(tls.run())
    await asyncio.sleep(0)
    async with Shown(tls.context) as shown:
        assert await shown.now() == serial(first)
        written(tmp_path, second)
        await clock.advance(RELOAD_EVERY_S)
        await _until_serial(shown, serial(second))
        # Half of a pair, as one sees it between two writes: the present one stays.
        certificate.write_text(third.cert_chain_pem)
        await clock.advance(RELOAD_EVERY_S)
        assert await shown.now() == serial(second)
        key.write_text(third.key_pem)
        await clock.advance(RELOAD_EVERY_S)
        await _until_serial(shown, serial(third))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def _until_serial(shown: Shown, wanted: int) -> None:
    async with asyncio.timeout(10):
        while await shown.now() != wanted:
            await asyncio.sleep(0.01)


async def test_its_own_certificate_is_renewed_while_the_hub_runs(tmp_path: Path) -> None:
    clock = ManualClock(CLOCK.now())
    settings = HubSettings(tmp_path)
    await initialise(tmp_path, settings, clock)
    before = (tmp_path / "server.pem").read_bytes()
    tls = ServerTls(settings, clock)
    running = asyncio.create_task(tls.run())
    await asyncio.sleep(0)
    clock.set(clock.now().replace(year=clock.now().year + 1))
    async with asyncio.timeout(20):
        while (tmp_path / "server.pem").read_bytes() == before:
            await clock.advance(RELOAD_EVERY_S)
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_hub_shows_the_given_certificate_on_every_port(tmp_path: Path) -> None:
    own = issued()
    certificate, key = written(tmp_path, own)
    files = {"certificate": certificate, "certificate_key": key, "amqp_port": 0}
    async with running_hub(tmp_path / "hub", root_pem=ROOT.root_pem, **files) as hub:
        assert [one["deviceId"] for one in await hub.service.devices()] == []
        for port in (hub.addresses.https_port, hub.addresses.mqtt_port, hub.addresses.amqp_port):
            tls = client_context(ROOT.root_pem)
            _, writer = await asyncio.open_connection("localhost", port, ssl=tls)
            der = writer.get_extra_info("ssl_object").getpeercert(True)
            assert x509.load_der_x509_certificate(der).serial_number == serial(own)
            writer.close()
            await writer.wait_closed()


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    certificate, key = written(tmp_path, issued())
    key.chmod(0o644)
    with pytest.raises(NotAllowed, match="chmod 600"):
        ServerTls(HubSettings(tmp_path, certificate=certificate, certificate_key=key), CLOCK)
    with pytest.raises(InvalidInput, match="certificate"):
        HubSettings(tmp_path, certificate=certificate)

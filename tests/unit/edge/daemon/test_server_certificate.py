"""The edge hub's certificate is renewed under running listeners."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

from cryptography import x509

from skerry.clock import ManualClock, SystemClock
from skerry.edge.daemon.server_certificate import ServerCertificate
from skerry.service.certificates import Authority
from skerry.service.tls import client_context


async def presented(context: ssl.SSLContext, authority: Authority, name: str) -> x509.Certificate:
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0, ssl=context)
    try:
        port = server.sockets[0].getsockname()[1]
        trusting = client_context(authority.root_pem)
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=name)
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        return x509.load_der_x509_certificate(found)
    finally:
        server.close()
        await server.wait_closed()


async def test_it_carries_every_name_of_the_device() -> None:
    clock = ManualClock(datetime.now(UTC))
    authority = Authority.create("edge CA", clock)
    certificate = ServerCertificate(authority, ["gate", "172.17.0.1", ""], clock)
    for name in ("gate", "localhost", "edgehub", "172.17.0.1", "127.0.0.1"):
        await presented(certificate.context, authority, name)


async def test_it_is_renewed_in_time_and_after_a_step_of_the_clock() -> None:
    clock = ManualClock(datetime.now(UTC))
    authority = Authority.create("edge CA", clock)
    certificate = ServerCertificate(authority, ["gate"], clock, valid_s=900)
    task = asyncio.create_task(certificate.run())
    await asyncio.sleep(0)
    first = await presented(certificate.context, authority, "gate")
    await clock.advance(300)
    assert (await presented(certificate.context, authority, "gate")).serial_number == first.serial_number
    await clock.advance(400)
    second = await presented(certificate.context, authority, "gate")
    assert second.serial_number != first.serial_number
    clock.set(datetime(1999, 1, 1, tzinfo=UTC))
    await clock.advance(60)
    clock.set(datetime.now(UTC))
    await clock.advance(60)
    third = await presented(certificate.context, authority, "gate")
    assert third.serial_number != second.serial_number
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_client_takes_it_whatever_clock_made_it() -> None:
    """At boot in 1970 and after a step to 2060; the client's clock is right."""
    authority = Authority.create("edge CA", SystemClock())
    for wrong in (1970, 2001, 2060):
        clock = ManualClock(datetime(wrong, 1, 1, tzinfo=UTC))
        await presented(ServerCertificate(authority, ["gate"], clock).context, authority, "gate")
        behind = ServerCertificate(authority, ["gate"], clock, valid_s=60, time=lambda: datetime.now(UTC))
        leaf = await presented(behind.context, authority, "gate")
        assert leaf.not_valid_after_utc - datetime.now(UTC) < timedelta(seconds=61), "the hub knows the time"


async def test_it_heals_when_the_clock_is_set_and_set_again() -> None:
    right = datetime.now(UTC)
    authority = Authority.create("edge CA", SystemClock())
    clock = ManualClock(datetime(1970, 1, 1, tzinfo=UTC))
    certificate = ServerCertificate(authority, ["gate"], clock, valid_s=3600)
    task = asyncio.create_task(certificate.run())
    await asyncio.sleep(0)
    for at, lasting in ((right, False), (right.replace(year=2060), True), (right, False)):
        clock.set(at)
        await clock.advance(60)
        leaf = await presented(certificate.context, authority, "gate")
        left = leaf.not_valid_after_utc - right
        assert (left > timedelta(days=365)) is lasting
    assert certificate.renewals == 3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

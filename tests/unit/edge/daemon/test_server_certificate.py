"""The edge hub's certificate is renewed under running listeners."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime

from cryptography import x509

from skerry.clock import ManualClock
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

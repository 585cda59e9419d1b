import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from skerry.clock import ManualClock
from skerry.contract.credentials import SasToken, verify_token
from skerry.errors import InvalidInput, NotFound, Unavailable
from skerry.protocol.workload import WorkloadClient, WorkloadTokens, module_client_from_environment
from tests.unit.protocol.ends import KEY

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


class Daemon:
    """The part of the device daemon that modules talk to, in a few lines of HTTP."""

    def __init__(self, *, chunked: bool = False, answer: bytes | None = None) -> None:
        self.targets: list[str] = []
        self._chunked = chunked
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        method, target, _ = head.split("\r\n")[0].split(" ")
        body = await reader.readexactly(length)
        self.targets.append(f"{method} {target}")
        writer.write(self._answer if self._answer is not None else self._reply(target, body))
        await writer.drain()
        writer.close()

    def _reply(self, target: str, body: bytes) -> bytes:
        if target.startswith("/trust-bundle"):
            return self._http(200, {"certificate": PEM})
        if "/genid/g1/" not in target:
            return self._http(404, {"message": "no module of this generation"})
        request = json.loads(body)
        assert (request["keyId"], request["algo"]) == ("primary", "HMACSHA256")
        digest = hmac.digest(base64.b64decode(KEY), base64.b64decode(request["data"]), hashlib.sha256)
        return self._http(200, {"digest": base64.b64encode(digest).decode()})

    def _http(self, status: int, document: object) -> bytes:
        body = json.dumps(document).encode()
        start = f"HTTP/1.1 {status} X\r\n"
        if not self._chunked:
            return f"{start}Content-Length: {len(body)}\r\n\r\n".encode() + body
        chunks = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (body[:5], body[5:]))
        return f"{start}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"


@asynccontextmanager
async def daemon_at(path: Path, daemon: Daemon) -> AsyncIterator[str]:
    server = await asyncio.start_unix_server(daemon.serve, str(path))
    try:
        yield f"unix://{path}"
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("chunked", [False, True])
async def test_trust_and_signatures_come_over_a_unix_socket(tmp_path: Path, chunked: bool) -> None:
    daemon = Daemon(chunked=chunked)
    clock = ManualClock()
    async with daemon_at(tmp_path / "w.sock", daemon) as uri:
        workload = WorkloadClient(uri, "my module", "g1")
        assert await workload.trust_bundle() == PEM
        token = await WorkloadTokens(workload, clock).token("hub/devices/d/modules/m")
    verify_token(SasToken.parse(token), [KEY], ["hub/devices/d/modules/m"], clock.now().timestamp())
    assert daemon.targets == [
        "GET /trust-bundle?api-version=2019-01-30",
        "POST /modules/my%20module/genid/g1/sign?api-version=2019-01-30",
    ]


async def test_the_same_calls_go_over_tcp() -> None:
    server = await asyncio.start_server(Daemon().serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await WorkloadClient(f"http://127.0.0.1:{port}", "m", "g1").trust_bundle() == PEM
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.01)


async def test_what_goes_wrong_has_a_name(tmp_path: Path) -> None:
    async with daemon_at(tmp_path / "w.sock", Daemon()) as uri:
        with pytest.raises(NotFound, match="no module of this generation"):
            await WorkloadClient(uri, "m", "old").sign(b"x")
    for number, answer in enumerate(
        (b"", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
    ):
        async with daemon_at(tmp_path / f"w{number}.sock", Daemon(answer=answer)) as uri:
            with pytest.raises(Unavailable):
                await WorkloadClient(uri, "m", "g1").sign(b"x")
    with pytest.raises(Unavailable, match="cannot reach"):
        await WorkloadClient(f"unix://{tmp_path}/none.sock", "m", "g1").trust_bundle()
    with pytest.raises(InvalidInput):
        WorkloadClient("ftp://x", "m", "g1")


ENVIRONMENT = {
    "IOTEDGE_WORKLOADURI": "unix:///nowhere/w.sock",
    "IOTEDGE_DEVICEID": "d",
    "IOTEDGE_MODULEID": "m",
    "IOTEDGE_MODULEGENERATIONID": "g1",
    "IOTEDGE_IOTHUBHOSTNAME": "hub.test",
    "IOTEDGE_GATEWAYHOSTNAME": "gateway",
    "IOTEDGE_APIVERSION": "2019-01-30",
    "IOTEDGE_AUTHSCHEME": "sasToken",
}


@pytest.mark.parametrize("name", sorted(set(ENVIRONMENT) - {"IOTEDGE_APIVERSION", "IOTEDGE_AUTHSCHEME"}))
async def test_a_missing_variable_is_named(name: str) -> None:
    environ = {key: value for key, value in ENVIRONMENT.items() if key != name}
    with pytest.raises(InvalidInput, match=name):
        module_client_from_environment(environ, ManualClock())


async def test_a_module_keeps_trying_while_its_daemon_is_away() -> None:
    client = module_client_from_environment(ENVIRONMENT, ManualClock())
    assert client.identity.client_id == "d/m"
    await client.start()
    await asyncio.sleep(0.02)
    assert isinstance(client.last_error, Unavailable)
    await client.stop()

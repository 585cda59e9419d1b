"""What a module may ask over its own socket."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from skerry.clock import SystemClock, iso
from skerry.contract.credentials import ConnectionString
from skerry.contract.names import ModuleId
from skerry.edge.daemon.identities import Identities, ModuleIdentity
from skerry.edge.daemon.module_host import WorkloadHost
from skerry.protocol.workload import WorkloadClient
from skerry.service.certificates import Authority
from skerry.store.database import Database
from skerry.store.documents import Documents
from tests.support.edge import key_of
from tests.unit.edge.daemon.memory import MemoryIdentityService

CNN, CAMERA = ModuleId("cnn"), ModuleId("camera")
CLOCK = SystemClock()
CONNECTION = ConnectionString.parse(f"HostName=hub.test;DeviceId=edge-1;SharedAccessKey={key_of('edge-1')}")


class Daemon:
    def __init__(self, directory: Path, database: Database) -> None:
        self.service = MemoryIdentityService()
        self.identities = Identities(CONNECTION, Documents(database, "identities"), self.service)
        self.authority = Authority.create("edge CA", CLOCK)
        self.backlog = 0
        self.host = WorkloadHost(
            directory,
            self.identities,
            self.authority,
            modules=lambda: [{"name": "cnn"}],
            backlog=lambda module: self.backlog,
            clock=CLOCK,
        )

    async def call(self, socket_of: ModuleId, method: str, path: str, body: Any = None) -> httpx.Response:
        _, directory = await self.host.open(socket_of)
        transport = httpx.AsyncHTTPTransport(uds=str(directory / "workload.sock"))
        async with httpx.AsyncClient(transport=transport, base_url="http://workload") as client:
            return await client.request(method, path, params={"api-version": "2020-07-07"}, json=body)

    async def identity(self) -> ModuleIdentity:
        return await self.identities.ensure(CNN)


@pytest.fixture
async def daemon(tmp_path: Path, database: Database) -> AsyncIterator[Daemon]:
    made = Daemon(tmp_path / "w", database)
    yield made
    await made.host.close()


async def test_a_module_signs_with_its_key_and_never_sees_it(daemon: Daemon) -> None:
    identity = await daemon.identity()
    _, directory = await daemon.host.open(CNN)
    client = WorkloadClient(f"unix://{directory}/workload.sock", "cnn", identity.generation_id)
    key = base64.b64decode(identity.primary_key)
    assert await client.sign(b"sr\nse") == hmac.digest(key, b"sr\nse", hashlib.sha256)
    assert await client.trust_bundle() == daemon.authority.root_pem


async def test_another_modules_name_on_this_socket_is_refused(daemon: Daemon) -> None:
    await daemon.identities.ensure(CAMERA)
    generation = (await daemon.identity()).generation_id
    body = {"keyId": "primary", "algo": "HMACSHA256", "data": base64.b64encode(b"x").decode()}
    answer = await daemon.call(CAMERA, "POST", f"/modules/cnn/genid/{generation}/sign", body)
    assert answer.status_code == 403
    assert "message" in answer.json()
    assert (await daemon.call(CNN, "POST", "/modules/cnn/genid/999/sign", body)).status_code == 404
    wrong = await daemon.call(CNN, "POST", f"/modules/cnn/genid/{generation}/sign", {"algo": "MD5"})
    assert wrong.status_code == 400


async def test_what_is_encrypted_decrypts_only_with_its_vector(daemon: Daemon) -> None:
    path = f"/modules/cnn/genid/{(await daemon.identity()).generation_id}"
    vector = base64.b64encode(b"iv").decode()
    plain = base64.b64encode(b"secret").decode()
    sealed = await daemon.call(
        CNN, "POST", path + "/encrypt", {"plaintext": plain, "initializationVector": vector}
    )
    body = {**sealed.json(), "initializationVector": vector}
    assert (await daemon.call(CNN, "POST", path + "/decrypt", body)).json() == {"plaintext": plain}
    body["initializationVector"] = base64.b64encode(b"other").decode()
    assert (await daemon.call(CNN, "POST", path + "/decrypt", body)).status_code == 400


async def test_a_server_certificate_for_the_module(daemon: Daemon) -> None:
    path = f"/modules/cnn/genid/{(await daemon.identity()).generation_id}/certificate/server"
    until = CLOCK.now() + timedelta(days=2)
    answer = await daemon.call(CNN, "POST", path, {"commonName": "gateway", "expiration": iso(until)})
    assert answer.status_code == 201
    document = answer.json()
    assert document["privateKey"]["type"] == "key"
    certificate = x509.load_pem_x509_certificate(document["certificate"].encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["gateway", "cnn"]
    assert abs((certificate.not_valid_after_utc - until).total_seconds()) < 5
    past = {"commonName": "gateway", "expiration": "2001-01-01T00:00:00Z"}
    assert (await daemon.call(CNN, "POST", path, past)).status_code == 400


async def test_an_identity_certificate_and_the_module_list(daemon: Daemon) -> None:
    await daemon.identity()
    answer = await daemon.call(CNN, "POST", "/modules/cnn/certificate/identity")
    assert answer.status_code == 201
    assert (await daemon.call(CNN, "GET", "/modules")).json() == {"modules": [{"name": "cnn"}]}


async def test_a_module_that_left_keeps_its_identity_until_its_messages_are_sent(daemon: Daemon) -> None:
    import asyncio

    await daemon.host.open(CNN)
    daemon.backlog = 3
    await daemon.host.release(CNN)
    task = asyncio.create_task(daemon.host.run())
    await asyncio.sleep(0.05)
    assert CNN in daemon.identities.known
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    daemon.backlog = 0
    task = asyncio.create_task(daemon.host.run())
    async with asyncio.timeout(5):
        while CNN in daemon.identities.known:
            await asyncio.sleep(0.01)
    assert CNN not in daemon.service.identities
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

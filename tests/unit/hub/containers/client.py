"""A registry client that does one request at a time, as the specification writes them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from skerry.contract.credentials import ConnectionString
from skerry.hub.setup import connection_string
from skerry.oci.image import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST
from skerry.service.tls import client_context
from tests.unit.hub.running import RunningHub


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def described(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha(data), "size": len(data)}


def manifest_of(config: bytes, *layers: bytes, **more: Any) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described(config, OCI_CONFIG),
        "layers": [described(layer, OCI_LAYER_GZIP) for layer in layers],
        **more,
    }
    return json.dumps(document).encode()


def policy_login(hub: RunningHub, policy: str) -> tuple[str, str]:
    key = ConnectionString.parse(connection_string(hub.data_dir, policy)).shared_access_key
    assert key is not None
    return policy, key


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass
class Client:
    """Requests to ``/v2/`` as one caller."""

    http: httpx.AsyncClient
    authorization: str

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"authorization": self.authorization, **more.pop("headers", {})}
        if not self.authorization:
            del headers["authorization"]
        return await self.http.request(method, path, headers=headers, **more)

    async def push_blob(self, repository: str, data: bytes) -> str:
        path = f"/v2/{repository}/blobs/uploads/?digest={sha(data)}"
        answer = await self.ask("POST", path, content=data)
        assert answer.status_code == 201, answer.text
        return sha(data)

    async def push(self, repository: str, reference: str, *layers: bytes, **more: Any) -> str:
        config = json.dumps({"made of": [sha(layer) for layer in layers]}).encode()
        for data in (config, *layers):
            await self.push_blob(repository, data)
        data = manifest_of(config, *layers, **more)
        answer = await self.put_manifest(repository, reference, data)
        assert answer.status_code == 201, answer.text
        return sha(data)

    async def put_manifest(
        self, repository: str, reference: str, data: bytes, media_type: str = OCI_MANIFEST
    ) -> httpx.Response:
        path = f"/v2/{repository}/manifests/{reference}"
        return await self.ask("PUT", path, content=data, headers={"content-type": media_type})


@asynccontextmanager
async def client(hub: RunningHub, authorization: str | None = None) -> AsyncIterator[Client]:
    """As the owner unless ``authorization`` is given ("" is nobody)."""
    own = hub.token("iothubowner") if authorization is None else authorization
    url = f"https://localhost:{hub.addresses.https_port}"
    async with httpx.AsyncClient(base_url=url, verify=client_context(hub.ca_pem), trust_env=False) as http:
        yield Client(http, own)


def code(answer: httpx.Response) -> str:
    """The error code in an answer."""
    return str(answer.json()["errors"][0]["code"])

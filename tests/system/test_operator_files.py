"""What an operator does with uploaded files from the command line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from skerry.contract.credentials import ConnectionString, key_signer, make_token
from skerry.service.tls import client_context
from tests.system.bad_input.site import Site

pytestmark = pytest.mark.system


async def upload(site: Site, device_string: str, name: str, content: bytes) -> None:
    """What a device does, by hand."""
    device = ConnectionString.parse(device_string)
    signer = key_signer(str(device.shared_access_key))
    token = make_token(f"localhost/devices/{device.device_id}", signer, 2_000_000_000)
    base = f"https://localhost:{site.https_port}"
    files = f"/devices/{device.device_id}/files"
    async with httpx.AsyncClient(base_url=base, verify=client_context(site.ca_pem), trust_env=False) as http:
        headers = {"authorization": token}
        told = (await http.post(files, json={"blobName": name}, headers=headers)).json()
        path = f"/{told['containerName']}/{told['blobName']}{told['sasToken']}"
        put = await http.put(path, content=content, headers={"x-ms-blob-type": "BlockBlob"})
        assert put.status_code == 201
        done = {"correlationId": told["correlationId"], "isSuccess": True}
        assert (await http.post(f"{files}/notifications", json=done, headers=headers)).status_code == 204


def test_an_operator_lists_fetches_and_deletes_uploads(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving():
        device_string = site.create_device("press-1")
        asyncio.run(upload(site, device_string, "logs/today.txt", b"all well"))
        listed = site.skerry("uploads", "list", "--output", "json").succeeded()
        (file,) = json.loads(listed.out)
        assert (file["blobName"], file["bytes"]) == ("press-1/logs/today.txt", 8)
        assert "press-1/logs/today.txt" in site.skerry("uploads", "list").succeeded().out
        target = tmp_path / "got.txt"
        site.skerry("uploads", "get", "press-1/logs/today.txt", "--to", str(target)).succeeded()
        assert target.read_bytes() == b"all well"
        site.skerry("uploads", "delete", "press-1/logs/today.txt").succeeded()
        assert site.skerry("uploads", "get", "press-1/logs/today.txt").code == 4
        assert [path.name for path in tmp_path.glob("*.part")] == []

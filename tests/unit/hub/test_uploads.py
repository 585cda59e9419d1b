"""Files from devices: rights, content, notices, bounds (contract §2.9)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from skerry.amqp.performatives import RECEIVER, Released
from skerry.hub.uploads import OPEN_MAX
from tests.unit.hub.amqp_client import amqp_client
from tests.unit.hub.running import RunningHub, running_hub

Json = dict[str, Any]
FILES = "/devices/dev/files"
BLOCK_BLOB = {"x-ms-blob-type": "BlockBlob"}
NOTICES = "/messages/serviceBound/filenotifications"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub", amqp_port=0, uploads_keep_bytes=1000) as running:
        yield running


@pytest.fixture
async def token(hub: RunningHub) -> str:
    return hub.device_token(await hub.service.create_device("dev"))


async def begin(hub: RunningHub, token: str, name: str = "a.jpg") -> Json:
    answer = await hub.raw("POST", FILES, token, body={"blobName": name})
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    return told


def path_of(told: Json, more: str = "") -> str:
    return f"/{told['containerName']}/{told['blobName']}{told['sasToken']}{more}"


async def put(hub: RunningHub, told: Json, content: bytes, more: str = "", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {**BLOCK_BLOB, **named}
    return await hub.raw("PUT", path_of(told, more), "", content=content, headers=sent)


async def finish(hub: RunningHub, token: str, told: Json, success: bool = True) -> httpx.Response:
    body = {"correlationId": told["correlationId"], "isSuccess": success, "statusCode": 200}
    return await hub.raw("POST", f"{FILES}/notifications", token, body=body)


async def upload(hub: RunningHub, token: str, name: str, content: bytes) -> Json:
    told = await begin(hub, token, name)
    assert (await put(hub, told, content)).status_code == 201
    assert (await finish(hub, token, told)).status_code == 204
    return told


def kept(hub: RunningHub) -> list[str]:
    return sorted(path.name for path in (hub.data_dir / "uploads").iterdir())


async def test_a_file_is_uploaded_announced_and_read(hub: RunningHub, token: str) -> None:
    told = await begin(hub, token, "d/ä b.jpg")
    assert told["hostName"] == f"localhost:{hub.addresses.https_port}"
    assert told["blobName"] == "dev/d/ä b.jpg"
    done = await put(hub, told, b"picture", content_type="image/jpeg")
    assert done.status_code == 201
    assert done.headers["content-md5"] == base64.b64encode(hashlib.md5(b"picture").digest()).decode()
    assert (await finish(hub, token, told)).status_code == 204
    notice = await hub.raw("GET", NOTICES)
    said = notice.json()
    assert (said["deviceId"], said["blobName"], said["blobSizeInBytes"]) == ("dev", "dev/d/ä b.jpg", 7)
    path = said["blobUri"].removeprefix(f"https://localhost:{hub.addresses.https_port}")
    read = await hub.raw("GET", path, hub.token("service"))
    assert (read.content, read.headers["content-type"]) == (b"picture", "image/jpeg")
    assert read.headers["content-disposition"] == "attachment"
    part = await hub.raw("GET", path, headers={"range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"ict")
    assert (await hub.raw("HEAD", path)).headers["content-length"] == "7"


async def test_the_right_to_a_blob_is_for_it_alone_and_ends_with_the_notification(
    hub: RunningHub, token: str
) -> None:
    told = await begin(hub, token)
    other = await begin(hub, token, "b.jpg")
    stolen = {**other, "sasToken": told["sasToken"]}
    refused = await put(hub, stolen, b"x")
    assert (refused.status_code, refused.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")
    assert (await hub.raw("PUT", "/uploads/dev/a.jpg", "", content=b"x")).status_code == 401
    assert (await put(hub, told, b"1")).status_code == 201
    assert (await put(hub, told, b"22")).status_code == 201
    assert (await finish(hub, token, told)).status_code == 204
    assert (await put(hub, told, b"333")).status_code == 403
    assert (await finish(hub, token, told)).status_code == 404
    assert (await hub.raw("GET", "/uploads/dev/a.jpg")).content == b"22"


async def test_a_device_uploads_for_itself_only(hub: RunningHub, token: str) -> None:
    other = hub.device_token(await hub.service.create_device("other"))
    told = await begin(hub, token)
    assert (await hub.raw("POST", FILES, other, body={"blobName": "x"})).status_code == 403
    assert (await hub.raw("POST", FILES, "", body={"blobName": "x"})).status_code == 401
    body = {"correlationId": told["correlationId"], "isSuccess": False}
    answer = await hub.raw("POST", "/devices/other/files/notifications", other, body=body)
    assert answer.status_code == 404
    assert (await hub.raw("GET", "/uploads/dev/a.jpg", token)).status_code == 403
    assert (await hub.raw("GET", "/uploads", token)).status_code == 403


async def test_a_success_without_a_file_is_refused_and_a_failure_is_not_announced(
    hub: RunningHub, token: str
) -> None:
    told = await begin(hub, token)
    assert (await finish(hub, token, told)).status_code == 400
    assert (await finish(hub, token, told, success=False)).status_code == 204
    assert (await hub.raw("GET", NOTICES)).status_code == 204
    # An earlier file of this name does not make a new upload a success.
    await upload(hub, token, "a.jpg", b"old")
    again = await begin(hub, token)
    assert (await finish(hub, token, again)).status_code == 400


async def test_a_file_comes_in_blocks(hub: RunningHub, token: str) -> None:
    told = await begin(hub, token)
    ids = [base64.b64encode(b"block-%d" % n).decode() for n in range(3)]
    for n, block in enumerate(ids):
        staged = await put(hub, told, b"%d" % n * 10, f"&comp=block&blockid={block}")
        assert staged.status_code == 201
    names = "".join(f"<Latest>{block}</Latest>" for block in reversed(ids))
    listed = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{names}</BlockList>'.encode()
    headers = {"x_ms_blob_content_type": "text/plain"}
    assert (await put(hub, told, listed, "&comp=blocklist", **headers)).status_code == 201
    read = await hub.raw("GET", "/uploads/dev/a.jpg")
    assert (read.content, read.headers["content-type"]) == (
        b"2" * 10 + b"1" * 10 + b"0" * 10,
        "text/plain; charset=utf-8",
    )


@pytest.mark.parametrize(
    ("more", "content", "headers", "code"),
    [
        ("&comp=block&blockid=%3F", b"x", {}, "InvalidQueryParameterValue"),
        ("&comp=lease", b"x", {}, "InvalidQueryParameterValue"),
        ("&comp=blocklist", b"<BlockList><Latest>bm9uZQ==</Latest></BlockList>", {}, "InvalidBlockList"),
        ("&comp=blocklist", b"<BlockList><!ENTITY x 'y'></BlockList>", {}, "InvalidXmlDocument"),
        ("", b"x", {"x_ms_blob_type": "PageBlob"}, "InvalidHeaderValue"),
        ("", b"x", {"content_md5": "AAAA"}, "Md5Mismatch"),
    ],
)
async def test_a_bad_write_is_refused_and_nothing_is_there(
    hub: RunningHub, token: str, more: str, content: bytes, headers: dict[str, str], code: str
) -> None:
    told = await begin(hub, token)
    refused = await put(hub, told, content, more, **headers)
    assert (refused.status_code, refused.headers["x-ms-error-code"]) == (400, code)
    assert (await hub.raw("GET", "/uploads/dev/a.jpg")).status_code == 404


async def test_a_blob_is_not_overwritten_by_one_that_must_be_new(hub: RunningHub, token: str) -> None:
    told = await begin(hub, token)
    assert (await put(hub, told, b"1", if_none_match="*")).status_code == 201
    refused = await put(hub, told, b"2", if_none_match="*")
    assert (refused.status_code, refused.headers["x-ms-error-code"]) == (409, "BlobAlreadyExists")


async def test_uploads_are_bounded_in_number_and_size(hub: RunningHub, token: str) -> None:
    told = await begin(hub, token)
    assert (await put(hub, told, b"x" * 1001)).status_code == 413
    assert (await put(hub, told, b"x" * 1000)).status_code == 201
    assert (await put(hub, told, b"y")).status_code == 503
    full = await hub.raw("POST", FILES, token, body={"blobName": "more"})
    assert (full.status_code, full.headers["iothub-errorcode"]) == (403, "IotHubQuotaExceeded")
    assert (await hub.raw("DELETE", "/uploads/dev/a.jpg")).status_code == 202
    for n in range(OPEN_MAX - 1):
        await begin(hub, token, f"{n}")
    refused = await hub.raw("POST", FILES, token, body={"blobName": "more"})
    assert refused.headers["iothub-errorcode"] == "DeviceMaximumActiveFileUploadLimitExceeded"


async def test_files_are_listed_and_deleted_with_their_content(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        token = hub.device_token(await hub.service.create_device("dev"))
        for name, content in (("b", b"same"), ("a", b"same"), ("c", b"other")):
            await upload(hub, token, name, content)
        listed = (await hub.raw("GET", "/uploads?device=dev&after=dev/a")).json()
        assert [(file["blobName"], file["bytes"]) for file in listed] == [("dev/b", 4), ("dev/c", 5)]
        assert (await hub.raw("GET", "/uploads?device=de")).json() == []
        assert len(kept(hub)) == 2
        for name in ("a", "c"):
            assert (await hub.raw("DELETE", f"/uploads/dev/{name}")).status_code == 202
        assert (await hub.raw("DELETE", "/uploads/dev/c")).status_code == 404
        (hub.data_dir / "uploads" / "x.part").write_bytes(b"a crash left this")
    async with running_hub(tmp_path / "hub") as hub:
        # A start sweeps.
        async with asyncio.timeout(10):
            while len(kept(hub)) != 1:
                await asyncio.sleep(0.01)
        assert (await hub.raw("GET", "/uploads/dev/b")).content == b"same"


async def test_a_service_hears_of_uploads_over_amqp(hub: RunningHub, token: str) -> None:
    await upload(hub, token, "a.jpg", b"1")
    async with amqp_client(hub) as client:
        link = await client.attach(RECEIVER, NOTICES)
        first = await client.receive(link, Released())
        again = await client.receive(link)
        assert first.body == again.body
        assert b'"blobName": "dev/a.jpg"' in bytes(again.body)
        await upload(hub, token, "b.jpg", b"2")
        assert b'"blobName": "dev/b.jpg"' in bytes((await client.receive(link)).body)

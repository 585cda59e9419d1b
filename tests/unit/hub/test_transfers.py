"""The registry as lines of JSON: out of one hub, into another, through a blob container."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from skerry.service.http import HttpServer
from tests.unit.hub.running import RunningHub, key_of, running_hub

Json = dict[str, Any]


class Container:
    """Blobs by name; the token has to come along."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.uri = ""

    async def serve(self, request: Request) -> Response:
        name = request.path_params["name"]
        if request.query_params.get("sig") != "s3cret":
            return Response(status_code=403)
        if request.method == "PUT":
            assert request.headers["x-ms-blob-type"] == "BlockBlob"
            self.blobs[name] = await request.body()
            return Response(status_code=201)
        return Response(self.blobs[name]) if name in self.blobs else Response(status_code=404)

    @property
    def lines(self) -> list[Json]:
        return [json.loads(line) for line in self.blobs["devices.txt"].splitlines()]


@asynccontextmanager
async def container() -> AsyncIterator[Container]:
    found = Container()
    application = Starlette(routes=[Route("/box/{name}", found.serve, methods=["GET", "PUT"])])
    server = await HttpServer.start(application)
    found.uri = f"http://127.0.0.1:{server.port}/box?sig=s3cret"
    try:
        yield found
    finally:
        await server.close(1.0)


async def finished(hub: RunningHub, document: Json) -> Json:
    made = await hub.raw("POST", "/jobs/create", body=document)
    assert made.status_code == 200, made.text
    assert "s3cret" not in made.text
    async with asyncio.timeout(20):
        while (job := (await hub.raw("GET", f"/jobs/{made.json()['jobId']}")).json())["status"] == "running":
            await asyncio.sleep(0.01)
    found: Json = job
    return found


async def test_a_registry_moves_to_another_hub(tmp_path: Path) -> None:
    async with container() as box:
        async with running_hub(tmp_path / "old") as hub:
            made = await hub.service.create_device("dev")
            module = await hub.service.create_module("dev", "mod")
            await hub.service.create_device("edge", edge=True)
            await hub.service.patch_twin("dev", desired={"a": 1}, tags={"room": "x"})
            await hub.service.update_device({**await hub.service.device("edge"), "status": "disabled"})
            job = await finished(hub, {"type": "export", "outputBlobContainerUri": box.uri})
            assert (job["status"], job["progress"]) == ("completed", 100)
        assert [(line["id"], line.get("moduleId")) for line in box.lines] == [
            ("dev", None),
            ("dev", "mod"),
            ("edge", None),
            ("edge", "$edgeAgent"),
            ("edge", "$edgeHub"),
        ]
        async with running_hub(tmp_path / "new") as hub:
            document = {"type": "import", "inputBlobContainerUri": box.uri, "outputBlobContainerUri": box.uri}
            assert (await finished(hub, document))["status"] == "completed"
            assert box.blobs["importErrors.log"] == b""
            assert key_of(await hub.service.device("dev")) == key_of(made)
            assert key_of(await hub.service.module("dev", "mod")) == key_of(module)
            twin = await hub.service.twin("dev")
            assert (twin["tags"], twin["properties"]["desired"]["a"]) == ({"room": "x"}, 1)
            edge = await hub.service.device("edge")
            assert (edge["status"], edge["capabilities"]["iotEdge"]) == ("disabled", True)
            told = (await hub.raw("GET", "/audit?target=dev")).json()
            assert told[0]["who"].startswith("policy iothubowner, import ")


async def test_keys_are_left_out_when_asked(hub: RunningHub) -> None:
    made = await hub.service.create_device("dev")
    async with container() as box:
        document = {"type": "export", "outputBlobContainerUri": box.uri, "excludeKeysInExport": True}
        await finished(hub, document)
        assert box.lines[0]["authentication"]["symmetricKey"] == {"primaryKey": None, "secondaryKey": None}
        assert key_of(made).encode() not in box.blobs["devices.txt"]


async def test_bad_lines_are_told_and_the_others_taken(hub: RunningHub) -> None:
    async with container() as box:
        lines: list[Json] = [{"id": f"dev{n}", "importMode": "create"} for n in range(150)]
        lines += [{"id": "dev0", "importMode": "create"}, {"id": "a b", "importMode": "create"}]
        box.blobs["devices.txt"] = "\n".join(map(json.dumps, lines)).encode()
        document = {"type": "import", "inputBlobContainerUri": box.uri, "outputBlobContainerUri": box.uri}
        assert (await finished(hub, document))["status"] == "completed"
        errors = [json.loads(line) for line in box.blobs["importErrors.log"].splitlines()]
        assert [error["deviceId"] for error in errors] == ["dev0", "a b"]
        assert len(await hub.service.devices()) == 150


async def test_what_cannot_be_reached_fails_with_a_reason(hub: RunningHub) -> None:
    async with container() as box:
        wrong = box.uri.replace("s3cret", "other")
        job = await finished(hub, {"type": "export", "outputBlobContainerUri": wrong})
        assert (job["status"], job["failureReason"]) == ("failed", "Unavailable: the container answered 403")
        box.blobs["devices.txt"] = b"not json\n"
        job = await finished(hub, {"type": "import", "inputBlobContainerUri": box.uri})
        assert job["status"] == "failed"
    assert [one["type"] for one in (await hub.raw("GET", "/jobs")).json()] == ["export", "import"]
    assert (await hub.raw("DELETE", f"/jobs/{job['jobId']}")).status_code == 204
    assert (await hub.raw("DELETE", "/jobs/none")).status_code == 404


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"type": "copy"},
        {"type": "export"},
        {"type": "import", "inputBlobContainerUri": "file:///etc"},
        {"type": "export", "outputBlobContainerUri": "https://me:s3cret@host/box"},
        {"type": "export", "outputBlobContainerUri": "https://host/box", "outputBlobName": "../x"},
    ],
)
async def test_a_bad_request_is_refused_without_its_secret(hub: RunningHub, document: Json) -> None:
    answer = await hub.raw("POST", "/jobs/create", body=document)
    assert answer.status_code == 400
    assert "s3cret" not in answer.text


async def test_only_who_may_read_and_change_all_may_move_it(hub: RunningHub) -> None:
    document = {"type": "export", "outputBlobContainerUri": "https://localhost/box"}
    for policy in ("service", "registryReadWrite"):
        assert (await hub.raw("POST", "/jobs/create", hub.token(policy), body=document)).status_code == 403

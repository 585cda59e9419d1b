"""The whole module from an edge device's environment: workload API, edge hub, HTTP beside it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.errors import InvalidInput
from skerry.serve.environment import read_environment
from skerry.serve.main import serve
from skerry.service.http import HttpServer
from tests.unit.serve.memory_hub import HOST, KEY, MemoryHub, running_hub
from tests.unit.serve.support import BLUE, activated_package, picture
from tests.unit.serve.test_main import free_port


@asynccontextmanager
async def workload_api(path: Path, root_pem: str) -> AsyncIterator[None]:
    """What contract.md §3.2 says a module calls."""

    async def trust(_request: Request) -> Response:
        return JSONResponse({"certificate": root_pem})

    async def sign(request: Request) -> Response:
        data = base64.b64decode((await request.json())["data"])
        digest = hmac.new(base64.b64decode(KEY), data, hashlib.sha256).digest()
        return JSONResponse({"digest": base64.b64encode(digest).decode()})

    routes = [
        Route("/trust-bundle", trust),
        Route("/modules/cnn/genid/1/sign", sign, methods=["POST"]),
    ]
    server = await HttpServer.start(Starlette(routes=routes), unix_path=path, websockets="none")
    try:
        yield
    finally:
        await server.close()


def edge_environment(socket: Path, mqtt_port: int) -> dict[str, str]:
    return {
        "IOTEDGE_WORKLOADURI": f"unix://{socket}",
        "IOTEDGE_DEVICEID": "edge1",
        "IOTEDGE_MODULEID": "cnn",
        "IOTEDGE_MODULEGENERATIONID": "1",
        "IOTEDGE_IOTHUBHOSTNAME": HOST,
        "IOTEDGE_GATEWAYHOSTNAME": "localhost",
        "IOTEDGE_APIVERSION": "2019-01-30",
        "IOTEDGE_AUTHSCHEME": "sasToken",
        "SKERRY_GATEWAY_MQTT_PORT": str(mqtt_port),
        "SKERRY_HTTP_HOST": "127.0.0.1",
        "SKERRY_HTTP_PORT": str(free_port()),
    }


async def test_on_an_edge_device_it_answers_messages_and_http(tmp_path: Path) -> None:
    hub, stopping = MemoryHub(), asyncio.Event()
    async with running_hub(hub) as running, workload_api(tmp_path / "w.sock", running.root_pem):
        environ = edge_environment(tmp_path / "w.sock", running.port)
        settings = read_environment(environ, cpus=1)
        module = asyncio.create_task(
            serve(settings, activated_package(tmp_path / "m"), environ, stopping, clock=SystemClock())
        )
        session = await hub.listener()
        await session.send_input("amlInput", Message(picture(BLUE)))
        assert json.loads(hub.messages[0].body)["label"] == "blue"
        url = f"http://127.0.0.1:{settings.http_port}/score"
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.post(url, content=picture(BLUE))).json()["label"] == "blue"
        stopping.set()
        await module
    assert hub.session is None


async def test_an_incomplete_environment_is_named(tmp_path: Path) -> None:
    environ = edge_environment(tmp_path / "w.sock", 8883)
    del environ["IOTEDGE_MODULEID"]
    with pytest.raises(InvalidInput, match="IOTEDGE_MODULEID"):
        await serve(
            read_environment(environ, cpus=1),
            activated_package(tmp_path / "m"),
            environ,
            asyncio.Event(),
            clock=SystemClock(),
        )

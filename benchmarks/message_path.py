"""The CNN module between its input and its output, through the real edge hub, which stores every message."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks import servers
from benchmarks.edge_hub_server import DEVICE, FRAMES, HUB, SERVED, SINK, SOURCE, key_of
from benchmarks.models import Model, small
from benchmarks.process import cpu_seconds, rss_mb
from benchmarks.report import Report, Row, Side
from benchmarks.rounds import Options, Sample, interleaved
from benchmarks.servers import Server, end
from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.contract.names import Identity, ModuleId
from skerry.protocol.client import DeviceClient
from skerry.protocol.workload import module_client_from_environment
from skerry.service.certificates import Authority
from skerry.service.http import HttpServer

WINDOW = 16
PATIENCE_S = 60.0
NUMBER = "number"
PATH = "input → prediction → output, {} in flight"
START = "exec → first message answered"


async def run(options: Options) -> Report:
    """Messages a second and their times, with the module on the way and without it."""
    model = small(options.work / "small")
    messages = options.pick(3000, 40)

    async def through() -> Sample:
        async with _site(options.work) as site, _module(site, model) as (pid, started):
            sample = await _measured(site, FRAMES, "ask", model.bodies(), messages, WINDOW)
            before, cpu = rss_mb(pid), cpu_seconds(pid)
            lone = await _measured(site, FRAMES, "ask", model.bodies(), messages // 10, 1)
            seen = {
                **sample.seen,
                "1 in flight p50 ms": lone.seen["p50 ms"],
                "1 in flight p99 ms": lone.seen["p99 ms"],
                "module CPU µs/msg": (cpu_seconds(pid) - cpu) / (messages // 10) * 1e6,
                "exec → answer s": started,
                "RSS MB": before,
            }
            return Sample(sample.value, seen)

    async def around() -> Sample:
        async with _site(options.work) as site:
            return await _measured(site, SOURCE, "out", model.bodies(), messages, WINDOW)

    sides = await interleaved({"module": through, "edge hub alone": around}, options.rounds)
    starts = Side("module", [sides["module"].seen["exec → answer s"]])
    rows = [
        Row(PATH.format(WINDOW), "msg/s", sides["module"], sides["edge hub alone"]),
        Row(START, "s", starts, Side("limit, 1 s", [1.0]), "<=", 1.0),
    ]
    notes = [
        "every message is stored twice with the module (its input, its output) and once without",
        "TLS on all connections; sender and listener are in the benchmark's process, on the same cores",
    ]
    return Report("message_path", rows, notes)


@dataclass
class _Site:
    """A running edge hub, and what a module's environment says of it."""

    server: Server
    socket: Path
    clients: list[DeviceClient] = field(default_factory=list)

    def environment(self, module: ModuleId) -> dict[str, str]:
        return {
            "IOTEDGE_WORKLOADURI": f"unix://{self.socket}",
            "IOTEDGE_DEVICEID": DEVICE,
            "IOTEDGE_MODULEID": module,
            "IOTEDGE_MODULEGENERATIONID": "1",
            "IOTEDGE_IOTHUBHOSTNAME": HUB,
            "IOTEDGE_GATEWAYHOSTNAME": "localhost",
            "SKERRY_GATEWAY_MQTT_PORT": str(self.server.port),
        }

    def client(self, module: ModuleId) -> DeviceClient:
        made = module_client_from_environment(self.environment(module), SystemClock())
        self.clients.append(made)
        return made


@asynccontextmanager
async def _site(work: Path) -> AsyncIterator[_Site]:
    authority = Authority.create("benchmark", SystemClock())
    # A socket's path has 108 bytes (unix(7)); where results are written may be further down than that.
    short = Path(tempfile.mkdtemp(prefix="skerry-"))
    trusted, socket = work / "authority", short / "workload.sock"
    os.makedirs(trusted, exist_ok=True)
    authority.save(trusted)
    api = await HttpServer.start(_workload(authority.root_pem), unix_path=socket, websockets="none")
    try:
        async with servers.edge_hub("durable", work / "edge-hub", trusted) as server:
            site = _Site(server, socket)
            try:
                yield site
            finally:
                for client in site.clients:
                    await client.stop()
    finally:
        await api.close()
        shutil.rmtree(short)


def _workload(root_pem: str) -> Starlette:
    """What contract.md §3.2 says a module calls; the modules' keys are those the edge hub knows."""

    async def trust(_request: Request) -> Response:
        return JSONResponse({"certificate": root_pem})

    async def sign(request: Request) -> Response:
        data = base64.b64decode((await request.json())["data"])
        key = base64.b64decode(key_of(Identity(DEVICE, ModuleId(request.path_params["module"]))))
        digest = hmac.new(key, data, hashlib.sha256).digest()
        return JSONResponse({"digest": base64.b64encode(digest).decode()})

    routes = [
        Route("/trust-bundle", trust),
        Route("/modules/{module}/genid/1/sign", sign, methods=["POST"]),
    ]
    return Starlette(routes=routes)


@asynccontextmanager
async def _module(site: _Site, model: Model) -> AsyncIterator[tuple[int, float]]:
    """The module's own program: its process id, and the seconds until its first answer."""
    settings = {
        "SKERRY_MODEL_DIR": str(model.package),
        "SKERRY_HTTP_HOST": "127.0.0.1",
        "SKERRY_HTTP_PORT": str(servers.free_port()),
        "SKERRY_LOG_LEVEL": "warning",
    }
    began = perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "skerry.serve.main"),
        env={**os.environ, **site.environment(SERVED), **settings},
    )
    try:
        # Stored by the edge hub until the module is there.
        await _measured(site, FRAMES, "ask", model.bodies(), 1, 1)
        yield process.pid, perf_counter() - began
    finally:
        await end(process)


async def _measured(
    site: _Site, sender: ModuleId, output: str, bodies: Sequence[bytes], messages: int, window: int
) -> Sample:
    """Messages a second from the first sending to the last arrival, and how long each took."""
    source, sink = site.client(sender), site.client(SINK)
    waiting: dict[str | None, asyncio.Future[None]] = {}
    taken: list[float] = []
    left = iter(range(messages))

    async def arrived(_input: str, message: Message) -> None:
        # The edge hub may give a message twice.
        if (answered := waiting.pop(message.properties.get(NUMBER), None)) is not None:
            answered.set_result(None)

    async def keep_one_in_flight() -> None:
        for number in left:
            began, answered = perf_counter(), asyncio.get_running_loop().create_future()
            waiting[str(number)] = answered
            await source.send(_message(bodies[number % len(bodies)], number), output)
            await answered
            taken.append(perf_counter() - began)

    sink.on_input = arrived
    await sink.start()
    await source.start()
    await asyncio.gather(source.wait_connected(), sink.wait_connected())
    began = perf_counter()
    async with asyncio.timeout(PATIENCE_S + messages / 20):
        await asyncio.gather(*(keep_one_in_flight() for _ in range(window)))
    seconds = perf_counter() - began
    for client in (source, sink):
        await client.stop()
        site.clients.remove(client)
    return Sample(messages / seconds, _times(taken))


def _message(body: bytes, number: int) -> Message:
    return Message(body, {NUMBER: str(number)}, {"contentType": "image/png"})


def _times(taken: Sequence[float]) -> Mapping[str, float]:
    ordered = sorted(taken)
    return {"p50 ms": ordered[len(ordered) // 2] * 1e3, "p99 ms": ordered[len(ordered) * 99 // 100] * 1e3}

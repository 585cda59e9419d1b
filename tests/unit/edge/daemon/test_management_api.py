"""The socket that ``skerry edge list|logs|restart`` talks to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from skerry.clock import SystemClock
from tests.support.edge import Device, agent_desired
from tests.support.engine import MemoryEngine, World


@asynccontextmanager
async def device(tmp_path: Path) -> AsyncIterator[tuple[MemoryEngine, httpx.AsyncClient]]:
    made = Device.provisioned(tmp_path / "d")
    await made.knows("cnn", agent=agent_desired(1, cnn="cnn:1"))
    engine = MemoryEngine(SystemClock(), World(images={"cnn:1"}))
    async with made.running(engine) as addresses:
        transport = httpx.AsyncHTTPTransport(uds=str(addresses.management_socket))
        async with httpx.AsyncClient(transport=transport, base_url="http://edge") as client:
            async with asyncio.timeout(10):
                while "start cnn" not in engine.world.journal:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            yield engine, client


async def test_modules_logs_restart_status_and_numbers(tmp_path: Path) -> None:
    async with device(tmp_path) as (engine, client):
        (listed,) = (await client.get("/modules")).json()["modules"]
        assert listed["name"] == "cnn"
        assert listed["config"]["settings"]["image"] == "cnn:1"
        assert listed["status"]["runtimeStatus"]["status"] == "running"
        assert (await client.get("/modules/cnn")).json() == listed
        assert (await client.get("/modules/nobody")).status_code == 404

        engine.writes("cnn", "one", "two", "three")
        assert (await client.get("/modules/cnn/logs", params={"tail": "2"})).text == "two\nthree\n"
        assert (await client.get("/modules/cnn/logs", params={"tail": "all"})).text == "one\ntwo\nthree\n"
        assert (await client.get("/modules/nobody/logs")).status_code == 404
        assert (await client.get("/modules/cnn/logs", params={"tail": "x"})).status_code == 400
        assert (await client.get("/modules/cnn/logs", params={"since": "soon"})).status_code == 400

        assert (await client.post("/modules/cnn/restart")).status_code == 204
        # The agent may see the stopped module first and start it too; starting twice is starting once.
        assert engine.world.journal[2:4] == ["stop cnn", "start cnn"]
        assert (await client.post("/modules/nobody/restart")).status_code == 404

        status = (await client.get("/status")).json()
        assert status["device"] == "edge-1"
        assert status["upstream"] == {"connected": False, "lastError": None}
        assert status["modules"]["cnn"]["runtimeStatus"] == "running"
        assert (await client.get("/systeminfo")).json()["osType"] == "linux"
        numbers = (await client.get("/metrics")).text
        assert 'edgehub_connected_clients{edge_device="edge-1",instance_number="' in numbers
        assert 'iothub="hub.test"} 0.0' in numbers


async def test_the_runtimes_own_log_and_its_level(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = root.level
    try:
        async with device(tmp_path) as (_, client):
            assert (await client.put("/systeminfo/loglevel/debug")).status_code == 204
            assert root.level == logging.DEBUG
            assert (await client.put("/systeminfo/loglevel/loud")).status_code == 400
            logging.getLogger("skerry.edge.test").warning("password=hunter2 of the press")
            text = (await client.get("/systeminfo/logs", params={"since": "1m"})).text
            assert "the log level is debug now" in text
            assert "of the press" in text
            assert "hunter2" not in text
            assert (await client.get("/systeminfo/logs", params={"until": "1 day"})).text == ""
            assert (await client.get("/systeminfo/logs", params={"since": "soon"})).status_code == 400
    finally:
        root.setLevel(before)

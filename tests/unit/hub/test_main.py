"""The hub as a process of its own."""

import asyncio
import base64
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.hub import certificates
from skerry.hub.client import ServiceClient
from skerry.hub.setup import connection_string
from skerry.protocol.connect import client_from_connection_string
from skerry.service.tls import client_context
from tests.unit.hub.running import Json, RunningHub, running_hub

PROGRAM = """
import sys
from pathlib import Path
from skerry.hub.main import main
from skerry.hub.settings import HubSettings
settings = HubSettings(Path(sys.argv[1]), https_port=0, mqtt_port=0)
main(settings, lambda addresses: print(addresses.https_port, addresses.mqtt_port, flush=True))
"""


@asynccontextmanager
async def hub_process(data_dir: Path) -> AsyncIterator[tuple[Process, int, int]]:
    """A hub as a process, with its HTTPS and MQTT ports."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", PROGRAM, str(data_dir)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            https_port, mqtt_port = (int(port) for port in (await process.stdout.readline()).split())
            yield process, https_port, mqtt_port
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_the_process_serves_until_a_signal_and_ends_cleanly(tmp_path: Path) -> None:
    async with hub_process(tmp_path) as (process, https_port, _):
        tls = client_context(certificates.ca_file(tmp_path).read_text())
        async with httpx.AsyncClient(verify=tls, trust_env=False) as http:
            assert (await http.get(f"https://localhost:{https_port}/healthz")).text == "Healthy"
        process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert "Traceback" not in errors.decode()
    assert "hub localhost stops" in errors.decode()


async def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    acknowledged: set[bytes] = set()
    async with hub_process(tmp_path) as (process, https_port, mqtt_port):
        ca_pem = certificates.ca_file(tmp_path).read_text()
        owner = connection_string(tmp_path, "iothubowner")
        async with ServiceClient(owner, https_port, ca_pem) as service:
            await service.create_device("dev")
            text = await service.device_connection_string("dev")
        device = client_from_connection_string(text, SystemClock(), ca_pem=ca_pem, port=mqtt_port)

        async def send(number: int) -> None:
            body = str(number).encode()
            await device.send(Message(body))
            acknowledged.add(body)
            if len(acknowledged) == 200 and process.returncode is None:
                process.kill()

        await device.start()
        sending = [asyncio.create_task(send(number)) for number in range(1000)]
        await process.communicate()
        await device.stop()
        await asyncio.gather(*sending, return_exceptions=True)
    assert len(acknowledged) >= 200
    async with running_hub(tmp_path) as hub:
        events = [event async for event in _all(hub)]
        assert (await hub.service.device("dev"))["deviceId"] == "dev"
    assert acknowledged <= {base64.b64decode(event["body"]) for event in events}
    numbers = [int(base64.b64decode(event["body"])) for event in events]
    assert numbers == sorted(numbers)


async def _all(hub: RunningHub) -> AsyncIterator[Json]:
    after = 0
    while True:
        page = (await hub.raw("GET", f"/events/page?after={after}&wait=0")).json()
        if not page["events"]:
            return
        for event in page["events"]:
            yield event
        after = page["next"]

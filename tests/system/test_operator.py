"""What an operator does from the command line, against a real hub and a real device."""

import asyncio
import json
from pathlib import Path

import pytest

from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.protocol.connect import client_from_connection_string
from tests.system.bad_input.site import Site

pytestmark = pytest.mark.system

SENT = 3


async def send(site: Site, device_string: str) -> None:
    client = client_from_connection_string(
        device_string, SystemClock(), ca_pem=site.ca_pem, port=site.mqtt_port
    )
    await client.start()
    try:
        for number in range(SENT):
            system = {"contentType": "application/json", "contentEncoding": "utf-8"}
            body = json.dumps({"number": number}).encode()
            await client.send(Message(body, {"batch": "a"}, system))
    finally:
        await client.stop()


def test_monitor_shows_what_devices_send_and_goes_on_from_where_it_is_told(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving():
        asyncio.run(send(site, site.create_device("press-1")))
        shown = site.skerry("hub", "monitor", "--from", "earliest", "--count", str(SENT)).succeeded()
        events = [json.loads(line) for line in shown.out.splitlines()]
        assert [event["body"]["number"] for event in events] == [0, 1, 2]
        assert {(event["deviceId"], event["moduleId"]) for event in events} == {("press-1", None)}
        assert events[0]["properties"] == {"batch": "a"}
        later = site.skerry(
            *("hub", "monitor", "--from", str(events[1]["sequence"]), "--count", "1", "--device", "press-1")
        ).succeeded()
        assert json.loads(later.out)["body"] == {"number": 2}


def test_an_operator_creates_calls_and_changes_a_device(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving():
        site.skerry("device", "create", "press-2").succeeded()
        device_string = site.skerry("device", "connection-string", "press-2").succeeded().out.strip()
        answer, changed = asyncio.run(serve_one_call(site, device_string))
        assert json.loads(answer) == {"status": 200, "payload": {"called": "ping", "with": [1]}}
        assert changed == {"rate": 5}
        listed = site.skerry("device", "list", "--output", "json").succeeded()
        assert [device["deviceId"] for device in json.loads(listed.out)] == ["press-2"]
        assert "authentication" not in listed.out
        site.skerry("device", "delete", "press-2").succeeded()
        site.skerry("twin", "show", "press-2").failed(4, "press-2")


async def serve_one_call(site: Site, device_string: str) -> tuple[str, dict[str, object]]:
    """Be the device while the operator calls a method and changes a desired property."""
    changed: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()

    async def on_method(request: MethodRequest) -> MethodResponse:
        return MethodResponse(200, {"called": request.name, "with": request.payload})

    async def on_desired(patch: dict[str, object], version: int) -> None:
        found = {name: value for name, value in patch.items() if not name.startswith("$")}
        if found and not changed.done():
            changed.set_result(found)

    client = client_from_connection_string(
        device_string, SystemClock(), ca_pem=site.ca_pem, port=site.mqtt_port
    )
    client.on_method, client.on_desired = on_method, on_desired
    await client.start()
    try:
        await client.wait_connected()
        answer = await asyncio.to_thread(
            site.skerry, "method", "invoke", "press-2", "ping", "--payload", "[1]"
        )
        await asyncio.to_thread(site.skerry, "twin", "update", "press-2", "--desired", '{"rate": 5}')
        return answer.succeeded().out, await asyncio.wait_for(changed, 20)
    finally:
        await client.stop()

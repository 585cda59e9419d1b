from pathlib import Path

from skerry.contract.message import Message
from skerry.contract.method import MethodRequest, MethodResponse
from tests.unit.hub.running import connected, running_hub


async def test_a_device_connects_sends_reports_and_answers(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub:
        device = hub.device(await hub.service.create_device("dev"))

        async def answer(request: MethodRequest) -> MethodResponse:
            return MethodResponse(200, {"echo": request.payload})

        device.on_method = answer
        async with connected(device):
            await device.send(
                Message(
                    b'{"a":1}', {"k": "v"}, {"contentType": "application/json", "contentEncoding": "utf-8"}
                )
            )
            assert await device.report({"state": "on"}) == 2
            twin = await hub.service.twin("dev")
            assert twin["properties"]["reported"]["state"] == "on"
            assert twin["connectionState"] == "Connected"
            reply = await hub.service.invoke_method("dev", MethodRequest("ping", 7, connect_timeout_s=5))
            assert reply == MethodResponse(200, {"echo": 7})
            async for event in hub.service.events("earliest"):
                assert event["body"] == {"a": 1}
                assert event["properties"] == {"k": "v"}
                break

import asyncio

import pytest

from skerry.contract.method import MethodRequest, MethodResponse
from skerry.errors import NotFound, SkerryError, TimedOut, Unavailable
from tests.unit.hub.running import RunningHub, connected


async def echo(request: MethodRequest) -> MethodResponse:
    return MethodResponse(207, {"name": request.name, "payload": request.payload})


async def test_the_answer_of_a_device_comes_back_as_it_is(hub: RunningHub) -> None:
    device = hub.device(await hub.service.create_device("dev"))
    device.on_method = echo
    async with connected(device):
        for payload in (None, "", 0, [1, {"a": None}]):
            answer = await hub.service.invoke_method("dev", MethodRequest("go", payload, connect_timeout_s=5))
            assert answer == MethodResponse(207, {"name": "go", "payload": payload})


async def test_an_absent_device_is_not_online_and_an_unknown_one_not_found(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    cases: list[tuple[str, type[SkerryError], str]] = [
        ("dev", Unavailable, "DeviceNotOnline"),
        ("ghost", NotFound, "DeviceNotFound"),
    ]
    for device, kind, code in cases:
        with pytest.raises(kind) as caught:
            await hub.service.invoke_method(device, MethodRequest("go"))
        assert caught.value.fields["code_name"] == code


async def test_a_call_waits_for_the_device_to_come_online(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    client = hub.device(await hub.service.create_module("dev", "mod"))
    client.on_method = echo
    call = asyncio.create_task(
        hub.service.invoke_method("dev", MethodRequest("go", 1, connect_timeout_s=10), "mod")
    )
    await asyncio.sleep(0.2)
    assert not call.done()
    async with connected(client):
        assert (await call).status == 207


async def test_a_device_that_leaves_before_it_answers_is_a_gateway_timeout(hub: RunningHub) -> None:
    asked = asyncio.Event()

    async def never(request: MethodRequest) -> MethodResponse:
        asked.set()
        await asyncio.Event().wait()
        return MethodResponse(200)

    device = hub.device(await hub.service.create_device("dev"))
    device.on_method = never
    async with connected(device):
        call = asyncio.create_task(hub.service.invoke_method("dev", MethodRequest("go", connect_timeout_s=5)))
        await asked.wait()
    with pytest.raises(TimedOut) as caught:
        await call
    assert caught.value.fields["code_name"] == "GatewayTimeout"


async def test_illegal_calls_are_refused_before_the_device_is_asked(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    for body, path in [
        ({"methodName": ""}, "methodName"),
        ({"methodName": "go", "responseTimeoutInSeconds": 1}, "responseTimeoutInSeconds"),
        ({"methodName": "go", "connectTimeoutInSeconds": 301}, "connectTimeoutInSeconds"),
    ]:
        answer = await hub.raw("POST", "/twins/dev/methods", body=body)
        assert (answer.status_code, answer.json()["path"]) == (400, path)


async def test_an_answer_with_odd_text_comes_back_as_it_is(hub: RunningHub) -> None:
    async def odd(request: MethodRequest) -> MethodResponse:
        return MethodResponse(200, {"text": "é\U0001f600"})

    device = hub.device(await hub.service.create_device("dev"))
    device.on_method = odd
    async with connected(device):
        answer = await hub.service.invoke_method("dev", MethodRequest("go", connect_timeout_s=5))
    assert answer.payload == {"text": "é\U0001f600"}

"""Rates: who asks too much is told when to ask again, others are not held up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from skerry.amqp.message import Message, Properties
from skerry.amqp.performatives import SENDER, Accepted, Rejected
from skerry.clock import ManualClock
from skerry.contract.hub_limits import AZURE, RELAXED, Operation, operation
from skerry.errors import Throttled
from skerry.hub import throttle
from skerry.hub.throttle import Throttle
from tests.unit.hub.amqp_client import amqp_client
from tests.unit.hub.running import RunningHub, connected, running_hub


def spent(limit: Throttle, caller: str, kind: Operation) -> int:
    """How many requests fit now."""
    count = 0
    while True:
        try:
            limit.take(caller, kind)
        except Throttled:
            return count
        count += 1


async def test_a_caller_has_its_burst_and_then_its_rate() -> None:
    clock = ManualClock()
    limit = Throttle(AZURE, clock)
    assert spent(limit, "me", Operation.QUERY) == 20
    with pytest.raises(Throttled) as refused:
        limit.take("me", Operation.QUERY)
    assert refused.value.fields["retry_after_s"] == pytest.approx(3)
    assert spent(limit, "you", Operation.QUERY) == 20
    assert spent(limit, "me", Operation.TWIN_READ) == 100
    await clock.advance(3)
    assert spent(limit, "me", Operation.QUERY) == 1
    await clock.advance(3600)
    assert spent(limit, "me", Operation.QUERY) == 20
    assert limit.refused[Operation.QUERY] == 5


async def test_what_is_shaped_keeps_its_order_and_its_bound() -> None:
    clock = ManualClock()
    limit = Throttle(AZURE, clock)
    done: list[int] = []

    async def send(number: int) -> None:
        await limit.shape("dev", Operation.TELEMETRY)
        done.append(number)

    tasks = [asyncio.create_task(send(n)) for n in range(1200)]
    await asyncio.sleep(0)
    refused = [task for task in tasks if task.done() and task.exception() is not None]
    assert (len(done), len(refused)) == (100, 100)
    await clock.advance(1)
    assert len(done) == pytest.approx(200, abs=1)
    await clock.advance(10)
    assert done == list(range(1100))
    # Nothing is left behind for a device that rests.
    await send(2000)
    assert done[-1] == 2000
    assert limit._lines == {}
    for task in refused:
        assert isinstance(task.exception(), Throttled)


def test_the_callers_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "BUCKETS_MAX", 3)
    limit = Throttle(AZURE, ManualClock())
    for n in range(10):
        limit.take(f"dev-{n}", Operation.CONNECT)
    assert len(limit._buckets) == 3


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/devices/d", Operation.REGISTRY),
        ("PUT", "/devices/d/modules/m", Operation.REGISTRY),
        ("POST", "/devices", Operation.REGISTRY),
        ("POST", "/devices/query", Operation.QUERY),
        ("POST", "/devices/d/applyConfigurationContent", Operation.CONFIGURATION),
        ("PUT", "/configurations/c", Operation.CONFIGURATION),
        ("GET", "/twins/d", Operation.TWIN_READ),
        ("PATCH", "/twins/d/modules/m", Operation.TWIN_WRITE),
        ("POST", "/twins/d/methods", Operation.METHOD),
        ("POST", "/digitaltwins/d/components/c/commands/x", Operation.METHOD),
        ("POST", "/devices/d/messages/events", Operation.TELEMETRY),
        ("GET", "/devices/d/messages/devicebound", Operation.COMMAND_RECEIVE),
        ("DELETE", "/devices/d/messages/devicebound/lock", Operation.COMMAND_RECEIVE),
        ("POST", "/devices/d/files/notifications", Operation.UPLOAD),
        ("PUT", "/jobs/v2/j", Operation.JOB),
        ("GET", "/events", None),
        ("GET", "/healthz", None),
    ],
)
def test_requests_are_counted_by_what_they_ask(method: str, path: str, kind: Operation | None) -> None:
    assert operation(method, path) is kind


def test_no_relaxed_limit_is_below_azures() -> None:
    for kind, rate in RELAXED.rates.items():
        if kind is not Operation.CONNECT:
            assert rate.per_s > AZURE.rates[kind].per_s
    assert RELAXED.section_bytes > AZURE.section_bytes


async def test_a_policy_over_its_rate_gets_429_with_a_time_to_wait(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub", profile="azure") as hub:
        query = {"query": "SELECT * FROM devices"}
        for _ in range(20):
            assert (await hub.raw("POST", "/devices/query", body=query)).status_code == 200
        refused = await hub.raw("POST", "/devices/query", body=query)
        assert (refused.status_code, refused.headers["iothub-errorcode"]) == (429, "ThrottlingException")
        assert 1 <= int(refused.headers["retry-after"]) <= 3
        service = hub.token("service")
        assert (await hub.raw("POST", "/devices/query", service, body=query)).status_code == 200
        metrics = (await hub.raw("GET", "/metrics", "")).text
        assert 'skerry_hub_throttled_total{kind="query"} 1.0' in metrics


async def test_a_service_that_floods_devices_over_amqp_is_refused(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub", profile="azure", amqp_port=0) as hub:
        for name in ("a", "b", "c"):
            await hub.service.create_device(name)
        async with amqp_client(hub) as client:
            link = await client.attach(SENDER, "/messages/devicebound")
            outcomes = []
            for n in range(120):
                to = Properties(to=f"/devices/{'abc'[n % 3]}/messages/devicebound")
                outcomes.append(await client.send(link, Message(b"x", to)))
        refused = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
        assert 1 <= len(refused) <= 20
        assert len(refused) + sum(isinstance(outcome, Accepted) for outcome in outcomes) == 120


async def test_a_device_over_its_rate_is_told_so_and_stays_connected(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub", profile="azure") as hub:
        device = hub.device(await hub.service.create_device("dev"))
        async with connected(device):
            answers = await asyncio.gather(
                *[device.report({"n": n}) for n in range(60)], return_exceptions=True
            )
            refused = [answer for answer in answers if isinstance(answer, Throttled)]
            assert 1 <= len(refused) <= 10
            assert len(refused) + sum(isinstance(answer, int) for answer in answers) == 60
            assert device.connected


async def test_the_azure_profile_bounds_twins_and_modules(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub", profile="azure") as hub:
        await hub.service.create_device("dev")
        big = {f"k{n}": "x" * 1000 for n in range(9)}
        refused = await hub.raw("PATCH", "/twins/dev", body={"tags": big})
        assert (refused.status_code, refused.json()["path"]) == (413, "tags")
        for n in range(52):
            await hub.service.create_module("dev", f"m{n}")
        body = {"deviceId": "dev", "moduleId": "more", "authentication": {"type": "sas"}}
        refused = await hub.raw("PUT", "/devices/dev/modules/more", body=body)
        assert refused.headers["iothub-errorcode"] == "TooManyModulesOnDevice"


async def test_the_relaxed_profile_takes_more(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    big = {f"k{n}": "x" * 1000 for n in range(9)}
    assert (await hub.raw("PATCH", "/twins/dev", body={"tags": big})).status_code == 200

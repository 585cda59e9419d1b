"""Microsoft's service SDK for Python, unmodified: queries, configurations, bulk, jobs (contract §4.2)."""

from __future__ import annotations

import asyncio
import datetime
import gc
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from azure.iot.hub import IoTHubConfigurationManager, IoTHubJobManager, IoTHubRegistryManager
from azure.iot.hub.models import (
    CloudToDeviceMethod,
    Configuration,
    ConfigurationContent,
    ConfigurationMetrics,
    ConfigurationQueriesTestInput,
    ExportImportDevice,
    JobRequest,
    QuerySpecification,
    Twin,
    TwinProperties,
)
from msrest.exceptions import HttpOperationError

from skerry.contract.method import MethodRequest, MethodResponse
from tests.system.test_service_sdk import sdk
from tests.unit.hub.running import RunningHub, connected, manifest, running_hub

pytestmark = pytest.mark.system

WAIT_S = 20


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub") as running:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.addresses.ca_file))
        for proxy in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.delenv(proxy, raising=False)
        yield running
        # The SDK leaves idle connections open until they are collected, even after its own close().
        gc.collect()


def until(look: Callable[[], bool]) -> None:
    """Wait for what the hub does by itself; this runs in a thread of its own."""
    deadline = time.monotonic() + WAIT_S
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def test_queries_are_answered_page_by_page(hub: RunningHub) -> None:
    def work() -> None:
        registry = sdk(hub, IoTHubRegistryManager)
        for n in range(5):
            registry.create_device_with_sas(f"dev{n}", "", "", "enabled", iot_edge=n == 0)
        registry.update_twin("dev1", Twin(tags={"room": "a"}), None)
        found = registry.query_iot_hub(
            QuerySpecification(query="SELECT * FROM devices WHERE tags.room = 'a'")
        )
        assert [(twin.device_id, twin.tags) for twin in found.items] == [("dev1", {"room": "a"})]
        assert found.continuation_token is None
        query = QuerySpecification(query="SELECT deviceId FROM devices")
        seen: list[str] = []
        token = None
        while True:
            page = registry.query_iot_hub(query, token, 2)
            # This SDK reads every item as a twin, projections too.
            seen += [item.device_id for item in page.items]
            token = page.continuation_token
            if token is None:
                break
        assert seen == [f"dev{n}" for n in range(5)]
        modules = registry.query_iot_hub(QuerySpecification(query="SELECT * FROM devices.modules"))
        assert sorted(twin.module_id for twin in modules.items) == ["$edgeAgent", "$edgeHub"]
        count = registry.query_iot_hub(QuerySpecification(query="SELECT COUNT() AS n FROM devices"))
        assert (len(count.items), count.type) == (1, "raw")
        with pytest.raises(HttpOperationError) as bad:
            registry.query_iot_hub(QuerySpecification(query="SELECT"))
        assert bad.value.response.status_code == 400

    await asyncio.to_thread(work)


async def test_many_devices_change_in_one_call(hub: RunningHub) -> None:
    def work() -> None:
        registry = sdk(hub, IoTHubRegistryManager)
        devices = [ExportImportDevice(id=f"dev{n}", import_mode="create", status="enabled") for n in range(3)]
        made = registry.bulk_create_or_update_devices(devices)
        assert (made.is_successful, made.errors) == (True, [])
        again = registry.bulk_create_or_update_devices(devices[:1])
        assert not again.is_successful
        assert again.errors[0].device_id == "dev0"
        gone = [ExportImportDevice(id=f"dev{n}", import_mode="delete") for n in range(3)]
        assert registry.bulk_create_or_update_devices(gone).is_successful
        assert registry.get_devices() == []

    await asyncio.to_thread(work)


def edge_configuration(name: str, target: str, priority: int) -> Any:
    content = manifest("cnn", cnn={"a": 1})["modulesContent"]
    return Configuration(
        id=name,
        content=ConfigurationContent(modules_content=content),
        target_condition=target,
        priority=priority,
        labels={"env": "test"},
        metrics=ConfigurationMetrics(queries={"all": "SELECT deviceId FROM devices"}),
    )


async def test_a_configuration_is_created_applied_measured_updated_and_deleted(hub: RunningHub) -> None:
    def work() -> None:
        registry, manager = sdk(hub, IoTHubRegistryManager), sdk(hub, IoTHubConfigurationManager)
        registry.create_device_with_sas("edge", "", "", "enabled", iot_edge=True)
        made = manager.create_configuration(edge_configuration("base", "tags.room='a'", 3))
        assert (made.id, made.priority, made.labels) == ("base", 3, {"env": "test"})
        assert made.content.modules_content == manifest("cnn", cnn={"a": 1})["modulesContent"]
        registry.update_twin("edge", Twin(tags={"room": "a"}), None)
        until(lambda: manager.get_configuration("base").system_metrics.results.get("appliedCount") == 1)
        assert registry.get_module_twin("edge", "cnn").properties.desired["a"] == 1
        read = manager.get_configuration("base")
        assert read.system_metrics.results["targetedCount"] == 1
        assert read.metrics.results == {"all": 1}
        read.priority = 9
        changed = manager.update_configuration(read, read.etag)
        assert changed.priority == 9
        with pytest.raises(HttpOperationError) as stale:
            manager.update_configuration(read, read.etag)
        assert stale.value.response.status_code == 412
        with pytest.raises(HttpOperationError) as twice:
            manager.create_configuration(edge_configuration("base", "", 1))
        assert twice.value.response.status_code == 409
        assert [configuration.id for configuration in manager.get_configurations(10)] == ["base"]
        manager.delete_configuration("base")
        assert manager.get_configurations() == []

    await asyncio.to_thread(work)


async def test_a_device_configuration_writes_its_path(hub: RunningHub) -> None:
    def work() -> None:
        registry, manager = sdk(hub, IoTHubRegistryManager), sdk(hub, IoTHubConfigurationManager)
        registry.create_device_with_sas("dev", "", "", "enabled")
        content = ConfigurationContent(device_content={"properties.desired.cool": {"t": 5}})
        manager.create_configuration(Configuration(id="cool", content=content, target_condition="*"))
        until(lambda: registry.get_twin("dev").properties.desired.get("cool") == {"t": 5})

    await asyncio.to_thread(work)


async def test_queries_of_a_configuration_are_tested(hub: RunningHub) -> None:
    def work() -> None:
        manager = sdk(hub, IoTHubConfigurationManager)
        given = ConfigurationQueriesTestInput(
            target_condition="tags.a =", custom_metric_queries={"good": "SELECT * FROM devices", "bad": "x"}
        )
        answer = manager.test_configuration_queries(given)
        assert "not a query" in answer.target_condition_error
        assert set(answer.custom_metric_query_errors) == {"bad"}

    await asyncio.to_thread(work)


async def test_jobs_are_scheduled_followed_queried_and_cancelled(hub: RunningHub) -> None:
    def work() -> None:
        registry, jobs = sdk(hub, IoTHubRegistryManager), sdk(hub, IoTHubJobManager)
        for n in range(3):
            registry.create_device_with_sas(f"dev{n}", "", "", "enabled")
        update = Twin(etag="*", tags={"t": 1}, properties=TwinProperties(desired={"d": 1}))
        request = job("update", "scheduleUpdateTwin", "deviceId IN ['dev0', 'dev1']", update_twin=update)
        assert jobs.create_scheduled_job("update", request).job_id == "update"
        until(lambda: jobs.get_scheduled_job("update").status == "completed")
        statistics = jobs.get_scheduled_job("update").device_job_statistics
        assert (statistics.device_count, statistics.succeeded_count) == (2, 2)
        assert registry.get_twin("dev0").properties.desired["d"] == 1
        assert registry.get_twin("dev2").tags == {}
        later = job("later", "scheduleUpdateTwin", "*", update_twin=update)
        later.start_time = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        jobs.create_scheduled_job("later", later)
        jobs.cancel_scheduled_job("later")
        assert jobs.get_scheduled_job("later").status == "cancelled"
        found = jobs.query_scheduled_jobs("scheduleUpdateTwin", "completed")
        assert [item["jobId"] for item in found.items] == ["update"]
        query = QuerySpecification(query="SELECT * FROM devices.jobs WHERE jobId = 'update'")
        assert len(registry.query_iot_hub(query).items) == 2

    await asyncio.to_thread(work)


async def test_a_method_job_calls_a_connected_device(hub: RunningHub) -> None:
    device = hub.device(await hub.service.create_device("dev"))

    async def answer(request: MethodRequest) -> MethodResponse:
        return MethodResponse(200, {"got": request.payload})

    def work() -> None:
        jobs = sdk(hub, IoTHubJobManager)
        method = CloudToDeviceMethod(method_name="go", payload={"x": 1}, response_timeout_in_seconds=10)
        request = job("call", "scheduleDeviceMethod", "deviceId = 'dev'", cloud_to_device_method=method)
        jobs.create_scheduled_job("call", request)
        until(lambda: jobs.get_scheduled_job("call").status == "completed")

    device.on_method = answer
    async with connected(device):
        await asyncio.to_thread(work)


def job(name: str, kind: str, condition: str, **what: Any) -> Any:
    return JobRequest(
        job_id=name,
        type=kind,
        query_condition=condition,
        max_execution_time_in_seconds=60,
        **what,
    )

"""Microsoft's service SDK for Python, unmodified, against our hub over HTTPS (contract §4.2).

The SDK blocks, so it runs in threads beside the hub's loop.
"""

from __future__ import annotations

import asyncio
import base64
import gc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from azure.iot.hub import IoTHubConfigurationManager, IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, ConfigurationContent, Twin, TwinProperties
from msrest.exceptions import HttpOperationError

from skerry.contract.method import MethodRequest, MethodResponse
from skerry.hub.setup import connection_string
from tests.unit.hub.running import RunningHub, connected, manifest, running_hub

pytestmark = pytest.mark.system

KEYS = [base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)]


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub") as running:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.addresses.ca_file))
        for proxy in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.delenv(proxy, raising=False)
        yield running
        # The SDK leaves idle connections open until they are collected, even after its own close().
        gc.collect()


def sdk(hub: RunningHub, kind: Callable[[str], Any], policy: str = "iothubowner") -> Any:
    """A manager of the SDK; only its HTTP part takes a port in the host name (contract §0.1)."""
    text = connection_string(hub.data_dir, policy)
    port = hub.addresses.https_port
    return kind(text.replace("HostName=localhost", f"HostName=localhost:{port}"))


async def test_devices_are_created_read_updated_listed_and_deleted(hub: RunningHub) -> None:
    def work() -> None:
        registry = sdk(hub, IoTHubRegistryManager)
        made = registry.create_device_with_sas("dev", *KEYS, "enabled", iot_edge=True)
        assert made.authentication.symmetric_key.primary_key == KEYS[0]
        assert made.capabilities.iot_edge
        read = registry.get_device("dev")
        assert (read.etag, read.generation_id) == (made.etag, made.generation_id)
        changed = registry.update_device_with_sas("dev", read.etag, *KEYS[::-1], "disabled", iot_edge=True)
        assert (changed.status, changed.authentication.symmetric_key.primary_key) == ("disabled", KEYS[1])
        with pytest.raises(HttpOperationError) as stale:
            registry.update_device_with_sas("dev", read.etag, *KEYS, "enabled", iot_edge=True)
        assert stale.value.response.status_code == 412
        assert [device.device_id for device in registry.get_devices()] == ["dev"]
        statistics = registry.get_device_registry_statistics()
        assert (statistics.total_device_count, statistics.disabled_device_count) == (1, 1)
        assert registry.get_service_statistics().connected_device_count == 0
        registry.delete_device("dev")
        with pytest.raises(HttpOperationError) as missing:
            registry.get_device("dev")
        assert missing.value.response.status_code == 404

    await asyncio.to_thread(work)


async def test_modules_are_created_read_updated_and_deleted(hub: RunningHub) -> None:
    def work() -> None:
        registry = sdk(hub, IoTHubRegistryManager)
        registry.create_device_with_sas("dev", "", "", "enabled")
        made = registry.create_module_with_sas("dev", "mod", "me", *KEYS)
        assert (made.module_id, made.managed_by) == ("mod", "me")
        read = registry.get_module("dev", "mod")
        changed = registry.update_module_with_sas("dev", "mod", "you", read.etag, *KEYS)
        assert changed.managed_by == "you"
        assert [module.module_id for module in registry.get_modules("dev")] == ["mod"]
        registry.delete_module("dev", "mod")
        assert registry.get_modules("dev") == []

    await asyncio.to_thread(work)


async def test_twins_are_read_patched_and_replaced(hub: RunningHub) -> None:
    def work() -> None:
        registry = sdk(hub, IoTHubRegistryManager)
        registry.create_device_with_sas("dev", "", "", "enabled")
        registry.create_module_with_sas("dev", "mod", "", "", "")
        twin = registry.get_twin("dev")
        patch = Twin(tags={"room": "a"}, properties=TwinProperties(desired={"a": 1, "b": 2}))
        patched = registry.update_twin("dev", patch, twin.etag)
        assert patched.properties.desired["a"] == 1
        assert patched.tags == {"room": "a"}
        patch = Twin(properties=TwinProperties(desired={"c": 3}))
        replaced = registry.replace_twin("dev", patch, patched.etag)
        names = {name for name in replaced.properties.desired if not name.startswith("$")}
        assert names == {"c"}
        module = registry.update_module_twin("dev", "mod", patch, None)
        assert module.properties.desired["$version"] == 2
        assert registry.get_module_twin("dev", "mod").etag == module.etag

    await asyncio.to_thread(work)


async def test_a_deployment_is_applied_and_a_bad_one_is_refused(hub: RunningHub) -> None:
    def work() -> None:
        registry = sdk(hub, IoTHubRegistryManager)
        deployments = sdk(hub, IoTHubConfigurationManager)
        registry.create_device_with_sas("edge", "", "", "enabled", iot_edge=True)
        content = ConfigurationContent(**_content(manifest("cnn", cnn={"a": 1})))
        deployments.apply_configuration_on_edge_device("edge", content)
        assert {module.module_id for module in registry.get_modules("edge")} == {
            "$edgeAgent",
            "$edgeHub",
            "cnn",
        }
        assert registry.get_module_twin("edge", "cnn").properties.desired["a"] == 1
        bad = ConfigurationContent(modules_content={"cnn": {"properties.desired": {}}})
        with pytest.raises(HttpOperationError) as refused:
            deployments.apply_configuration_on_edge_device("edge", bad)
        assert refused.value.response.status_code == 400

    await asyncio.to_thread(work)


def _content(document: dict[str, Any]) -> dict[str, Any]:
    return {"modules_content": document["modulesContent"]}


async def test_a_method_reaches_a_connected_device_and_its_answer_comes_back(hub: RunningHub) -> None:
    device = hub.device(await hub.service.create_device("dev"))

    async def answer(request: MethodRequest) -> MethodResponse:
        return MethodResponse(299, {"name": request.name, "payload": request.payload})

    def work() -> None:
        registry = sdk(hub, IoTHubRegistryManager, "service")
        method = CloudToDeviceMethod(
            method_name="go",
            payload={"x": 1},
            response_timeout_in_seconds=10,
            connect_timeout_in_seconds=5,
        )
        result = registry.invoke_device_method("dev", method)
        assert (result.status, result.payload) == (299, {"name": "go", "payload": {"x": 1}})

    device.on_method = answer
    async with connected(device):
        await asyncio.to_thread(work)


async def test_a_policy_without_the_right_is_refused(hub: RunningHub) -> None:
    def work() -> None:
        registry = sdk(hub, IoTHubRegistryManager, "registryRead")
        with pytest.raises(HttpOperationError) as refused:
            registry.create_device_with_sas("dev", "", "", "enabled")
        assert refused.value.response.status_code == 403

    await asyncio.to_thread(work)

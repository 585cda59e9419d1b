"""Every call of Microsoft's service SDK, and with them every endpoint of its table (contract §4.2).

What came at the hub is compared with docs/azure-calls.md, so that the page tells the truth.
"""

from __future__ import annotations

import base64
import datetime
import inspect
import re
from pathlib import Path
from typing import Any

import certifi
import pytest
import requests
from azure.iot import hub as sdk
from azure.iot.device import IoTHubDeviceClient, IoTHubModuleClient
from azure.iot.hub import models

from tests.support.namespace import HUB_NAME
from tests.support.stack import Hub, eventually
from tests.system.sdk.clients import SDK_MARKS, answer_methods
from tests.unit.hub.running import manifest

pytestmark = SDK_MARKS

PAGE = Path(__file__).parents[3] / "docs" / "azure-calls.md"
KEYS = [base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)]
THUMBPRINTS = ["A" * 40, "B" * 40]
MANAGERS = (
    "IoTHubRegistryManager",
    "IoTHubConfigurationManager",
    "IoTHubJobManager",
    "IoTHubHttpRuntimeManager",
    "DigitalTwinClient",
)


class Recorded:
    """A manager of the SDK whose calls are noted as ``Manager.method``."""

    def __init__(self, name: str, hub: Hub, calls: dict[str, set[str]], sent: list[str]) -> None:
        self._manager = getattr(sdk, name).from_connection_string(hub.service_string)
        self._name = name
        self._calls = calls
        self._sent = sent

    def __getattr__(self, method: str) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            before = len(self._sent)
            try:
                return getattr(self._manager, method)(*given, **named)
            finally:
                used = self._calls.setdefault(f"{self._name}.{method}", set())
                used.update(self._sent[before:])

        return call


@pytest.fixture
def sent(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests of the SDK as ``METHOD /path/{id}``, in order."""
    found: list[str] = []
    send = requests.Session.send

    def noted(session: requests.Session, request: Any, **options: Any) -> Any:
        found.append(f"{request.method} {_pattern(request.path_url)}")
        return send(session, request, **options)

    monkeypatch.setattr(requests.Session, "send", noted)
    monkeypatch.setattr(certifi, "where", lambda: str(hub.ca_file))
    return found


def _pattern(path: str) -> str:
    """A path with names for what is different each time."""
    bare = path.partition("?")[0]
    rules = (
        (r"^/(devices|twins|digitaltwins)/(?!query$)[^/]+", r"/\1/{id}"),
        (r"/modules/[^/]+", "/modules/{m}"),
        (r"/components/[^/]+", "/components/{p}"),
        (r"/commands/[^/]+", "/commands/{c}"),
        (r"^/configurations/(?!testQueries$)[^/]+", "/configurations/{id}"),
        (r"^/jobs/v2/(?!query$)[^/]+", "/jobs/v2/{id}"),
        (r"^/jobs/(?!v2|create$)[^/]+", "/jobs/{id}"),
        (r"/feedback/[^/]+", "/feedback/{lock}"),
    )
    for rule, name in rules:
        bare = re.sub(rule, name, bare)
    return bare


def test_every_call_of_the_service_sdk_is_answered(hub: Hub, sent: list[str]) -> None:
    calls: dict[str, set[str]] = {}
    registry, configurations, jobs, runtime, twins = (Recorded(name, hub, calls, sent) for name in MANAGERS)
    _identities(registry)
    _twins(registry)
    _methods(hub, registry, twins)
    _configurations(registry, configurations)
    _jobs(jobs)
    _feedback(registry, runtime)
    wanted = {
        f"{name}.{method}"
        for name in MANAGERS
        for method, _ in inspect.getmembers(getattr(sdk, name), inspect.isfunction)
        if not method.startswith("_")
    }
    assert wanted == calls.keys()
    rows = {(request, call) for call, used in calls.items() for request in used or {"AMQP"}}
    # The SDK has calls that no manager shows.
    rows |= {(request, "its protocol layer") for request in set(sent) - {request for request, _ in rows}}
    table = "\n".join(f"| {request} | {call} |" for request, call in sorted(rows))
    assert table in PAGE.read_text(), f"{PAGE.name} should hold\n{table}"


def _identities(registry: Any) -> None:
    registry.create_device_with_sas("dev", *KEYS, "enabled")
    device = registry.get_device("dev")
    registry.update_device_with_sas("dev", device.etag, *KEYS, "enabled")
    made = registry.create_device_with_x509("own", *THUMBPRINTS, "enabled")
    assert registry.update_device_with_x509("own", made.etag, *THUMBPRINTS[::-1], "enabled").etag != made.etag
    made = registry.create_device_with_certificate_authority("ca", "enabled")
    registry.update_device_with_certificate_authority("ca", made.etag, "disabled")
    registry.create_module_with_sas("dev", "mod", "", *KEYS)
    registry.update_module_with_sas("dev", "mod", "me", registry.get_module("dev", "mod").etag, *KEYS)
    made = registry.create_module_with_x509("dev", "m-own", "", *THUMBPRINTS)
    registry.update_module_with_x509("dev", "m-own", "", made.etag, *THUMBPRINTS[::-1])
    made = registry.create_module_with_certificate_authority("dev", "m-ca", "")
    registry.update_module_with_certificate_authority("dev", "m-ca", "me", made.etag)
    assert {module.module_id for module in registry.get_modules("dev")} == {"mod", "m-own", "m-ca"}
    registry.delete_module("dev", "m-ca")
    registry.delete_device("ca")
    many = [models.ExportImportDevice(id="bulk", import_mode="create", status="enabled")]
    assert registry.bulk_create_or_update_devices(many).is_successful
    assert {device.device_id for device in registry.get_devices()} == {"dev", "own", "bulk"}
    assert registry.get_device_registry_statistics().total_device_count == 3
    assert registry.get_service_statistics().connected_device_count == 0


def _twins(registry: Any) -> None:
    patch = models.Twin(tags={"room": "a"}, properties=models.TwinProperties(desired={"a": 1}))
    registry.update_twin("dev", patch, registry.get_twin("dev").etag)
    assert registry.replace_twin("dev", patch, "*").tags == {"room": "a"}
    registry.update_module_twin("dev", "mod", patch, registry.get_module_twin("dev", "mod").etag)
    assert registry.replace_module_twin("dev", "mod", patch, "*").properties.desired["a"] == 1
    query = models.QuerySpecification(query="SELECT * FROM devices WHERE tags.room = 'a'")
    assert [twin.device_id for twin in registry.query_iot_hub(query).items] == ["dev"]


def _methods(hub: Hub, registry: Any, twins: Any) -> None:
    ca = hub.ca_file.read_text()
    base = f"HostName={HUB_NAME};DeviceId=dev;SharedAccessKey={KEYS[0]}"
    device = IoTHubDeviceClient.create_from_connection_string(base, server_verification_cert=ca)
    text = f"HostName={HUB_NAME};DeviceId=dev;ModuleId=mod;SharedAccessKey={KEYS[0]}"
    module = IoTHubModuleClient.create_from_connection_string(text, server_verification_cert=ca)
    for client in (device, module):
        client.connect()
        answer_methods(client)
    method = models.CloudToDeviceMethod(
        method_name="go", payload=1, response_timeout_in_seconds=10, connect_timeout_in_seconds=5
    )
    assert registry.invoke_device_method("dev", method).status == 207
    assert registry.invoke_device_module_method("dev", "mod", method).status == 207
    assert twins.get_digital_twin("dev")["$dtId"] == "dev"
    twins.update_digital_twin("dev", [{"op": "add", "path": "/limit", "value": 5}], "*")
    assert twins.invoke_command("dev", "go", 1, 5, 10) == {"name": "go", "got": 1}
    assert twins.invoke_component_command("dev", "part", "go", 1, 5, 10)["name"] == "part*go"
    for client in (device, module):
        client.shutdown()


def _configurations(registry: Any, configurations: Any) -> None:
    registry.create_device_with_sas("edge", *KEYS, "enabled", iot_edge=True)
    modules = manifest("cnn")["modulesContent"]
    content = models.ConfigurationContent(modules_content=modules)
    configurations.apply_configuration_on_edge_device("edge", content)
    made = configurations.create_configuration(
        models.Configuration(id="dep", content=content, target_condition="tags.x = 1", priority=1)
    )
    read = configurations.get_configuration("dep")
    read.priority = 2
    assert configurations.update_configuration(read, made.etag).priority == 2
    assert [one.id for one in configurations.get_configurations(5)] == ["dep"]
    asked = models.ConfigurationQueriesTestInput(target_condition="tags.a =")
    assert configurations.test_configuration_queries(asked).target_condition_error
    configurations.delete_configuration("dep")


def _jobs(jobs: Any) -> None:
    update = models.Twin(etag="*", tags={"t": 1})
    request = models.JobRequest(
        job_id="later",
        type="scheduleUpdateTwin",
        query_condition="deviceId = 'dev'",
        update_twin=update,
        start_time=datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1),
        max_execution_time_in_seconds=60,
    )
    jobs.create_scheduled_job("later", request)
    assert jobs.get_scheduled_job("later").status == "scheduled"
    assert [one["jobId"] for one in jobs.query_scheduled_jobs("scheduleUpdateTwin", "scheduled").items] == [
        "later"
    ]
    jobs.cancel_scheduled_job("later")
    # To a blob container; nobody serves at this address, and the job says so.
    container = "http://127.0.0.1:1/box?sig=x"
    asked = models.JobProperties(type="export", output_blob_container_uri=container)
    made = jobs.create_import_export_job(asked)
    eventually(lambda: jobs.get_import_export_job(made.job_id).status == "failed")
    assert [one.job_id for one in jobs.get_import_export_jobs()] == [made.job_id]
    jobs.cancel_import_export_job(made.job_id)


def _feedback(registry: Any, runtime: Any) -> None:
    registry.send_c2d_message("dev", "x", {"ack": "full", "messageId": "m-1"})
    registry._manager.protocol.cloud_to_device_messages.purge_cloud_to_device_message_queue("dev")
    take = runtime._manager.protocol.cloud_to_device_messages.receive_feedback_notification
    # This reader keeps what it got to itself, and so does not answer; the next message is another's.
    runtime.receive_feedback_notification()
    registry.send_c2d_message("dev", "y", {"ack": "full", "messageId": "m-2"})
    registry._manager.protocol.cloud_to_device_messages.purge_cloud_to_device_message_queue("dev")
    lock = take(raw=True).response.headers["etag"].strip('"')
    runtime.abandon_feedback_notification(lock)
    lock = take(raw=True).response.headers["etag"].strip('"')
    runtime.complete_feedback_notification(lock)

"""What Microsoft's service SDKs do over AMQP: ``azure-iot-hub`` (uamqp) and ``azure-eventhub`` (pyamqp)."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import certifi
import pytest
from azure.eventhub import EventHubConsumerClient
from azure.eventhub.exceptions import AuthenticationError
from azure.iot.device import IoTHubDeviceClient
from azure.iot.hub import IoTHubHttpRuntimeManager, IoTHubRegistryManager

from skerry.contract.credentials import ConnectionString
from tests.support.namespace import HUB_NAME
from tests.support.stack import Hub, eventually
from tests.system.sdk.clients import SDK_MARKS, json_message, message

pytestmark = SDK_MARKS


def ignore(_: Any) -> None:
    """For a device nobody writes to."""


@pytest.fixture
def registry(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Any:
    # uamqp trusts certifi's roots and nothing else; it asks for the file each time.
    monkeypatch.setattr(certifi, "where", lambda: str(hub.ca_file))
    return IoTHubRegistryManager.from_connection_string(hub.service_string)


@contextmanager
def device(hub: Hub, connection_string: str, on_message: Callable[[Any], None]) -> Iterator[Any]:
    client = IoTHubDeviceClient.create_from_connection_string(
        connection_string, server_verification_cert=hub.ca_file.read_text()
    )
    client.on_message_received = on_message
    client.connect()
    try:
        yield client
    finally:
        client.shutdown()


def event_hub_string(hub: Hub) -> str:
    parsed = ConnectionString.parse(hub.service_string)
    return (
        f"Endpoint=sb://{HUB_NAME}/;SharedAccessKeyName={parsed.shared_access_key_name};"
        f"SharedAccessKey={parsed.shared_access_key};EntityPath=hub"
    )


@contextmanager
def reading(hub: Hub, got: list[Any], **position: Any) -> Iterator[Any]:
    """``azure-eventhub``'s consumer over every partition, in a thread, as its examples do."""
    client = EventHubConsumerClient.from_connection_string(
        event_hub_string(hub), consumer_group="$Default", connection_verify=str(hub.ca_file)
    )

    def on_event(_: Any, event: Any) -> None:
        got.append(event)

    thread = threading.Thread(target=client.receive, args=(on_event,), kwargs=position)
    thread.start()
    try:
        yield client
    finally:
        client.close()
        thread.join()


def test_a_message_from_the_service_sdk_reaches_the_device_sdk(hub: Hub, registry: Any) -> None:
    string = hub.create_device("dev-1")
    got: list[Any] = []
    registry.send_c2d_message("dev-1", "queued before the device connects")
    properties = {
        "contentType": "application/json",
        "contentEncoding": "utf-8",
        "correlationId": "c-1",
        "messageId": "m-2",
        "level": "höher & mehr",
        "ack": "full",
    }
    registry.send_c2d_message("dev-1", '{"go": true}', properties)
    assert registry.get_device("dev-1").cloud_to_device_message_count == 2
    with device(hub, string, got.append):
        eventually(lambda: len(got) == 2)
        eventually(lambda: registry.get_device("dev-1").cloud_to_device_message_count == 0)
        registry.send_c2d_message("dev-1", b"\x00\xff".decode("latin-1"))
        eventually(lambda: len(got) == 3)
    assert got[0].data == b"queued before the device connects"
    assert got[1].data == b'{"go": true}'
    assert (got[1].message_id, got[1].correlation_id) == ("m-2", "c-1")
    assert (got[1].content_type, got[1].content_encoding) == ("application/json", "utf-8")
    assert got[1].custom_properties == {"level": "höher & mehr"}
    assert got[1].ack == "full"


def test_a_large_message_comes_in_several_frames(hub: Hub, registry: Any) -> None:
    string = hub.create_device("dev-1")
    got: list[Any] = []
    body = "x" * 65_000
    registry.send_c2d_message("dev-1", body, {"padding": "y" * 4_000})
    with device(hub, string, got.append):
        eventually(lambda: len(got) == 1)
    assert got[0].data == body.encode()


def test_a_message_for_an_unknown_device_is_an_error(hub: Hub, registry: Any) -> None:
    with pytest.raises(Exception, match="C2D message send failure"):
        registry.send_c2d_message("nobody", "x")


def test_feedback_is_fetched_with_the_service_sdk(hub: Hub, registry: Any) -> None:
    string = hub.create_device("dev-1")
    got: list[Any] = []
    registry.send_c2d_message("dev-1", "x", {"ack": "positive", "messageId": "m-1"})
    with device(hub, string, got.append):
        eventually(lambda: len(got) == 1)
        eventually(lambda: registry.get_device("dev-1").cloud_to_device_message_count == 0)
    runtime = IoTHubHttpRuntimeManager.from_connection_string(hub.service_string)
    raw = runtime.protocol.cloud_to_device_messages.receive_feedback_notification(raw=True).response
    (record,) = raw.json()
    assert (record["originalMessageId"], record["statusCode"], record["deviceId"]) == (
        "m-1",
        "Success",
        "dev-1",
    )
    lock = raw.headers["etag"].strip('"')
    runtime.abandon_feedback_notification(lock)
    again = runtime.protocol.cloud_to_device_messages.receive_feedback_notification(raw=True).response
    runtime.complete_feedback_notification(again.headers["etag"].strip('"'))
    last = runtime.protocol.cloud_to_device_messages.receive_feedback_notification(raw=True).response
    assert last.status_code == 204


def test_events_are_read_stored_and_live(hub: Hub) -> None:
    string = hub.create_device("dev-1")
    got: list[Any] = []
    with device(hub, string, ignore) as client:
        for n in range(50):
            client.send_message(message(f"{n}"))
        client.send_message(
            json_message('{"t": 1}', {"level": "höher"}, message_id="m-1", correlation_id="c-1")
        )
        with reading(hub, got, starting_position="-1") as consumer:
            assert consumer.get_partition_ids() == ["0"]
            eventually(lambda: len(got) == 51)
            client.send_message(message("x" * 200_000))
            eventually(lambda: len(got) == 52)
            properties = consumer.get_partition_properties("0")
            assert properties["last_enqueued_sequence_number"] == 52
            assert properties["beginning_sequence_number"] == 1
            assert not properties["is_empty"]
    assert [event.sequence_number for event in got] == list(range(1, 53))
    assert [event.body_as_str() for event in got[:50]] == [str(n) for n in range(50)]
    event = got[50]
    assert event.body_as_json() == {"t": 1}
    assert event.properties == {b"level": "höher".encode()}
    assert (event.message_id, event.correlation_id) == ("m-1", "c-1")
    assert event.content_type == "application/json"
    assert event.raw_amqp_message.properties.content_encoding == b"utf-8"
    assert event.system_properties[b"iothub-connection-device-id"] == b"dev-1"
    assert event.system_properties[b"iothub-message-source"] == b"Telemetry"
    age = datetime.datetime.now(datetime.UTC) - event.enqueued_time
    assert abs(age.total_seconds()) < 60
    assert len(got[51].body_as_str()) == 200_000


def has(found: list[Any], count: int) -> bool:
    return len(found) == count


def test_reading_goes_on_after_an_event_by_offset_number_or_time(hub: Hub) -> None:
    first: list[Any] = []
    with device(hub, hub.create_device("dev-1"), ignore) as client:
        for n in range(6):
            client.send_message(message(f"{n}"))
    with reading(hub, first, starting_position="-1"):
        eventually(lambda: len(first) == 6)
    third = first[2]
    for begin in (third.offset, third.sequence_number, third.enqueued_time):
        got: list[Any] = []
        with reading(hub, got, starting_position=begin):
            eventually(partial(has, got, 3))
        assert [event.body_as_str() for event in got] == ["3", "4", "5"]


def test_reading_from_the_end_gives_what_comes_from_now_on(hub: Hub) -> None:
    got: list[Any] = []
    with device(hub, hub.create_device("dev-1"), ignore) as client:
        client.send_message(message("before"))
        with reading(hub, got, starting_position="@latest"):

            def said() -> bool:
                client.send_message(message("after"))
                return bool(got)

            eventually(said)
    assert {event.body_as_str() for event in got} == {"after"}


def test_a_wrong_key_reads_nothing(hub: Hub) -> None:
    wrong = event_hub_string(hub).replace("SharedAccessKey=", "SharedAccessKey=x")
    client = EventHubConsumerClient.from_connection_string(
        wrong, consumer_group="$Default", connection_verify=str(hub.ca_file), retry_total=0
    )
    with pytest.raises(AuthenticationError):
        client.get_partition_ids()
    client.close()

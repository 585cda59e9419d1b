"""The edge hub's numbers have Microsoft's names, labels and quantiles."""

from __future__ import annotations

from skerry.contract.message import Message
from skerry.edge.hub.metrics import HubMetrics
from skerry.service.metrics import Metrics
from skerry.store.queue import Stored
from tests.support.edge import module

CAMERA = module("camera")


def test_messages_are_timed_by_where_they_come_from_and_go() -> None:
    metrics = Metrics(process=False)
    numbers = HubMetrics(metrics)
    numbers.received(CAMERA, Message(b"x" * 100, {}, {"outputName": "out"}))
    numbers.sent(Stored(1, "input/cnn/image", 5, None, b"", b"edge-1/camera\n%24.on=out&a=b"), 0.25)
    numbers.failed("upstream/edge-1/camera", 3, "Unavailable")
    numbers.method(CAMERA, 200, 0.5)
    text = metrics.exposition().decode()
    for line in (
        'edgehub_messages_received_total{id="edge-1/camera",route_output="out"} 1.0',
        'edgehub_message_size_bytes_sum{id="edge-1/camera"} 100.0',
        'edgehub_messages_sent_total{from="edge-1/camera",from_route_output="out",priority="5",to="cnn",'
        'to_route_input="image"} 1.0',
        'edgehub_message_send_duration_seconds_sum{from="edge-1/camera",from_route_output="out",to="cnn",'
        'to_route_input="image"} 0.25',
        'edgehub_message_process_duration_seconds_count{from="edge-1/camera",priority="5",to="cnn"} 1.0',
        'edgehub_messages_unack_total{from="edge-1/camera",reason="Unavailable",to="upstream"} 3.0',
        'edgehub_operation_retry_total{id="edge-1/camera",operation="send"} 1.0',
        'edgehub_direct_method_duration_seconds_sum{to="edge-1/camera"} 0.5',
    ):
        assert line in text
    assert 'edgehub_direct_method_duration_seconds{quantile="0.9999",to="edge-1/camera"} 0.' in text

"""Prometheus numbers."""

import pytest

from skerry.service.metrics import CONTENT_TYPE, Metrics


def test_numbers_are_exposed_as_text() -> None:
    metrics = Metrics(process=False)
    metrics.counter("edgehub_messages_sent", "Messages.", ["to"]).labels("up").inc(3)
    metrics.gauge("edgehub_queue_length", "Queue.").set(2)
    metrics.histogram("latency_seconds", "Latency.").observe(0.004)
    lines = metrics.exposition().decode().splitlines()
    assert 'edgehub_messages_sent_total{to="up"} 3.0' in lines
    assert "edgehub_queue_length 2.0" in lines
    assert 'latency_seconds_bucket{le="0.005"} 1.0' in lines
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_registries_do_not_share_names() -> None:
    one, two = Metrics(), Metrics()
    one.gauge("x", "X.")
    two.gauge("x", "X.")
    with pytest.raises(ValueError, match="Duplicated"):
        one.gauge("x", "X.")
    assert b"process_resident_memory_bytes" in one.exposition()

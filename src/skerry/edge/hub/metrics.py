"""The edge hub's numbers, under Microsoft's names where they exist (contract.md §6.12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import Counter

from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.service.metrics import Metrics


class HubMetrics:
    """Counts; the gauges are read when they are asked for."""

    def __init__(self, metrics: Metrics) -> None:
        self._received = metrics.counter(
            "edgehub_messages_received_total", "Messages taken from clients", ["route_output", "id"]
        )
        # Finding a labelled counter costs more than counting.
        self._received_by: dict[tuple[str, Identity], Counter] = {}
        self._sent = metrics.gauge("edgehub_messages_sent", "Messages delivered", ["to"])
        self._dropped = metrics.counter(
            "edgehub_messages_dropped_total", "Messages dropped", ["reason", "from"]
        )
        self._queue = metrics.gauge("edgehub_queue_length", "Messages waiting", ["endpoint"])
        self._clients = metrics.gauge("edgehub_connected_clients", "Clients connected here")
        self._offline = metrics.counter("edgehub_offline_count_total", "Times cut off from the hub", ["id"])

    def received(self, sender: Identity, message: Message) -> None:
        output = message.system.get("outputName", "")
        if (counter := self._received_by.get((output, sender))) is None:
            counter = self._received.labels(output, sender.client_id)
            self._received_by[output, sender] = counter
        counter.inc()

    def no_route(self, sender: Identity) -> None:
        self._dropped.labels("no_route", sender.client_id).inc()

    def connection(self, identity: Identity, connected: bool) -> None:
        if not connected:
            self._offline.labels(identity.client_id).inc()

    def watch_clients(self, count: Callable[[], int]) -> None:
        self._clients.set_function(count)

    def refresh(self, lengths: Mapping[str, int], sent: Mapping[str, int]) -> None:
        """Take over what the queue and the forwarders count themselves."""
        self._queue.clear()
        for endpoint, count in lengths.items():
            self._queue.labels(endpoint).set(count)
        for endpoint, count in sent.items():
            self._sent.labels(endpoint).set(count)

"""The edge hub's numbers, under Microsoft's names where they exist (contract.md §6.12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.edge.hub.router import input_of, upstream_sender
from skerry.service.metrics import Metrics
from skerry.service.tallies import Count, Quantiles
from skerry.store.queue import Stored

OUTPUT_KEY = b"%24.on="
# Distinct label sets of sent messages that are looked up quickly; more are only slower.
SENT_MAX = 4096


class _Sent(NamedTuple):
    """What a delivered message adds to."""

    number: Count
    send_time: Quantiles
    process_time: Quantiles


class HubMetrics:
    """Counts; the gauges are read when they are asked for."""

    def __init__(self, metrics: Metrics) -> None:
        self._received = metrics.counts(
            "edgehub_messages_received_total", "Messages taken from clients", ["route_output", "id"]
        )
        # Finding a labelled counter costs more than counting.
        self._received_by: dict[Identity, dict[str, Count]] = {}
        self._sent = metrics.counts(
            "edgehub_messages_sent_total",
            "Messages delivered",
            ["from", "to", "from_route_output", "to_route_input", "priority"],
        )
        self._sent_by: dict[tuple[str, bytes, bytes, int], _Sent] = {}
        self._dropped = metrics.counter(
            "edgehub_messages_dropped_total", "Messages dropped", ["reason", "from", "from_route_output"]
        )
        self._size = metrics.summaries("edgehub_message_size_bytes", "Bodies of messages taken", ["id"])
        self._size_by: dict[Identity, Quantiles] = {}
        self._send_time = metrics.summaries(
            "edgehub_message_send_duration_seconds",
            "From sending a message to its acknowledgement",
            ["from", "to", "from_route_output", "to_route_input"],
        )
        self._process_time = metrics.summaries(
            "edgehub_message_process_duration_seconds",
            "From reading messages out of the queue to their removal",
            ["from", "to", "priority"],
        )
        self._unacknowledged = metrics.counter(
            "edgehub_messages_unack_total", "Messages sent and not acknowledged", ["from", "to", "reason"]
        )
        self._retries = metrics.counter(
            "edgehub_operation_retry_total", "Operations begun anew after a failure", ["operation", "id"]
        )
        self._twin_gets = metrics.counter("edgehub_gettwin_total", "Twins read", ["source", "id"])
        self._twin_time = metrics.summaries(
            "edgehub_gettwin_duration_seconds", "Reading a twin", ["source", "id"]
        )
        self._reports = metrics.counter(
            "edgehub_reported_properties_total", "Reports taken", ["target", "id"]
        )
        self._report_time = metrics.summaries(
            "edgehub_reported_properties_update_duration_seconds", "Taking a report", ["target", "id"]
        )
        self._methods = metrics.counter("edgehub_direct_methods_total", "Methods invoked", ["to", "outcome"])
        self._method_time = metrics.summaries(
            "edgehub_direct_method_duration_seconds", "From a method's call to its answer", ["to"]
        )
        self._queue = metrics.gauge("edgehub_queue_length", "Messages waiting", ["endpoint"])
        self._clients = metrics.gauge("edgehub_connected_clients", "Clients connected here")
        self._came = metrics.counter("edgehub_client_connect_success_total", "Clients that connected", ["id"])
        self._failed = metrics.counter(
            "edgehub_client_connect_failed_total", "Clients that were refused", ["reason"]
        )
        self._left = metrics.counter("edgehub_client_disconnect_total", "Clients that left", ["id"])
        self._offline = metrics.counter("edgehub_offline_count_total", "Times cut off from the hub", ["id"])
        self._offline_time = metrics.summaries(
            "edgehub_offline_duration_seconds", "Time cut off from the hub", ["id"]
        )
        self._cut_off: dict[Identity, float] = {}
        self.unrouted = 0

    def received(self, sender: Identity, message: Message) -> None:
        output = message.system.get("outputName", "")
        if (by_output := self._received_by.get(sender)) is None:
            by_output = self._received_by[sender] = {}
            self._size_by[sender] = self._size.labels(sender.client_id)
        if (count := by_output.get(output)) is None:
            count = by_output[output] = self._received.labels(output, sender.client_id)
        count.value += 1
        self._size_by[sender].add(len(message.body))

    def sent(self, stored: Stored, seconds: float) -> None:
        """A message was delivered, which took so long."""
        sender, _, bag = stored.headers.partition(b"\n")
        key = (stored.endpoint, sender, _output(bag), stored.priority)
        if (sent := self._sent_by.get(key)) is None:
            sent = self._new_sent(*key)
            if len(self._sent_by) < SENT_MAX:
                self._sent_by[key] = sent
        sent.number.value += 1
        sent.send_time.add(seconds)
        sent.process_time.add(seconds)

    def _new_sent(self, endpoint: str, sender: bytes, output: bytes, priority: int) -> _Sent:
        to, name = input_of(endpoint) or ("upstream", "")
        source, out = sender.decode(errors="replace"), unquote_to_bytes(output).decode(errors="replace")
        return _Sent(
            self._sent.labels(source, to, out, name, str(priority)),
            self._send_time.labels(source, to, out, name),
            self._process_time.labels(source, to, str(priority)),
        )

    def failed(self, endpoint: str, count: int, reason: str) -> None:
        """So many messages for an endpoint were sent and not acknowledged; they are sent again."""
        sender = upstream_sender(endpoint)
        to, _ = input_of(endpoint) or ("upstream", "")
        self._unacknowledged.labels(sender.client_id if sender else "", to, reason).inc(count)
        self._retries.labels("send", sender.client_id if sender else to).inc()

    def no_route(self, sender: Identity, message: Message) -> None:
        self.unrouted += 1
        self._dropped.labels("no_route", sender.client_id, message.system.get("outputName", "")).inc()

    def dropped(self, reason: str, endpoint: str, count: int) -> None:
        """``count`` messages for an endpoint were dropped; who sent them is known for the hub's only."""
        sender = upstream_sender(endpoint)
        self._dropped.labels(reason, sender.client_id if sender else endpoint, "").inc(count)

    def client(self, identity: Identity, connected: bool) -> None:
        (self._came if connected else self._left).labels(identity.client_id).inc()

    def connect_failed(self, reason: str) -> None:
        # Not by id: strangers choose theirs, and every one would stay here for ever.
        self._failed.labels(reason).inc()

    def connection(self, identity: Identity, connected: bool) -> None:
        """The hub is there for ``identity``, or is not any more."""
        if not connected:
            self._cut_off.setdefault(identity, perf_counter())
            self._offline.labels(identity.client_id).inc()
        elif (began := self._cut_off.pop(identity, None)) is not None:
            self._offline_time.labels(identity.client_id).add(perf_counter() - began)

    @contextmanager
    def twin_get(self, identity: Identity) -> Iterator[None]:
        """Times a client's reading of its twin."""
        began = perf_counter()
        yield
        self._twin_gets.labels("edge_hub", identity.client_id).inc()
        self._twin_time.labels("edge_hub", identity.client_id).add(perf_counter() - began)

    @contextmanager
    def reported(self, identity: Identity) -> Iterator[None]:
        """Times the taking of a client's report."""
        began = perf_counter()
        yield
        self._reports.labels("edge_hub", identity.client_id).inc()
        self._report_time.labels("edge_hub", identity.client_id).add(perf_counter() - began)

    def method(self, target: Identity, status: int, seconds: float) -> None:
        self._method_time.labels(target.client_id).add(seconds)
        self._methods.labels(target.client_id, "success" if status < 400 else "failure").inc()

    def watch_clients(self, count: Callable[[], int]) -> None:
        self._clients.set_function(count)

    def refresh(self, lengths: Mapping[str, int]) -> None:
        """Take over what the queue counts itself."""
        self._queue.clear()
        for endpoint, count in lengths.items():
            self._queue.labels(endpoint).set(count)


def _output(bag: bytes) -> bytes:
    """The output's name as it is encoded in a bag."""
    at = bag.find(OUTPUT_KEY)
    if at < 0 or (at > 0 and bag[at - 1 : at] != b"&"):
        return b""
    return bag[at + len(OUTPUT_KEY) :].partition(b"&")[0]

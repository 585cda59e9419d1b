"""The edge hub's numbers, under Microsoft's names where they exist (contract.md §6.12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from urllib.parse import unquote_to_bytes

from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.edge.hub.router import input_of, upstream_sender
from skerry.service.metrics import Metrics
from skerry.service.tallies import Count, Spread
from skerry.store.queue import Stored

OUTPUT_KEY = b"%24.on="
SIZE_BUCKETS = (256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0)
# Distinct label sets of sent messages that are looked up quickly; more are only slower.
SENT_MAX = 4096


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
        self._sent_by: dict[tuple[str, bytes, bytes, int], Count] = {}
        self._dropped = metrics.counter(
            "edgehub_messages_dropped_total", "Messages dropped", ["reason", "from", "from_route_output"]
        )
        self._size = metrics.spreads(
            "edgehub_message_size_bytes", "Bodies of messages taken", ["id"], SIZE_BUCKETS
        )
        self._size_by: dict[Identity, Spread] = {}
        self._twin_gets = metrics.counter("edgehub_gettwin_total", "Twins read", ["source", "id"])
        self._twin_time = metrics.histogram(
            "edgehub_gettwin_duration_seconds", "Reading a twin", ["source", "id"]
        )
        self._reports = metrics.counter(
            "edgehub_reported_properties_total", "Reports taken", ["target", "id"]
        )
        self._report_time = metrics.histogram(
            "edgehub_reported_properties_update_duration_seconds", "Taking a report", ["target", "id"]
        )
        self._methods = metrics.counter("edgehub_direct_methods_total", "Methods invoked", ["to", "outcome"])
        self._queue = metrics.gauge("edgehub_queue_length", "Messages waiting", ["endpoint"])
        self._clients = metrics.gauge("edgehub_connected_clients", "Clients connected here")
        self._came = metrics.counter("edgehub_client_connect_success_total", "Clients that connected", ["id"])
        self._failed = metrics.counter(
            "edgehub_client_connect_failed_total", "Clients that were refused", ["reason"]
        )
        self._left = metrics.counter("edgehub_client_disconnect_total", "Clients that left", ["id"])
        self._offline = metrics.counter("edgehub_offline_count_total", "Times cut off from the hub", ["id"])
        self._offline_time = metrics.histogram(
            "edgehub_offline_duration_seconds",
            "Time cut off from the hub",
            ["id"],
            (1.0, 10.0, 60.0, 600.0, 3600.0),
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

    def sent(self, stored: Stored) -> None:
        """A message was delivered."""
        sender, _, bag = stored.headers.partition(b"\n")
        output = _output(bag)
        key = (stored.endpoint, sender, output, stored.priority)
        if (count := self._sent_by.get(key)) is None:
            to, name = input_of(stored.endpoint) or ("upstream", "")
            count = self._sent.labels(
                sender.decode(errors="replace"),
                to,
                unquote_to_bytes(output).decode(errors="replace"),
                name,
                str(stored.priority),
            )
            if len(self._sent_by) < SENT_MAX:
                self._sent_by[key] = count
        count.value += 1

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
            self._offline_time.labels(identity.client_id).observe(perf_counter() - began)

    @contextmanager
    def twin_get(self, identity: Identity) -> Iterator[None]:
        """Times a client's reading of its twin."""
        began = perf_counter()
        yield
        self._twin_gets.labels("edge_hub", identity.client_id).inc()
        self._twin_time.labels("edge_hub", identity.client_id).observe(perf_counter() - began)

    @contextmanager
    def reported(self, identity: Identity) -> Iterator[None]:
        """Times the taking of a client's report."""
        began = perf_counter()
        yield
        self._reports.labels("edge_hub", identity.client_id).inc()
        self._report_time.labels("edge_hub", identity.client_id).observe(perf_counter() - began)

    def method(self, target: Identity, status: int) -> None:
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

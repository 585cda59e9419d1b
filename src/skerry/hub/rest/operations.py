"""REST: what operators look at, health and metrics."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from skerry.hub.rest.callers import verbs_of
from skerry.hub.verbs import Verbs
from skerry.service.metrics import CONTENT_TYPE, Metrics


def routes(verbs: Verbs) -> list[BaseRoute]:
    metrics = Metrics()
    metrics.registry.register(HubNumbers(verbs))

    async def show_metrics(request: Request) -> Response:
        # Open, as scrapers expect; there is nothing about a single device in it.
        return Response(metrics.exposition(), headers={"content-type": CONTENT_TYPE})

    return [Route("/healthz", health, methods=["GET"]), Route("/metrics", show_metrics, methods=["GET"])]


async def health(request: Request) -> Response:
    """200 while the hub can read its storage; the error's status otherwise."""
    await verbs_of(request).registry.counts()
    return PlainTextResponse("Healthy")


class HubNumbers(Collector):
    """Read from the verbs when they are asked for, so that nothing is counted twice."""

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "skerry_hub_connected_clients", "Devices and modules connected now.", len(self._verbs.connections)
        )
        yield CounterMetricFamily(
            "skerry_hub_telemetry_stored", "Messages stored since the start.", self._verbs.telemetry.appended
        )
        refused = CounterMetricFamily(
            "skerry_hub_throttled",
            "Requests refused because their caller was over its rate.",
            labels=["kind"],
        )
        for kind, count in self._verbs.throttle.refused.items():
            refused.add_metric([kind.value], count)
        yield refused

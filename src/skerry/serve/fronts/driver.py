"""``/score`` answered by a user's scoring script, as Azure ML's server does it (tutorial.md a.4)."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from skerry.errors import SkerryError
from skerry.serve.batching import Admission
from skerry.serve.driver.script import Script
from skerry.serve.fronts.answers import json_response
from skerry.serve.fronts.azure_ml import failed
from skerry.serve.fronts.description import description_routes
from skerry.serve.fronts.operations import health_routes
from skerry.serve.http.message import Request, Response
from skerry.serve.http.router import Route
from skerry.service.metrics import CONTENT_TYPE, Metrics

RESPONSES = {
    200: "What run() returned",
    400: "Not text",
    500: "run() failed",
    503: "Too many requests wait; try again after Retry-After seconds",
}


class DriverFront:
    """Calls the script on a thread of its own, one request at a time: scripts expect a single worker."""

    def __init__(self, script: Script, *, admitted_max: int) -> None:
        self._script = script
        self._admission = Admission(admitted_max)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="driver")
        self._metrics = Metrics()
        self._answered = self._metrics.counter("skerry_serve_driver_answers", "Answers", ["status"])
        self._seconds = self._metrics.histogram("skerry_serve_driver_seconds", "Time of run()")

    def routes(self) -> list[Route]:
        """The tutorial's surface, and the numbers."""
        summary = "Score with the user's script"
        routes = [
            *health_routes(),
            Route("POST", "/score", self.score, failed, summary, ("application/json",), RESPONSES),
            Route("GET", "/score", self.score, failed, summary, (), RESPONSES),
            Route("GET", "/readyz", self.ready, failed, "Whether requests can be scored"),
            Route("GET", "/metrics", self.metrics, failed, "Numbers for Prometheus"),
        ]
        return [*routes, *description_routes(routes, lambda: "of a user's script")]

    async def score(self, request: Request) -> Response:
        """What the script answers; 503 while too many wait."""
        try:
            self._admission.admit(1)
        except SkerryError as exc:
            return self._counted(failed(exc))
        try:
            return await self.run(request)
        finally:
            self._admission.release(1)

    async def run(self, request: Request) -> Response:
        """As ``score``, for a caller that keeps to a bound of its own."""
        loop = asyncio.get_running_loop()
        with self._seconds.time():
            return self._counted(await loop.run_in_executor(self._thread, self._script.call, request))

    def ready(self, _request: Request) -> Response:
        return json_response({"ready": True, "waiting": self._admission.admitted})

    def metrics(self, _request: Request) -> Response:
        return Response(200, self._metrics.exposition(), CONTENT_TYPE)

    async def close(self) -> None:
        """Wait for the script to return."""
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)

    def _counted(self, response: Response) -> Response:
        self._answered.labels(str(response.status)).inc()
        return response

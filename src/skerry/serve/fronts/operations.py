"""What operators and orchestrators ask: alive, ready, numbers."""

from __future__ import annotations

from skerry.serve.fronts.answers import Plane, json_response
from skerry.serve.fronts.azure_ml import failed
from skerry.serve.http.message import Request, Response
from skerry.serve.http.router import Route


def operations_routes(plane: Plane) -> list[Route]:
    """``/`` and ``/healthz`` (Healthy), ``/readyz``, ``/metrics``."""
    scorer, measures = plane.scorer, plane.measures

    def ready(_request: Request) -> Response:
        return json_response({"ready": True, "model": scorer.package.digest, "waiting": scorer.waiting})

    def metrics(_request: Request) -> Response:
        # Imported here: the first one who asks waits for it, the start does not.
        from skerry.service.metrics import CONTENT_TYPE

        return Response(200, measures.exposition(scorer.waiting), CONTENT_TYPE)

    return [
        *health_routes(),
        Route("GET", "/readyz", ready, failed, "Whether images can be scored"),
        Route("GET", "/metrics", metrics, failed, "Numbers for Prometheus"),
    ]


def health_routes() -> list[Route]:
    """The probe of Azure ML's images, and its common name."""
    return [Route("GET", path, healthy, failed, "Whether the process answers") for path in ("/", "/healthz")]


def healthy(_request: Request) -> Response:
    """As Azure ML's images answer: one word, as HTML."""
    return Response(200, b"Healthy", "text/html; charset=utf-8")

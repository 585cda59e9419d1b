"""What the fronts share: JSON responses, statuses of errors, scoring with its counting."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl

from skerry.clock import iso
from skerry.errors import InvalidInput, SkerryError, Throttled, TooLarge, Unavailable, Unsupported
from skerry.serve.answer import Scored
from skerry.serve.http.message import Pairs, Request, Response
from skerry.serve.latest import LatestFrame
from skerry.serve.measures import Measures
from skerry.serve.protocol import Json, encode
from skerry.serve.scoring import Scorer

log = logging.getLogger(__name__)

JSON = "application/json"

# Half of the queue is done by then with a model of 30 ms.
RETRY_AFTER_S = 1

STATUS: tuple[tuple[type[SkerryError], int], ...] = (
    (TooLarge, 413),
    (Throttled, 503),
    (Unavailable, 503),
    (Unsupported, 415),
    (InvalidInput, 400),
)

# By what a caller says which camera an image is from.
SOURCE_HEADER, SOURCE_FIELD = "x-skerry-source", "source"


class Plane:
    """The data plane as the fronts use it: scored, counted, and latest frame first where that is set."""

    def __init__(self, scorer: Scorer, measures: Measures, *, latest: bool = False) -> None:
        self.scorer = scorer
        self.measures = measures
        self._latest = LatestFrame(scorer) if latest else None

    async def score(self, front: str, images: Sequence[bytes], request: Request) -> list[Scored]:
        """One answer per image. Raises as the scorer, and Superseded (status 503)."""
        try:
            source = source_of(request) if self._latest is not None else ""
            if self._latest is not None and source:
                scored = await self._latest.score(images, source)
            else:
                scored = await self.scorer.score(images)
        except SkerryError as exc:
            self.measures.refused(front, exc)
            raise
        self.measures.scored(front, scored)
        return scored

    def score_soon(self, front: str, image: bytes, done: Callable[[Scored | SkerryError], None]) -> bool:
        """As ``score`` for one image without a task; False where that cannot be (``Scorer.score_soon``)."""
        if self._latest is not None:
            return False

        def counted(found: Scored | SkerryError) -> None:
            if isinstance(found, SkerryError):
                self.measures.refused(front, found)
            else:
                self.measures.scored(front, (found,))
            done(found)

        try:
            return self.scorer.score_soon(image, counted)
        except SkerryError as exc:
            self.measures.refused(front, exc)
            raise


def source_of(request: Request) -> str:
    """The name of the camera the image is from; empty when the caller names none."""
    named = request.headers.get(SOURCE_HEADER, "")
    if named or not request.query:
        return named
    return dict(parse_qsl(request.query)).get(SOURCE_FIELD, "")


def json_response(document: Json, status: int = 200, headers: Pairs = ()) -> Response:
    """A response with a JSON body."""
    return Response(status, encode(document), JSON, headers)


def status_of(error: SkerryError) -> int:
    """The HTTP status of an error; 500, which is logged, when the mistake is ours."""
    status = next((status for kind, status in STATUS if isinstance(error, kind)), 500)
    if status == 500:
        log.error("scoring failed: %s", error)
    return status


def retry_after(status: int) -> Pairs:
    """The header that tells when to come back."""
    return (("retry-after", str(RETRY_AFTER_S)),) if status == 503 else ()


def provenance(scored: Sequence[Scored]) -> Pairs:
    """What a protocol's own body has no place for: by what, of what, when and how surely it was predicted."""
    first = scored[0]
    return (
        ("x-skerry-model", first.model),
        ("x-skerry-recipe", first.recipe),
        ("x-skerry-input", ", ".join(each.input for each in scored)),
        ("x-skerry-margin", ", ".join(f"{each.margin:.6f}" for each in scored)),
        ("x-skerry-latency-ms", f"{first.latency.total:.3f}"),
        ("x-skerry-time", iso(first.at)),
    )


def essence(request: Request) -> str:
    """The media type of the body without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()

"""REST: the enrolment service API (contract §5.4)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.errors import InvalidInput
from skerry.hub.enrollments import Enrollments, Page
from skerry.hub.policies import Right
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.bodies import read_object
from skerry.hub.rest.callers import if_match, require, verbs_of
from skerry.hub.rest.fleet import CONTINUATION, ITEM_TYPE, page_size

INDIVIDUAL, GROUP = "enrollments", "enrollmentGroups"


def routes() -> list[BaseRoute]:
    return [
        Route("/enrollments", change_many, methods=["POST"]),
        *(
            route
            for kind in (INDIVIDUAL, GROUP)
            for route in (
                Route(f"/{kind}/query", query, methods=["POST"]),
                Route(f"/{kind}/{{id}}", get, methods=["GET"]),
                Route(f"/{kind}/{{id}}", put, methods=["PUT"]),
                Route(f"/{kind}/{{id}}", delete, methods=["DELETE"]),
                Route(f"/{kind}/{{id}}/attestationmechanism", attestation, methods=["POST"]),
            )
        ),
        # Node's client spells this one path without the capital; at Azure it makes no difference.
        Route(f"/{GROUP.lower()}/{{id}}/attestationmechanism", attestation, methods=["POST"]),
        Route("/registrations/{id}", get_registration, methods=["GET"]),
        Route("/registrations/{id}", forget_registration, methods=["DELETE"]),
        Route("/registrations/{id}/query", query_registrations, methods=["POST"]),
        # Ours: the id scope that devices need, and who was refused lately.
        Route("/provisioning", overview, methods=["GET"]),
    ]


async def put(request: Request) -> Response:
    require(request, Right.ENROLLMENT_WRITE)
    document = await read_object(request)
    saved = await _verbs(request).put(document, _id(request), if_match(request), group=_group(request))
    return Answer(saved)


async def get(request: Request) -> Response:
    require(request, Right.ENROLLMENT_READ)
    return Answer(await _verbs(request).get(_id(request), group=_group(request)))


async def delete(request: Request) -> Response:
    require(request, Right.ENROLLMENT_WRITE)
    await _verbs(request).delete(_id(request), if_match(request), group=_group(request))
    return Response(status_code=204)


async def attestation(request: Request) -> Response:
    """The keys; they are the right to connect devices, so who may only read does not get them."""
    require(request, Right.ENROLLMENT_WRITE)
    return Answer(await _verbs(request).attestation(_id(request), group=_group(request)))


async def query(request: Request) -> Response:
    require(request, Right.ENROLLMENT_READ)
    text, size, after = await _query(request)
    group = _group(request)
    page = await _verbs(request).page(text, size, after, group=group)
    return _page(page, "enrollmentGroup" if group else "enrollment")


async def change_many(request: Request) -> Response:
    require(request, Right.ENROLLMENT_WRITE)
    return Answer(await _verbs(request).bulk(await read_object(request)))


async def get_registration(request: Request) -> Response:
    require(request, Right.ENROLLMENT_READ)
    return Answer(await _verbs(request).registration(_id(request)))


async def forget_registration(request: Request) -> Response:
    require(request, Right.ENROLLMENT_WRITE)
    await _verbs(request).forget_registration(_id(request), if_match(request))
    return Response(status_code=204)


async def query_registrations(request: Request) -> Response:
    require(request, Right.ENROLLMENT_READ)
    # Some clients send no query here, as there is but one to send.
    text, size, after = await _query(request, default="SELECT *")
    page = await _verbs(request).registrations(text, size, after, of_group=_id(request))
    return _page(page, "deviceRegistration")


async def overview(request: Request) -> Response:
    require(request, Right.ENROLLMENT_READ)
    service = verbs_of(request).provisioning
    return Answer(
        {"idScope": service.id_scope, "assignedHub": service.host_name, "refused": service.refusals}
    )


async def _query(request: Request, default: str | None = None) -> tuple[str, int, str | None]:
    text = (await read_object(request)).get("query", default)
    if not isinstance(text, str):
        raise InvalidInput("there is no query", hint='send {"query": "SELECT *"}', path="query")
    return text, page_size(request), request.headers.get(CONTINUATION)


def _page(page: Page, item_type: str) -> Response:
    more = {} if page.continuation is None else {CONTINUATION: page.continuation}
    return Answer(page.items, headers={ITEM_TYPE: item_type, **more})


def _verbs(request: Request) -> Enrollments:
    return verbs_of(request).enrollments


def _group(request: Request) -> bool:
    return request.url.path.lower().startswith(f"/{GROUP.lower()}/")


def _id(request: Request) -> str:
    return str(request.path_params["id"])

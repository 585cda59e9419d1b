"""REST: queries and bulk changes of devices, scheduled jobs (contract §4.2, §4.5, §4.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.contract.json_text import parse_json
from skerry.errors import InvalidInput
from skerry.hub.policies import Right
from skerry.hub.queries import PAGE_DEFAULT
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.bodies import read_body, read_object
from skerry.hub.rest.callers import require, verbs_of

ITEM_COUNT, ITEM_TYPE, CONTINUATION = "x-ms-max-item-count", "x-ms-item-type", "x-ms-continuation"
COUNT_MAX = 1_000_000
# Node's SDK reads the answer to a query of jobs as an array with headers; Python's, built on this library,
# only as an object, though it reads that of any other query as an array.
PYTHON_SDK = "msrest/"


def routes() -> list[BaseRoute]:
    return [
        Route("/devices/query", query_devices, methods=["POST"]),
        Route("/devices", change_devices, methods=["POST"]),
        Route("/jobs/v2/query", query_jobs, methods=["GET"]),
        Route("/jobs/v2/{job}", get_job, methods=["GET"]),
        Route("/jobs/v2/{job}", create_job, methods=["PUT"]),
        Route("/jobs/v2/{job}/cancel", cancel_job, methods=["POST"]),
        Route("/jobs/create", create_transfer, methods=["POST"]),
        Route("/jobs", list_transfers, methods=["GET"]),
        Route("/jobs/{job}", get_transfer, methods=["GET"]),
        Route("/jobs/{job}", cancel_transfer, methods=["DELETE"]),
    ]


async def query_devices(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    text = (await read_object(request)).get("query")
    if not isinstance(text, str):
        raise InvalidInput("there is no query", hint='send {"query": "SELECT …"}', path="query")
    page = await verbs_of(request).fleet.queries.page(
        text, page_size(request), request.headers.get(CONTINUATION)
    )
    return _page(page.items, page.item_type, page.continuation)


async def change_devices(request: Request) -> Response:
    """400 when any entry failed, with the same body: that is what the SDKs tell success by (§4.2)."""
    require(request, Right.REGISTRY_WRITE)
    result = await verbs_of(request).fleet.bulk.run(parse_json(await read_body(request)))
    return Answer(result, 200 if result["isSuccessful"] else 400)


async def create_job(request: Request) -> Response:
    require(request, Right.REGISTRY_WRITE)
    made = await verbs_of(request).fleet.jobs.create(await read_object(request), request.path_params["job"])
    return Answer(made)


async def get_job(request: Request) -> Response:
    require(request, Right.REGISTRY_READ)
    return Answer(await verbs_of(request).fleet.jobs.get(request.path_params["job"]))


async def cancel_job(request: Request) -> Response:
    require(request, Right.REGISTRY_WRITE)
    return Answer(await verbs_of(request).fleet.jobs.cancel(request.path_params["job"]))


async def query_jobs(request: Request) -> Response:
    require(request, Right.REGISTRY_READ)
    asked: Mapping[str, str] = request.query_params
    after = request.headers.get(CONTINUATION)
    items, more = await verbs_of(request).fleet.jobs.page(
        asked.get("jobType") or None, asked.get("jobStatus") or None, page_size(request), after
    )
    if PYTHON_SDK in request.headers.get("user-agent", ""):
        return Answer({"type": "jobResponse", "items": items, "continuationToken": more})
    return _page(items, "jobResponse", more)


async def create_transfer(request: Request) -> Response:
    """It reads and writes every key of the registry, at an address the caller names."""
    for right in (Right.REGISTRY_WRITE, Right.SERVICE_CONNECT):
        require(request, right)
    return Answer(await verbs_of(request).fleet.transfers.create(await read_object(request)))


async def list_transfers(request: Request) -> Response:
    require(request, Right.REGISTRY_READ)
    return Answer(verbs_of(request).fleet.transfers.listed())


async def get_transfer(request: Request) -> Response:
    require(request, Right.REGISTRY_READ)
    return Answer(verbs_of(request).fleet.transfers.get(request.path_params["job"]))


async def cancel_transfer(request: Request) -> Response:
    require(request, Right.REGISTRY_WRITE)
    await verbs_of(request).fleet.transfers.cancel(request.path_params["job"])
    return Response(status_code=204)


def _page(items: list[dict[str, Any]], item_type: str, continuation: str | None) -> Response:
    more = {} if continuation is None else {CONTINUATION: continuation}
    return Answer(items, headers={ITEM_TYPE: item_type, **more})


def page_size(request: Request) -> int:
    """How many rows a page may have, as the caller wants it; raises InvalidInput."""
    text = request.headers.get(ITEM_COUNT, "")
    if not text:
        return PAGE_DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) >= 1):
        raise InvalidInput(f"{ITEM_COUNT} is {text[:40]!r}", hint="a number from 1", field=ITEM_COUNT)
    return min(int(text), COUNT_MAX)

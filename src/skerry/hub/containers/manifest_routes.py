"""Manifests, tags, referrers and the catalogue over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.errors import InvalidInput
from skerry.hub.containers.access import CATALOG, DELETE, LIST, PULL, PUSH
from skerry.hub.containers.catalog import Manifest
from skerry.hub.containers.containers import checked_digest, checked_tag
from skerry.hub.containers.refusals import manifest_unknown
from skerry.hub.containers.requests import containers_of, document_body, grant_of, note, repository_of
from skerry.oci.image import OCI_INDEX

# The most names in one answer; clients follow the Link header to the next ones.
PAGE_MAX = 1000
JSON = "application/json"


def routes() -> list[BaseRoute]:
    manifest = "/{name:path}/manifests/{reference}"
    return [
        Route("/_catalog", catalog, methods=["GET"]),
        Route("/{name:path}/tags/list", tags, methods=["GET"]),
        Route("/{name:path}/referrers/{digest}", referrers, methods=["GET"]),
        Route(manifest, read, methods=["GET", "HEAD"]),
        Route(manifest, put, methods=["PUT"]),
        Route(manifest, delete, methods=["DELETE"]),
    ]


async def read(request: Request) -> Response:
    repository = repository_of(request, PULL)
    reference = request.path_params["reference"]
    try:
        _check(reference)
    except InvalidInput as exc:
        raise manifest_unknown(reference, repository) from exc
    found, data = await containers_of(request).manifest(repository, reference)
    headers = {"docker-content-digest": found.digest, "etag": f'"{found.digest}"'}
    if request.method == "HEAD":
        headers["content-length"] = str(len(data))
        return Response(headers=headers, media_type=found.media_type)
    return Response(data, headers=headers, media_type=found.media_type)


async def put(request: Request) -> Response:
    repository = repository_of(request, PUSH)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip() or None
    reference = request.path_params["reference"]
    _check(reference)
    digest, subject = await containers_of(request).put_manifest(
        repository, reference, await document_body(request), media_type, grant_of(request).who
    )
    await note(request, "image.push", f"{repository}/{reference}", after=digest)
    headers = {"location": f"/v2/{repository}/manifests/{digest}", "docker-content-digest": digest}
    if subject is not None:
        headers["oci-subject"] = subject
    return Response(status_code=201, headers=headers)


async def delete(request: Request) -> Response:
    repository = repository_of(request, DELETE)
    reference = request.path_params["reference"]
    _check(reference)
    await containers_of(request).delete(repository, reference, grant_of(request).who)
    await note(request, "image.delete", f"{repository}/{reference}")
    return Response(status_code=202)


async def referrers(request: Request) -> Response:
    """An index of what is attached to a manifest, perhaps of one type only."""
    repository = repository_of(request, PULL)
    digest = checked_digest(request.path_params["digest"])
    found = await containers_of(request).catalog.referrers(repository, digest)
    wanted = request.query_params.get("artifactType")
    listed = [_referrer(one) for one in found if wanted in (None, one.artifact_type)]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
    headers = {"oci-filters-applied": "artifactType"} if wanted is not None else {}
    return Response(json.dumps(document), headers=headers, media_type=OCI_INDEX)


async def tags(request: Request) -> Response:
    repository = repository_of(request, PULL)
    list_tags = containers_of(request).catalog.tags

    async def page(after: str, count: int) -> list[str]:
        return await list_tags(repository, after, count)

    return await _paged(request, "tags", page, {"name": repository})


async def catalog(request: Request) -> Response:
    """The repositories; like everything that shows more than was asked for by name, it needs the right."""
    grant_of(request).require(LIST, CATALOG)
    return await _paged(request, "repositories", containers_of(request).catalog.repositories, {})


async def _paged(
    request: Request,
    what: str,
    page: Callable[[str, int], Coroutine[Any, Any, list[str]]],
    about: dict[str, str],
) -> Response:
    count = request.query_params.get("n", str(PAGE_MAX))
    if not (count.isascii() and count.isdigit()) or len(count) > 9:
        raise InvalidInput(f"not a number: {count[:50]!r}", code_name="UNSUPPORTED")
    size = min(int(count), PAGE_MAX)
    found = await page(request.query_params.get("last", ""), size + 1)
    headers = {}
    if len(found) > size > 0:
        last = quote(found[size - 1], safe="")
        headers["link"] = f'</v2{request.scope["path"].removeprefix("/v2")}?n={size}&last={last}>; rel="next"'
    return Response(json.dumps({**about, what: found[:size]}), headers=headers, media_type=JSON)


def _referrer(manifest: Manifest) -> dict[str, object]:
    return {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": manifest.size,
        "artifactType": manifest.artifact_type,
        "annotations": dict(manifest.annotations),
    }


def _check(reference: str) -> None:
    checked_digest(reference) if ":" in reference else checked_tag(reference)

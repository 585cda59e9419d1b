"""Blobs over HTTP: read whole or in part, pushed at once or in chunks, mounted (distribution-spec 1.1)."""

from __future__ import annotations

import re

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from skerry.errors import InvalidInput, PreconditionFailed, Unsupported
from skerry.hub.containers.access import DELETE, PULL, PUSH
from skerry.hub.containers.containers import checked_digest, checked_repository
from skerry.hub.containers.refusals import blob_unknown, refusal
from skerry.hub.containers.requests import containers_of, gathered, grant_of, repository_of
from skerry.oci.digest import Digest

# distribution-spec, "Pushing a blob in chunks": both ends inclusive; some clients write the unit before them.
CONTENT_RANGE = re.compile(r"(?:bytes[ =])?([0-9]{1,15})-([0-9]{1,15})(?:/.*)?")
OCTETS = "application/octet-stream"


def routes() -> list[BaseRoute]:
    upload = "/{name:path}/blobs/uploads/{upload}"
    return [
        Route("/{name:path}/blobs/uploads/", begin, methods=["POST"]),
        Route("/{name:path}/blobs/uploads", begin, methods=["POST"]),
        Route(upload, state, methods=["GET"]),
        Route(upload, append, methods=["PATCH"]),
        Route(upload, finish, methods=["PUT"]),
        Route(upload, cancel, methods=["DELETE"]),
        Route("/{name:path}/blobs/{digest}", read, methods=["GET", "HEAD"]),
        Route("/{name:path}/blobs/{digest}", delete, methods=["DELETE"]),
    ]


async def read(request: Request) -> Response:
    """The blob; a part of it by Range, so that a broken pull goes on where it was."""
    repository = repository_of(request, PULL)
    digest = checked_digest(request.path_params["digest"])
    path, size = containers_of(request).blob(repository, digest)
    headers = {"docker-content-digest": digest, "etag": f'"{digest}"', "cache-control": "max-age=31536000"}
    if request.method == "HEAD":
        about = {**headers, "content-length": str(size), "accept-ranges": "bytes"}
        return Response(status_code=200, headers=about, media_type=OCTETS)
    return FileResponse(path, headers=headers, media_type=OCTETS)


async def delete(request: Request) -> Response:
    repository = repository_of(request, DELETE)
    digest = checked_digest(request.path_params["digest"])
    containers = containers_of(request)
    if containers.catalog.blob_size(repository, digest) is None:
        raise blob_unknown(digest, repository)
    if not await containers.catalog.unlink(repository, digest):
        raise Unsupported(f"a manifest of {repository} needs {digest}", hint="delete the manifest first")
    return Response(status_code=202)


async def begin(request: Request) -> Response:
    """A new upload; with ``digest`` the whole blob at once; with ``mount`` a blob of another repository."""
    repository = repository_of(request, PUSH)
    containers, query = containers_of(request), request.query_params
    if "mount" in query:
        digest = checked_digest(query["mount"])
        source = query.get("from") or containers.catalog.holder(digest) or repository
        checked_repository(source)
        # Who may not read there is served as if there was nothing: the client sends the blob itself.
        if grant_of(request).may_mount(source) and await containers.mount(repository, digest, source):
            return _created(repository, digest)
    upload = containers.uploads.begin()
    if "digest" not in query:
        return _accepted(repository, upload, 0)
    return await _take_rest(request, repository, upload, checked_digest(query["digest"]))


async def state(request: Request) -> Response:
    """How far an upload is."""
    repository = repository_of(request, PUSH)
    upload = request.path_params["upload"]
    size = containers_of(request).uploads.size(upload)
    return _accepted(repository, upload, size, status=204)


async def append(request: Request) -> Response:
    repository = repository_of(request, PUSH)
    upload = request.path_params["upload"]
    uploads = containers_of(request).uploads
    at = _content_range(request)
    try:
        size = await uploads.append(upload, gathered(request), at, _announced(request))
    except PreconditionFailed as error:
        status, body = refusal(error)
        return _accepted(repository, upload, uploads.size(upload), status=status, body=body)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it; what came is kept
    return _accepted(repository, upload, size)


async def finish(request: Request) -> Response:
    repository = repository_of(request, PUSH)
    if "digest" not in request.query_params:
        raise InvalidInput("the upload is finished with ?digest=", code_name="DIGEST_INVALID")
    digest = checked_digest(request.query_params["digest"])
    return await _take_rest(request, repository, request.path_params["upload"], digest)


async def cancel(request: Request) -> Response:
    repository_of(request, PUSH)
    containers_of(request).uploads.cancel(request.path_params["upload"])
    return Response(status_code=204)


async def _take_rest(request: Request, repository: str, upload: str, digest: Digest) -> Response:
    """Take what the body holds, perhaps nothing, and make the whole the blob."""
    containers = containers_of(request)
    at = _content_range(request)
    try:
        await containers.uploads.append(upload, gathered(request), at, _announced(request))
    except PreconditionFailed as error:
        status, body = refusal(error)
        return _accepted(repository, upload, containers.uploads.size(upload), status=status, body=body)
    except ClientDisconnect:
        return Response(status_code=400)
    await containers.finish(repository, upload, digest)
    return _created(repository, digest)


def _created(repository: str, digest: Digest) -> Response:
    headers = {"location": f"/v2/{repository}/blobs/{digest}", "docker-content-digest": digest}
    return Response(status_code=201, headers=headers)


def _accepted(
    repository: str, upload: str, size: int, *, status: int = 202, body: bytes | None = None
) -> Response:
    headers = {
        "location": f"/v2/{repository}/blobs/uploads/{upload}",
        "range": f"0-{max(size - 1, 0)}",
        "docker-upload-uuid": upload,
        # Ours: "0-0" says one byte or none.
        "skerry-upload-size": str(size),
    }
    return Response(body, status_code=status, headers=headers)


def _content_range(request: Request) -> int | None:
    """Where the client says that its bytes belong."""
    text = request.headers.get("content-range")
    if text is None:
        return None
    if (match := CONTENT_RANGE.fullmatch(text)) is None:
        raise PreconditionFailed(f"not a range of bytes: {text[:100]!r}", hint="first-last")
    return int(match[1])


def _announced(request: Request) -> int:
    text = request.headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0

"""REST: the store for uploaded files, in the part of Azure's blob protocol that its clients upload by.

A device writes by the token it was given; a service reads and deletes by its policy's.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from email.utils import format_datetime
from xml.sax.saxutils import escape

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from skerry.contract.file_upload import CONTAINER, BlobName
from skerry.contract.resources import error_code
from skerry.errors import InvalidInput, NotAuthenticated, SkerryError
from skerry.hub.fresh import fresh_tracking
from skerry.hub.policies import Right
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.bodies import read_body
from skerry.hub.rest.callers import require, verbs_of
from skerry.hub.upload_rows import Blob, Upload

# The version of the protocol that is answered; clients take any.
VERSION = "2021-12-02"
# A block list is one element per part, between these.
_LIST = re.compile(rb"\s*(<\?xml[^>]*\?>)?\s*<BlockList\s*>(.*)</BlockList>\s*", re.DOTALL)
_BLOCK = re.compile(rb"\s*<(Latest|Uncommitted|Committed)>([A-Za-z0-9+/=]{1,88})</\1>\s*")
BINARY = "application/octet-stream"

Endpoint = Callable[[Request], Awaitable[Response]]


def routes() -> list[BaseRoute]:
    blob = f"/{CONTAINER}/{{blob:path}}"
    return [
        Route(f"/{CONTAINER}", list_blobs, methods=["GET"]),
        Route(blob, _in_blob_style(put), methods=["PUT"]),
        Route(blob, _in_blob_style(get), methods=["GET", "HEAD"]),
        Route(blob, _in_blob_style(delete), methods=["DELETE"]),
    ]


async def list_blobs(request: Request) -> Response:
    """Ours: names, sizes and times as JSON, a thousand after ``after``."""
    require(request, Right.SERVICE_CONNECT)
    query = request.query_params
    return Answer(await verbs_of(request).uploads.list(query.get("device"), query.get("after", "")))


async def put(request: Request) -> Response:
    """Put Blob, Put Block or Put Block List, by ``comp``."""
    upload = _upload(request)
    uploads, md5 = verbs_of(request).uploads, request.headers.get("content-md5")
    content_type = request.headers.get("x-ms-blob-content-type") or request.headers.get("content-type")
    new = request.headers.get("if-none-match") == "*"
    match request.query_params.get("comp"):
        case None:
            if request.headers.get("x-ms-blob-type") != "BlockBlob":
                raise InvalidInput(
                    "x-ms-blob-type is not BlockBlob", code_name="InvalidHeaderValue", field="x-ms-blob-type"
                )
            blob = await uploads.write(
                upload, _body(request), content_type=content_type or BINARY, md5=md5, new=new
            )
        case "block":
            found = await uploads.write_block(upload, _block_id(request), _body(request), md5=md5)
            return Response(status_code=201, headers={"content-md5": found, **_common()})
        case "blocklist":
            # The content type of this request is that of the list.
            kind = request.headers.get("x-ms-blob-content-type") or BINARY
            blocks = _block_list(await read_body(request))
            blob = await uploads.commit(upload, blocks, content_type=kind, new=new)
        case other:
            raise InvalidInput(
                f"comp is {other[:40]!r}",
                hint="block, blocklist or none",
                code_name="InvalidQueryParameterValue",
            )
    return Response(status_code=201, headers=_headers(blob))


async def get(request: Request) -> Response:
    """The file, or a range of it; a device may read what it is writing."""
    if "sig" in request.query_params:
        _upload(request)
    else:
        require(request, Right.SERVICE_CONNECT)
    blob, path = await verbs_of(request).uploads.open(_name(request))
    # Uploaded by a device: a browser must not take it for a page of ours.
    safe = {"x-content-type-options": "nosniff", "content-disposition": "attachment"}
    return FileResponse(path, media_type=blob.content_type, headers={**_headers(blob), **safe})


async def delete(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    await verbs_of(request).uploads.delete(_name(request))
    return Response(status_code=202, headers=_common())


def _name(request: Request) -> BlobName:
    return BlobName.parse(request.path_params["blob"])


def _upload(request: Request) -> Upload:
    return verbs_of(request).uploads.authorize(_name(request), request.query_params.get("sig", ""))


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as gone:
        raise InvalidInput("the client went away in the middle of the content") from gone


def _block_id(request: Request) -> str:
    text = request.query_params.get("blockid", "")
    try:
        # Azure: base64 of at most 64 bytes.
        legal = 0 < len(base64.b64decode(text, validate=True)) <= 64
    except (binascii.Error, ValueError):
        legal = False
    if not legal:
        raise InvalidInput(
            f"blockid is {text[:40]!r}",
            hint="base64 of 1 to 64 bytes",
            code_name="InvalidQueryParameterValue",
            field="blockid",
        )
    return text


def _block_list(body: bytes) -> list[str]:
    found = _LIST.fullmatch(body)
    blocks, rest = [], b"?" if found is None else found[2]
    while (one := _BLOCK.match(rest)) is not None:
        blocks.append(one[2].decode())
        rest = rest[one.end() :]
    if rest.strip():
        raise InvalidInput("the block list is not one", code_name="InvalidXmlDocument")
    return blocks


def _headers(blob: Blob) -> Mapping[str, str]:
    return {
        "etag": f'"{blob.etag}"',
        "last-modified": format_datetime(datetime.fromisoformat(blob.modified), usegmt=True),
        "content-md5": blob.md5,
        "x-ms-blob-type": "BlockBlob",
        "accept-ranges": "bytes",
        **_common(),
    }


def _common() -> Mapping[str, str]:
    return {
        "x-ms-request-id": fresh_tracking(),
        "x-ms-version": VERSION,
        "x-ms-request-server-encrypted": "false",
    }


def _in_blob_style(endpoint: Endpoint) -> Endpoint:
    """Errors as Azure's blob clients read them: a header, and a small XML document."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except SkerryError as error:
            status, code = error_code(error, "Blob")
            if isinstance(error, NotAuthenticated) and "sig" in request.query_params:
                status, code = 403, "AuthenticationFailed"
            text = f"<Error><Code>{escape(code)}</Code><Message>{escape(str(error))}</Message></Error>"
            headers = {"x-ms-error-code": code, **_common()}
            body = f'<?xml version="1.0" encoding="utf-8"?>{text}'.encode("utf-8", "replace")
            return Response(body, status, media_type="application/xml", headers=headers)

    return answered

"""The OpenAPI document of the HTTPS front, made from its table of calls."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import skerry
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.calls import BYTES, CALLS, JSON, XML, Call
from skerry.hub.rest.schemas import NUMBER, SCHEMAS, TEXT, Json

# What may be wrong with any call; who makes a client has to expect each of them.
REFUSALS: Mapping[int, str] = {
    400: "What was sent breaks a rule; the body says which",
    401: "Who asks did not prove who it is",
    403: "Who asks may not do this",
    404: "What was named is not there",
    405: "Not this method",
    409: "It is there already",
    412: "It has changed meanwhile",
    413: "Too large",
    429: "Too many requests; see Retry-After",
    501: "A legal request for something that this hub does not do",
    503: "Not now",
    504: "The device did not answer in time",
}
NUMBERS = frozenset(("top", "limit", "wait", "deviceCount", "through", "before"))


def routes() -> list[BaseRoute]:
    return [Route("/openapi.json", show, methods=["GET"])]


async def show(request: Request) -> Response:
    """Open: it says what any hub can do, nothing of this one."""
    return Answer(document())


def document() -> Json:
    """OpenAPI 3.1; tests hold every route and every answer to it."""
    paths: dict[str, Json] = {}
    for name, call in CALLS.items():
        method, path = name.split(" ")
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, call)
    return {
        "openapi": "3.1.0",
        "info": {"title": "skerry hub", "version": skerry.__version__},
        "paths": paths,
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {
                "sas": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "SharedAccessSignature sr=…&sig=…&se=…[&skn=policy]",
                }
            },
        },
    }


def _operation(method: str, path: str, call: Call) -> Json:
    words = re.findall(r"\w+", path)
    found: Json = {
        "operationId": "_".join([method.lower(), *words]) + "_" * path.endswith("/"),
        "summary": call.summary,
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": _NAME} for name in _names(path)),
            *(
                {"name": name, "in": "query", "schema": NUMBER if name in NUMBERS else TEXT}
                for name in call.query
            ),
        ],
        "responses": _responses(path, call),
        "security": [{"sas": []}] if call.by_key else [],
    }
    if call.body:
        media = BYTES if call.body == "Bytes" else JSON
        found["requestBody"] = {"required": True, "content": {media: {"schema": _ref(call.body)}}}
    return found


_NAME: Json = {"type": "string", "minLength": 1, "maxLength": 128}


def _names(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def _responses(path: str, call: Call) -> Json:
    done: Json = {"description": "Done"}
    if call.answer:
        done["content"] = {call.media: {"schema": _ref(call.answer)}}
    found = {str(call.ok): done}
    if call.empty:
        found["204"] = {"description": "There is nothing"}
    for status, text in REFUSALS.items():
        found[str(status)] = {"description": text, "content": _refusal(path, call)}
    return found


def _refusal(path: str, call: Call) -> Json:
    shapes = [_ref("Error"), _ref("ProvisioningError")]
    if call.answer == "BulkResult":
        shapes.append(_ref("BulkResult"))
    content: Json = {JSON: {"schema": {"anyOf": shapes}}}
    if path.startswith("/uploads/"):
        content[XML] = {"schema": {}}
    return content


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}

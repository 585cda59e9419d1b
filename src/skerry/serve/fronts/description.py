"""The descriptions of the HTTP interface, made from its routes: Swagger 2.0 (as Azure ML) and OpenAPI 3."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from skerry.serve.fronts.answers import json_response
from skerry.serve.fronts.azure_ml import failed
from skerry.serve.http.message import Request, Response
from skerry.serve.http.router import Route
from skerry.serve.protocol import Json

DOCUMENT: Json = {"type": "object"}
TITLE = "Skerry CNN module"


def description_routes(
    routes: Sequence[Route],
    model: Callable[[], str],
    names: Callable[[], Mapping[str, str]] = dict,
) -> list[Route]:
    """``/swagger.json`` and ``/openapi.json`` of ``routes`` and of themselves, for the current model.

    ``names``: parts of paths that have one legal value.
    """

    def swagger(_request: Request) -> Response:
        return json_response(swagger_document([*routes, *mine], model()))

    def openapi(_request: Request) -> Response:
        return json_response(openapi_document([*routes, *mine], model(), names()))

    mine = [
        Route(
            "GET", "/swagger.json", swagger, failed, "This interface as Swagger 2.0", gives={200: DOCUMENT}
        ),
        Route("GET", "/openapi.json", openapi, failed, "This interface as OpenAPI 3", gives={200: DOCUMENT}),
    ]
    return mine


def swagger_document(routes: Sequence[Route], model: str) -> Json:
    """A Swagger 2.0 document."""
    return {"swagger": "2.0", "info": _info(model), "paths": _paths(routes, _swagger_operation, {})}


def openapi_document(routes: Sequence[Route], model: str, names: Mapping[str, str]) -> Json:
    """An OpenAPI 3.0 document."""
    return {"openapi": "3.0.3", "info": _info(model), "paths": _paths(routes, _openapi_operation, names)}


def _info(model: str) -> Json:
    return {"title": TITLE, "version": "1.0", "description": f"Model {model}"}


def _paths(
    routes: Sequence[Route],
    operation: Callable[[Route, Mapping[str, str]], Json],
    known: Mapping[str, str],
) -> Json:
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route, known)
    return paths


def _common(route: Route) -> dict[str, Json]:
    identifier = "RunMLService" if (route.method, route.path) == ("POST", "/score") else _identifier(route)
    responses = {str(status): {"description": text} for status, text in route.responses.items()}
    return {"operationId": identifier, "summary": route.summary, "responses": responses}


def _identifier(route: Route) -> str:
    words = re.findall(r"\w+", route.path)
    return "_".join([route.method.lower(), *words]) if words else route.method.lower()


def _names(route: Route) -> list[str]:
    return re.findall(r"\{(\w+)\}", route.path)


def _swagger_operation(route: Route, _known: Mapping[str, str]) -> Json:
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "type": "string"} for name in _names(route)
    ]
    found = _common(route)
    if route.consumes:
        form = "multipart/form-data" in route.consumes
        found["consumes"] = list(route.consumes)
        found["produces"] = ["application/json"]
        parameters.append(
            {"name": "image", "in": "formData", "type": "file", "description": "JPEG or PNG"}
            if form
            else {"name": "body", "in": "body", "required": True, "schema": {}}
        )
    return {**found, "parameters": parameters}


def _openapi_operation(route: Route, known: Mapping[str, str]) -> Json:
    found = _common(route)
    found["parameters"] = [
        {"name": name, "in": "path", "required": True, "schema": _name_schema(name, known)}
        for name in _names(route)
    ]
    if route.consumes:
        content = {kind: {"schema": _schema(kind, route)} for kind in route.consumes}
        found["requestBody"] = {"required": True, "content": content}
    for status, response in found["responses"].items():
        gives = route.gives.get(int(status)) or (route.gives.get(0) if int(status) >= 400 else None)
        if gives is not None:
            response["content"] = {"application/json": {"schema": gives}}
    return found


def _name_schema(name: str, known: Mapping[str, str]) -> Json:
    """Any text of one character or more, or the one name there is."""
    return {"type": "string", "enum": [known[name]]} if name in known else {"type": "string", "minLength": 1}


def _schema(kind: str, route: Route) -> Json:
    if kind == "application/json":
        return route.takes or {"type": "object"}
    if kind == "multipart/form-data":
        return {"type": "object", "additionalProperties": {"type": "string", "format": "binary"}}
    return {"type": "string", "format": "binary"}

"""The OpenAPI 3.1 document of what the hub answers; pure."""

from __future__ import annotations

import http
from typing import TYPE_CHECKING, Any

import msgspec

from kiosk.model import Event
from sync.hub.routes import Refusal
from sync.protocol import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sync.hub.routes import Param, Route

_JSON = "application/json"
_REFUSALS = (400, 401, 403, 413, 429, 503)


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """All routes with their parameters, bodies and answers, and the schemas these are made of."""
    routes = list(routes)
    types = [t for route in routes for t in _types(route)]
    schemas, components = msgspec.json.schema_components(
        [*types, Refusal, Event], ref_template="#/components/schemas/{name}"
    )
    # The messages leave an event the bytes that its author hashed: say what is in them.
    components["Push"]["properties"]["events"]["items"] = schemas[-1]
    components["Item"]["properties"]["event"] = schemas[-1]
    known = dict(zip([repr(t) for t in (*types, Refusal, Event)], schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, known)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Whorl hub", "version": str(VERSION)},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _types(route: Route) -> list[Any]:
    wanted = [route.body, *(route.answers or {}).values()]
    return [one for one in wanted if one is not None and not isinstance(one, str)]


def _operation(route: Route, known: dict[str, Any]) -> dict[str, Any]:
    answers = {
        str(status): _content(http.HTTPStatus(status).phrase, kind, known)
        for status, kind in (route.answers or {}).items()
    }
    refusals = (413, 503) if route.public else _REFUSALS
    for status in refusals:
        answers[str(status)] = _content(http.HTTPStatus(status).phrase, Refusal, known)
    operation: dict[str, Any] = {
        "summary": route.about,
        "parameters": [_parameter(param, route.path) for param in route.params],
        "responses": answers,
        "security": [] if route.public else [{"token": []}],
    }
    if route.body is not None:
        body = {_JSON: {"schema": known[repr(route.body)]}}
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _parameter(param: Param, path: str) -> dict[str, Any]:
    text: dict[str, Any] = {"type": "string"}
    where = "path" if f"{{{param.name}}}" in path else "query"
    return {
        "name": param.name,
        "in": where,
        "description": param.about,
        "required": param.required,
        "schema": {"type": "array", "items": text} if param.many else text,
    }


def _content(phrase: str, kind: Any, known: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401  a type
    found: dict[str, Any] = {"description": phrase}
    if isinstance(kind, str):
        found["content"] = {kind: {"schema": {"type": "string"}}}
    elif kind is not None:
        found["content"] = {_JSON: {"schema": known[repr(kind)]}}
    return found

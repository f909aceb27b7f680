"""What the OpenAPI document says beyond what FastAPI finds out by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from mmsearch.server.guard.refusals import MEDIA_TYPE, PROBLEM
from mmsearch.server.http import answers, requests
from mmsearch.server.http import problems as kinds

if TYPE_CHECKING:
    from fastapi import FastAPI
    from pydantic import BaseModel

DESCRIPTION = """Search by meaning over the images, sounds, videos and texts of a library on this
machine. Nothing leaves it, and no URL is ever fetched.

Errors are problem details (RFC 9457) of the media type `application/problem+json`; their `type`
is a stable name. Where a server is busy it answers 429 with `Retry-After`."""
ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_EVERYWHERE = (kinds.MALFORMED, kinds.INTERNAL)
_WITH_BODY = (kinds.TOO_LARGE, kinds.WRONG_TYPE, kinds.INVALID)
_WAITING = (kinds.BUSY, kinds.UNAVAILABLE, kinds.TOO_SLOW)
_GUARDED: dict[int | str, str] = {
    401: "A token is asked for, and none or another was sent.",
    403: "A page of another site asks.",
    421: "The `Host` header names another server.",
    "default": "Whatever else is wrong.",
}


_FILE = {
    "description": "A file to search by: a picture, a recording, a film, a text; may be repeated. "
    "Parts of other names are there for the terms that name them.",
    "type": "string",
    "contentMediaType": "application/octet-stream",
    "format": "mmsearch-media",
}


def problems(
    *found: kinds.Kind, body: bool = False, waits: bool = False
) -> dict[int | str, dict[str, Any]]:
    """The problems that an operation may answer with, as `responses` of a route.

    `body` is whether it reads one, `waits` whether it takes its turn.
    """
    named = (*_EVERYWHERE, *(_WITH_BODY if body else ()), *(_WAITING if waits else ()), *found)
    responses: dict[int | str, dict[str, Any]] = {}
    for status in sorted({one.status for one in named}):
        alike = [one for one in named if one.status == status]
        responses[status] = _response("; ".join(dict.fromkeys(one.title for one in alike)), alike)
        if status in (kinds.BUSY.status, kinds.UNAVAILABLE.status):
            responses[status]["headers"] = {
                "Retry-After": {"description": "In seconds.", "schema": {"type": "integer"}}
            }
    for status, said in _GUARDED.items():
        responses.setdefault(status, _response(said, []))
    return responses


def _response(description: str, alike: list[kinds.Kind]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
    if alike:
        content["examples"] = {
            one.name: {
                "summary": one.title,
                "value": {
                    "type": PROBLEM + one.name,
                    "title": one.title,
                    "status": one.status,
                    "detail": "",
                },
            }
            for one in alike
        }
    return {"description": description, "content": {MEDIA_TYPE: content}}


def search_body() -> dict[str, Any]:
    """The body of a search, which its handler reads itself."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _ref(requests.SearchBody.__name__),
                    "examples": {
                        "words": {
                            "summary": "Pictures of something",
                            "value": {"query": "dog on a beach", "kinds": ["image"], "limit": 5},
                        },
                        "weighed": {
                            "summary": "Terms with weights, and one to avoid",
                            "value": {
                                "terms": [{"text": "harbour"}, {"text": "boats", "weight": 0.5}],
                                "not": [{"text": "people"}],
                                "after": "2020",
                                "where": "not camera ~ canon",
                            },
                        },
                    },
                },
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "request": _ref(requests.UploadSearchBody.__name__),
                            "file": _FILE,
                        },
                        "required": ["request", "file"],
                        "additionalProperties": False,
                    },
                    "encoding": {"request": {"contentType": "application/json"}},
                },
            },
        }
    }


def json_body(model: type[Any], examples: dict[str, Any]) -> dict[str, Any]:
    """A JSON body that its handler reads itself."""
    content = {"schema": _ref(model.__name__), "examples": examples}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _plain_paths() -> dict[str, Any]:
    """The routes that are plain Starlette, of which FastAPI knows nothing."""
    asset = {"name": "asset_id", "in": "path", "required": True, "schema": ID}
    not_there = (kinds.NO_SUCH_ASSET, kinds.GONE, kinds.INVALID)
    not_pictured = (*not_there, kinds.NO_SUCH_PICTURE, kinds.NOT_INSTALLED)
    return {
        "/metrics": {
            "get": {
                "tags": ["server"],
                "operationId": "metrics",
                "summary": "How the server does, for Prometheus",
                "responses": {
                    "200": {
                        "description": "Figures in Prometheus' text format.",
                        "content": {"text/plain": {"schema": {"type": "string"}}},
                    },
                    **_keyed(problems()),
                },
            }
        },
        "/v1/assets/{asset_id}/thumbnail": {
            "get": {
                "tags": ["assets"],
                "operationId": "thumbnail",
                "summary": "A picture of an asset, of a moment of it, or its waveform",
                "parameters": [
                    asset,
                    _parameter("t", "number", "The moment of a film, in seconds.", minimum=0),
                    _parameter(
                        "page", "integer", "The page of an image.", minimum=1, maximum=999_999_999
                    ),
                    _parameter("px", "integer", "The longer side.", minimum=16, maximum=2048),
                    _parameter("kind", "string", "What to draw.", enum=["picture", "waveform"]),
                    _parameter("start_s", "number", "Where a waveform begins.", minimum=0),
                    _parameter("end_s", "number", "Where a waveform ends.", minimum=0),
                ],
                "responses": {
                    "200": _bytes("A picture.", "image/jpeg", "image/webp", "image/png"),
                    "304": {"description": "It is the one that the client has."},
                    **_keyed(problems(*not_pictured, waits=True)),
                },
            }
        },
        "/v1/assets/{asset_id}/media": {
            "get": {
                "tags": ["assets"],
                "operationId": "media",
                "summary": "The file itself, or a part of it (RFC 9110 ranges)",
                "description": "Only while it is as it was indexed. What a browser would run is "
                "sent as text or as an attachment.",
                "parameters": [
                    asset,
                    _parameter("download", "boolean", "As an attachment."),
                ],
                "responses": {
                    "200": _bytes("The file.", "*/*"),
                    "206": _bytes("A part of it.", "*/*"),
                    "304": {"description": "It is the one that the client has."},
                    "416": _response("There is no such part.", []),
                    **_keyed(problems(*not_there, waits=True)),
                },
            }
        },
    }


def _parameter(name: str, type_: str, description: str, **more: Any) -> dict[str, Any]:
    schema = {"type": type_, **more}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _bytes(description: str, *media_types: str) -> dict[str, Any]:
    return {"description": description, "content": {one: {} for one in media_types}}


def _keyed(responses: dict[int | str, dict[str, Any]]) -> dict[str, Any]:
    return {str(status): said for status, said in responses.items()}


def describe(app: FastAPI, *, has_token: bool) -> dict[str, Any]:
    """The whole document."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    components = document.setdefault("components", {})
    known = components.setdefault("schemas", {})
    described: list[type[BaseModel]] = [*requests.REQUESTS, answers.ProblemDetails]
    for model in described:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, part in schema.pop("$defs", {}).items():
            known.setdefault(name, part)
        known[model.__name__] = schema
    document["paths"] |= _plain_paths()
    if has_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            if path not in ("/healthz", "/readyz"):
                for operation in operations.values():
                    operation["security"] = [{"token": []}]
    return document

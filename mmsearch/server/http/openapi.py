"""Describes in the OpenAPI document what FastAPI does not find out by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from mmsearch.server import problems as kinds
from mmsearch.server.http import answers, requests
from mmsearch.server.problems import MEDIA_TYPE, describe_problem

if TYPE_CHECKING:
    from fastapi import FastAPI
    from pydantic import BaseModel

DESCRIPTION = """Search by meaning over the images, sounds, videos and texts of a library on this
machine. Nothing leaves it, and no URL is ever fetched.

Errors are problem details (RFC 9457) of the media type `application/problem+json`; their `type`
is a stable name. Where a server is busy it answers 429 with `Retry-After`."""
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
    *types: kinds.ProblemType, body: bool = False, waits: bool = False
) -> dict[int | str, dict[str, Any]]:
    """Describes the problems that an operation may answer, as `responses` of a route.

    `body`: it reads a body; `waits`: it waits for its turn.
    """
    types = (*_EVERYWHERE, *(_WITH_BODY if body else ()), *(_WAITING if waits else ()), *types)
    responses: dict[int | str, dict[str, Any]] = {}
    for status in sorted({type_.status for type_ in types}):
        alike = [type_ for type_ in types if type_.status == status]
        titles = dict.fromkeys(type_.title for type_ in alike)
        responses[status] = _describe_response("; ".join(titles), alike)
        if status in (kinds.BUSY.status, kinds.UNAVAILABLE.status):
            responses[status]["headers"] = {
                "Retry-After": {"description": "In seconds.", "schema": {"type": "integer"}}
            }
    for guarded_status, description in _GUARDED.items():
        responses.setdefault(guarded_status, _describe_response(description, []))
    return responses


def _describe_response(description: str, alike: list[kinds.ProblemType]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
    if alike:
        content["examples"] = {
            type_.name: {"summary": type_.title, "value": describe_problem(type_)}
            for type_ in alike
        }
    return {"description": description, "content": {MEDIA_TYPE: content}}


def search_body() -> dict[str, Any]:
    """Describes the body of a search, which its handler reads itself."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _ref(schema_name(requests.SearchBody)),
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
                            "request": _ref(schema_name(requests.UploadSearchBody)),
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
    """Describes a JSON body that its handler reads itself."""
    content = {"schema": _ref(model.__name__), "examples": examples}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def schema_name(model: type[BaseModel]) -> str:
    """Returns the name of a model in the document: its title, else that of its class."""
    return model.model_config.get("title") or model.__name__


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _describe_plain_routes() -> dict[str, Any]:
    """Describes the routes that are plain Starlette, which FastAPI does not know."""
    asset = {
        "name": "asset_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": requests.ID_PATTERN},
    }
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
                    **_key_by_text(problems()),
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
                    _describe_parameter(
                        "t", "number", "The moment of a film, in seconds.", minimum=0
                    ),
                    _describe_parameter(
                        "page", "integer", "The page of an image.", minimum=1, maximum=999_999_999
                    ),
                    _describe_parameter(
                        "px", "integer", "The longer side.", minimum=16, maximum=2048
                    ),
                    _describe_parameter(
                        "kind", "string", "What to draw.", enum=["picture", "waveform"]
                    ),
                    _describe_parameter("start_s", "number", "Where a waveform begins.", minimum=0),
                    _describe_parameter("end_s", "number", "Where a waveform ends.", minimum=0),
                ],
                "responses": {
                    "200": _describe_content("A picture.", "image/jpeg", "image/webp", "image/png"),
                    "304": {"description": "It is the one that the client has."},
                    **_key_by_text(problems(*not_pictured, waits=True)),
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
                    _describe_parameter("download", "boolean", "As an attachment."),
                ],
                "responses": {
                    "200": _describe_content("The file.", "*/*"),
                    "206": _describe_content("A part of it.", "*/*"),
                    "304": {"description": "It is the one that the client has."},
                    "416": _describe_response("There is no such part.", []),
                    **_key_by_text(problems(*not_there, waits=True)),
                },
            }
        },
    }


def _describe_parameter(name: str, type_: str, description: str, **more: Any) -> dict[str, Any]:
    schema = {"type": type_, **more}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _describe_content(description: str, *media_types: str) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {} for media_type in media_types}}


def _key_by_text(responses: dict[int | str, dict[str, Any]]) -> dict[str, Any]:
    return {str(status): response for status, response in responses.items()}


def _drop_time_formats(schemas: dict[str, Any]) -> None:
    """Removes `format: date-time`: a camera may know no time zone, which RFC 3339 demands."""
    for schema in schemas.values():
        for member in schema.get("properties", {}).values():
            for variant in (member, *member.get("anyOf", ())):
                if variant.get("format") == "date-time":
                    del variant["format"]


def describe(app: FastAPI, *, has_token: bool) -> dict[str, Any]:
    """Builds the OpenAPI document."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    described: list[type[BaseModel]] = [*requests.REQUESTS, answers.ProblemDetails]
    for model in described:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, part in schema.pop("$defs", {}).items():
            schemas.setdefault(name, part)
        schemas[schema_name(model)] = schema
    _drop_time_formats(schemas)
    document["paths"] |= _describe_plain_routes()
    if has_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            if path not in ("/healthz", "/readyz"):
                for operation in operations.values():
                    operation["security"] = [{"token": []}]
    return document

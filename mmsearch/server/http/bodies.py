"""JSON bodies: reads those of requests within a limit, checks them, writes those of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from mmsearch.serialization.json_format import write_json_bytes
from mmsearch.server import problems
from mmsearch.server.http.problems import build_invalid
from mmsearch.server.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

M = TypeVar("M", bound=BaseModel)

JSON_BYTES = 2 * 1024**2


def get_media_type(request: Request) -> str:
    """Returns the media type of the body without parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(request: Request, model: type[M], *, limit: int = JSON_BYTES) -> M:
    """Reads a body and checks it; raises Problem for another type, one too large or invalid."""
    media_type = get_media_type(request)
    if media_type != "application/json":
        raise Problem(
            problems.WRONG_TYPE,
            f"send JSON with `Content-Type: application/json`, not {media_type or 'nothing'}",
        )
    return validate_json(await _read(request, limit), model)


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Problem(
                problems.TOO_LARGE, f"the body may have {limit:,} bytes", limit_bytes=limit
            )
    return bytes(body)


def write_response(
    answer: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Writes an answer as JSON."""
    return Response(write_json_bytes(answer), status, headers, media_type="application/json")


def validate_json(body: bytes | bytearray, model: type[M]) -> M:
    """Parses JSON as a model; raises Problem with the places that are not as described."""
    try:
        return model.model_validate_json(body)
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_context=False, include_input=False)
        if errors and errors[0]["type"] == "json_invalid":
            raise Problem(problems.MALFORMED, str(errors[0]["msg"])) from exc
        raise build_invalid(errors) from exc

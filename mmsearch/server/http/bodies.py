"""Bodies of requests: read within a limit, and checked against their models."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from mmsearch.server.http import problems
from mmsearch.server.http.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

M = TypeVar("M", bound=BaseModel)

JSON_BYTES = 2 * 1024**2


def media_type(request: Request) -> str:
    """What the body is said to be, without parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(request: Request, model: type[M], *, limit: int = JSON_BYTES) -> M:
    """The body, checked; raises Problem where it is none, too large, or not as described."""
    said = media_type(request)
    if said != "application/json":
        raise Problem(
            problems.WRONG_TYPE,
            f"send JSON with `Content-Type: application/json`, not {said or 'nothing'}",
        )
    return checked(await _read(request, limit), model)


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Problem(
                problems.TOO_LARGE, f"the body may have {limit:,} bytes", limit_bytes=limit
            )
    return bytes(body)


def checked(body: bytes | bytearray, model: type[M]) -> M:
    """JSON as a request; raises Problem, which says where it is not as described."""
    try:
        return model.model_validate_json(body)
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_context=False, include_input=False)
        if errors and errors[0]["type"] == "json_invalid":
            raise Problem(problems.MALFORMED, str(errors[0]["msg"])) from exc
        raise problems.invalid(errors) from exc

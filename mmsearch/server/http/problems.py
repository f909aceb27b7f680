"""Answers the errors of the HTTP API as problems, never with a traceback."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from mmsearch.errors import (
    ConfigError,
    LibraryLocked,
    MediaError,
    MediaGone,
    MissingExtra,
    MmsearchError,
    ModelError,
    QueryError,
    StoreError,
)
from mmsearch.server import problems
from mmsearch.server.http import worker_pool
from mmsearch.server.problems import Problem, ProblemType

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

logger = logging.getLogger(__name__)


_OPENAI_PATHS = ("/v1/embeddings", "/v1/models")
"""Paths whose problems have a member `error` in the shape of OpenAI, which its clients show."""
_BY_STATUS = {
    problem_type.status: problem_type
    for problem_type in (
        problems.MALFORMED,
        problems.NOT_FOUND,
        problems.NO_METHOD,
        problems.TOO_LARGE,
        problems.WRONG_TYPE,
    )
}


def build_invalid(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """Builds the problem of the errors of pydantic, each with a JSON pointer to its place."""
    described = [
        {
            "pointer": _format_pointer(error["loc"]),
            "detail": "there is no such member"
            if error["type"] == "extra_forbidden"
            else str(error["msg"]).removeprefix("Value error, "),
        }
        for error in errors[:20]
    ]
    detail = "; ".join(
        f"{error['pointer'] or 'the request'}: {error['detail']}" for error in described[:3]
    )
    return Problem(problems.INVALID, detail, errors=described)


def _format_pointer(location: Sequence[object]) -> str:
    """Formats a JSON pointer (RFC 6901)."""
    return "".join(
        "/" + str(part).replace("~", "~0").replace("/", "~1") for part in location if part != "body"
    )


def convert_error(error: Exception) -> Problem:
    """Converts an error of mmsearch, of the worker pool or of the framework to a problem."""
    match error:
        case Problem():
            return error
        case HTTPException():
            status, detail = error.status_code, str(error.detail)
            type_ = _BY_STATUS.get(status)
            type_ = type_ or ProblemType("about", status, HTTPStatus(status).phrase)
            if type_ is problems.NOT_FOUND:
                detail = "nothing is served under this path: /openapi.json says what is"
            return Problem(type_, detail, headers=error.headers or {})
        case RequestValidationError():
            return build_invalid(error.errors())
        case worker_pool.QueueFull():
            return _build_retry(problems.BUSY, "as many requests wait as may", error.retry_after_s)
        case worker_pool.QueueTimeout():
            return _build_retry(
                problems.UNAVAILABLE, "its turn did not come in time", error.retry_after_s
            )
        case worker_pool.PoolClosing():
            return _build_retry(
                problems.UNAVAILABLE, "the server is being stopped", error.retry_after_s
            )
        case worker_pool.WorkTimeout():
            return Problem(problems.TOO_SLOW, "it took longer than one request may take here")
        case worker_pool.ClientGone() | ClientDisconnect():
            return Problem(problems.MALFORMED, "the client has left")
        case MemoryError():
            return _build_retry(
                problems.UNAVAILABLE, "there is not enough memory to answer this now", 5
            )
        case MmsearchError():
            return _convert_mmsearch_error(error)
    return _build_internal()


def _build_retry(type_: ProblemType, detail: str, retry_after_s: int) -> Problem:
    return Problem(
        type_, detail, headers={"Retry-After": str(retry_after_s)}, retry_after_s=retry_after_s
    )


def _convert_mmsearch_error(error: MmsearchError) -> Problem:
    match error:
        case QueryError():
            return Problem(problems.BAD_QUERY, str(error))
        case MediaGone():
            return Problem(problems.GONE, error.reason, asset_id=error.asset_id)
        case MediaError():
            return Problem(problems.BAD_MEDIA, error.reason)
        case LibraryLocked():
            detail = "another process is writing to the library: try again later"
            return Problem(problems.LOCKED, detail)
        case MissingExtra():
            return Problem(problems.NOT_INSTALLED, str(error))
        case ModelError() | StoreError() | ConfigError():
            return problems.hide_error(error)
    return _build_internal()


def _build_internal() -> Problem:
    return Problem(problems.INTERNAL, "the server's log says more", instance=uuid.uuid4().urn)


async def handle_error(request: Request, error: Exception) -> Response:
    """Answers an error; logs an unforeseen one under the number that the answer gives."""
    problem = convert_error(error)
    path = request.url.path
    if problem.type is problems.NO_METHOD:
        methods = set(filter(None, problem.headers.get("Allow", "").split(", ")))
        allowed = ", ".join(sorted(methods | _list_methods(request)))
        problem = Problem(problems.NO_METHOD, f"here one may {allowed}", headers={"Allow": allowed})
    if problem.type is problems.INTERNAL:
        # The traceback follows: Starlette raises again what it gave to this handler.
        logger.error("%s %s: %s", request.method, path, problem.members.get("instance"))
    if path.startswith(_OPENAI_PATHS):
        problem.members["error"] = {
            "message": problem.detail,
            "type": problem.type.name,
            "param": None,
            "code": None,
        }
    return problem.build_response()


def _list_methods(request: Request) -> set[str]:
    """Lists the methods of a path by the document: each route knows only its own."""
    return {
        method.upper()
        for template, operations in request.app.openapi()["paths"].items()
        if compile_path(template)[0].match(request.scope["path"])
        for method in operations
    }


def install_handlers(app: FastAPI) -> None:
    """Registers the handler that answers every error of an application as a problem."""
    for error_type in (
        Problem,
        HTTPException,
        RequestValidationError,
        worker_pool.PoolRefusal,
        worker_pool.WorkTimeout,
        worker_pool.ClientGone,
        ClientDisconnect,
        MmsearchError,
        MemoryError,
        Exception,
    ):
        app.add_exception_handler(error_type, handle_error)

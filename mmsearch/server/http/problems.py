"""Errors as problem details (RFC 9457): each with a type of its own, and never with a traceback."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
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
from mmsearch.server.guard.refusals import MEDIA_TYPE, PROBLEM
from mmsearch.server.http import worker_pool

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: the last word of its type, its status and its title."""

    name: str
    status: int
    title: str


MALFORMED = Kind("malformed-request", 400, "The request cannot be read")
NO_SUCH_ASSET = Kind("no-such-asset", 404, "The library has no such asset")
NO_SUCH_PICTURE = Kind("no-such-picture", 404, "There is no such picture")
NO_SUCH_SEGMENT = Kind("no-such-segment", 404, "The library has no such segment")
NO_SUCH_MODEL = Kind("no-such-model", 404, "The library has no such space")
NOT_FOUND = Kind("not-found", 404, "There is nothing here")
NO_METHOD = Kind("method-not-allowed", 405, "This is not done here")
LOCKED = Kind("library-locked", 409, "Another process writes to the library")
GONE = Kind("media-gone", 410, "The file is not there any more as it was indexed")
TOO_LARGE = Kind("too-large", 413, "The request is too large")
WRONG_TYPE = Kind("unsupported-media-type", 415, "The body is of a type that is not read here")
INVALID = Kind("invalid-request", 422, "The request is not as described")
BAD_QUERY = Kind("bad-query", 422, "The query cannot be answered")
BAD_MEDIA = Kind("bad-media", 422, "A file that was sent cannot be searched by")
BUSY = Kind("busy", 429, "Too many requests wait already")
INTERNAL = Kind("internal-error", 500, "Something went wrong here")
NOT_INSTALLED = Kind("not-installed", 501, "A part that this takes is not installed")
UNAVAILABLE = Kind("unavailable", 503, "Not now")
TOO_SLOW = Kind("too-slow", 504, "It took too long")

KINDS = (
    MALFORMED,
    NO_SUCH_ASSET,
    NO_SUCH_PICTURE,
    NO_SUCH_SEGMENT,
    NO_SUCH_MODEL,
    NOT_FOUND,
    NO_METHOD,
    LOCKED,
    GONE,
    TOO_LARGE,
    WRONG_TYPE,
    INVALID,
    BAD_QUERY,
    BAD_MEDIA,
    BUSY,
    INTERNAL,
    NOT_INSTALLED,
    UNAVAILABLE,
    TOO_SLOW,
)
_OPENAI = ("/v1/embeddings", "/v1/models")
"""There a member `error` says it again, in the words of OpenAI's servers: its clients show that."""
_BY_STATUS = {400: MALFORMED, 404: NOT_FOUND, 405: NO_METHOD, 413: TOO_LARGE, 415: WRONG_TYPE}


class Problem(Exception):
    """Raised where a request is answered with a problem; `more` are further members of it."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers
        self.more = more


def response(problem: Problem, path: str = "") -> Response:
    """A problem as it is sent to who asked for `path`."""
    kind = problem.kind
    shown = {
        "type": PROBLEM + kind.name,
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        **problem.more,
    }
    if path.startswith(_OPENAI):
        shown["error"] = {"message": problem.detail, "type": kind.name, "param": None, "code": None}
    return Response(
        json.dumps(shown, ensure_ascii=False).encode("utf-8", "replace"),
        status_code=kind.status,
        headers=dict(problem.headers),
        media_type=MEDIA_TYPE,
    )


def invalid(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """What pydantic found wrong with a request, each with a JSON pointer to where it is."""
    listed = [{"pointer": _pointer(one["loc"]), "detail": _said(one)} for one in errors[:20]]
    said = "; ".join(f"{one['pointer'] or 'the request'}: {one['detail']}" for one in listed[:3])
    return Problem(INVALID, said, errors=listed)


def _said(error: Mapping[str, Any]) -> str:
    """What pydantic says, in our words where its own say little."""
    if error["type"] == "extra_forbidden":
        return "there is no such member"
    return str(error["msg"]).removeprefix("Value error, ")


def _pointer(location: Sequence[object]) -> str:
    """RFC 6901."""
    return "".join(
        "/" + str(part).replace("~", "~0").replace("/", "~1") for part in location if part != "body"
    )


def of(error: Exception) -> Problem:
    """The problem that an error of mmsearch, of the engine or of the framework is."""
    match error:
        case Problem():
            return error
        case HTTPException():
            status = error.status_code
            kind = _BY_STATUS.get(status) or Kind("about", status, HTTPStatus(status).phrase)
            return Problem(kind, _detail(error), headers=error.headers or {})
        case RequestValidationError():
            return invalid(error.errors())
        case worker_pool.Full():
            return _again(BUSY, "as many requests wait as may", error.retry_after_s)
        case worker_pool.Late():
            return _again(UNAVAILABLE, "its turn did not come in time", error.retry_after_s)
        case worker_pool.Stopping():
            return _again(UNAVAILABLE, "the server is being stopped", error.retry_after_s)
        case worker_pool.TooSlow():
            return Problem(TOO_SLOW, "it took longer than one request may take here")
        case worker_pool.Abandoned() | ClientDisconnect():
            return Problem(MALFORMED, "the client has left")
        case MemoryError():
            return _again(UNAVAILABLE, "there is not enough memory to answer this now", 5)
        case MmsearchError():
            return _of_ours(error)
    return Problem(INTERNAL, "the server's log says more", instance=uuid.uuid4().urn)


def _detail(error: HTTPException) -> str:
    if error.status_code == NOT_FOUND.status:
        return "nothing is served under this path: /openapi.json says what is"
    return str(error.detail)


def _again(kind: Kind, detail: str, retry_after_s: int) -> Problem:
    return Problem(
        kind, detail, headers={"Retry-After": str(retry_after_s)}, retry_after_s=retry_after_s
    )


def _of_ours(error: MmsearchError) -> Problem:
    match error:
        case QueryError():
            return Problem(BAD_QUERY, str(error))
        case MediaGone():
            return Problem(GONE, error.reason, asset_id=error.asset_id)
        case MediaError():
            return Problem(BAD_MEDIA, error.reason)
        case LibraryLocked():
            return Problem(LOCKED, "another process is writing to the library: try again later")
        case MissingExtra():
            return Problem(NOT_INSTALLED, str(error))
        case ModelError() | StoreError() | ConfigError():
            # What these say names folders of the server.
            logger.warning("%s: %s", type(error).__name__, error)
            return Problem(UNAVAILABLE, "the library cannot be used: the server's log says why")
    return Problem(INTERNAL, "the server's log says more", instance=uuid.uuid4().urn)


async def handle(request: Request, error: Exception) -> Response:
    """Answer an error; what nobody foresaw is logged under the number that the answer gives."""
    problem = of(error)
    if problem.kind is NO_METHOD:
        there = _methods(request) | set(filter(None, problem.headers.get("Allow", "").split(", ")))
        allowed = ", ".join(sorted(there))
        problem = Problem(NO_METHOD, f"here one may {allowed}", headers={"Allow": allowed})
    if problem.kind is INTERNAL:
        # The traceback follows: Starlette raises again what it gave to this handler.
        number = problem.more.get("instance")
        logger.error("%s %s: %s", request.method, request.url.path, number)
    return response(problem, request.url.path)


def _methods(request: Request) -> set[str]:
    """What may be done at a path, by the document: each route knows only of itself."""
    found: set[str] = set()
    for template, operations in request.app.openapi()["paths"].items():
        if compile_path(template)[0].match(request.scope["path"]):
            found |= {method.upper() for method in operations}
    return found


def install(app: FastAPI) -> None:
    """Have every error of an application answered as a problem."""
    for error in (
        Problem,
        HTTPException,
        RequestValidationError,
        worker_pool.Refused,
        worker_pool.TooSlow,
        worker_pool.Abandoned,
        ClientDisconnect,
        MmsearchError,
        MemoryError,
        Exception,
    ):
        app.add_exception_handler(error, handle)

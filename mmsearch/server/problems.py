"""Declares the problems that the servers answer (RFC 9457): types, titles and bodies."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from mmsearch.errors import MmsearchError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """The type of a problem: the last word of its URN, its status and its title."""

    name: str
    status: int
    title: str


class Problem(Exception):
    """An answer that is an error; `members` are its members beyond those of RFC 9457."""

    def __init__(
        self,
        type_: ProblemType,
        detail: str,
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.type = type_
        self.detail = detail
        self.headers = headers
        self.members = members

    @property
    def body(self) -> bytes:
        """The problem as JSON."""
        details = describe_problem(self.type, self.detail) | self.members
        return json.dumps(details, ensure_ascii=False).encode("utf-8", "replace")

    def build_response(self, headers: Mapping[str, str] = MappingProxyType({})) -> Response:
        """Builds the answer, with `headers` beside those of the problem."""
        return Response(
            self.body, self.type.status, {**headers, **self.headers}, media_type=MEDIA_TYPE
        )


def describe_problem(type_: ProblemType, detail: str = "") -> dict[str, Any]:
    """Returns the members of a problem that RFC 9457 names."""
    return {
        "type": f"urn:mmsearch:problem:{type_.name}",
        "title": type_.title,
        "status": type_.status,
        "detail": detail,
    }


MALFORMED = ProblemType("malformed-request", 400, "The request cannot be read")
NO_SUCH_ASSET = ProblemType("no-such-asset", 404, "The library has no such asset")
NO_SUCH_PICTURE = ProblemType("no-such-picture", 404, "There is no such picture")
NO_SUCH_SEGMENT = ProblemType("no-such-segment", 404, "The library has no such segment")
NO_SUCH_MODEL = ProblemType("no-such-model", 404, "The library has no such space")
NOT_FOUND = ProblemType("not-found", 404, "There is nothing here")
NO_METHOD = ProblemType("method-not-allowed", 405, "This is not done here")
LOCKED = ProblemType("library-locked", 409, "Another process writes to the library")
GONE = ProblemType("media-gone", 410, "The file is not there any more as it was indexed")
TOO_LARGE = ProblemType("too-large", 413, "The request is too large")
WRONG_TYPE = ProblemType(
    "unsupported-media-type", 415, "The body is of a type that is not read here"
)
INVALID = ProblemType("invalid-request", 422, "The request is not as described")
BAD_QUERY = ProblemType("bad-query", 422, "The query cannot be answered")
BAD_MEDIA = ProblemType("bad-media", 422, "A file that was sent cannot be searched by")
BUSY = ProblemType("busy", 429, "Too many requests wait already")
INTERNAL = ProblemType("internal-error", 500, "Something went wrong here")
NOT_INSTALLED = ProblemType("not-installed", 501, "A part that this takes is not installed")
UNAVAILABLE = ProblemType("unavailable", 503, "Not now")
TOO_SLOW = ProblemType("too-slow", 504, "It took too long")
PROBLEM_TYPES = tuple(value for value in list(vars().values()) if isinstance(value, ProblemType))
"""The types that any operation may answer; those below belong to one part of the server."""

NO_SUCH_PART = ProblemType("no-such-part", 416, "There is no such part")

NO_WRITING = ProblemType("no-writing", 403, "This server changes nothing")
OUTSIDE_ROOTS = ProblemType("outside-roots", 403, "This may not be indexed")
NO_SUCH_PATH = ProblemType("no-such-path", 422, "There is nothing to index")
NO_SUCH_JOB = ProblemType("no-such-job", 404, "There is no such job")
TOO_MANY_JOBS = ProblemType("too-many-jobs", 429, "Too many jobs wait already")

NO_HOST = ProblemType("no-host", 400, "The request names no host")
NO_HTTP = ProblemType("no-http", 400, "This is no HTTP request")
NO_PATH = ProblemType("no-path", 400, "The request asks for no path")
NO_TOKEN = ProblemType("no-token", 401, "This server asks for a token")
WRONG_TOKEN = ProblemType("wrong-token", 401, "This is not the token of this server")
OTHER_SITE = ProblemType("other-site", 403, "A page of another site may not ask this")
SLOW_REQUEST = ProblemType("slow-request", 408, "The request came too slowly")
LONG_TARGET = ProblemType("long-target", 414, "The address is too long")
WRONG_HOST = ProblemType("wrong-host", 421, "The request is for another host")
MANY_GUESSES = ProblemType("many-guesses", 429, "Too many wrong tokens came from this address")
LARGE_HEAD = ProblemType("large-head", 431, "The request's head is too large")
MANY_CONNECTIONS = ProblemType("busy", 503, "Too many connections are open")


def hide_error(error: MmsearchError) -> Problem:
    """Logs an error whose text names folders of the server, and returns the problem to answer."""
    logger.warning("%s: %s", type(error).__name__, error)
    return Problem(UNAVAILABLE, "the library cannot be used: the server's log says why")

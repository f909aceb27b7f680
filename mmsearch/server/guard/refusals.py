"""The problems by which a request is refused before the application sees it."""

from __future__ import annotations

from mmsearch.server import problems
from mmsearch.server.guard.tokens import WRONG_S
from mmsearch.server.problems import Problem

HEAD_BYTES = 32 * 1024
HEAD_FIELDS = 100
TARGET_BYTES = 8 * 1024

NO_HOST = Problem(problems.NO_HOST, "a request carries one Host header, well formed")
NO_PATH = Problem(problems.NO_PATH, "what is asked for begins with a slash")
LONG_TARGET = Problem(problems.LONG_TARGET, f"it may have {TARGET_BYTES} bytes")
LARGE_HEAD = Problem(
    problems.LARGE_HEAD, f"it may have {HEAD_FIELDS} fields of {HEAD_BYTES} bytes together"
)
OTHER_SITE = Problem(
    problems.OTHER_SITE, "a browser says that the request comes from a page of another site"
)
NO_TOKEN = Problem(
    problems.NO_TOKEN,
    "send it as `Authorization: Bearer TOKEN`",
    headers={"WWW-Authenticate": 'Bearer realm="mmsearch"'},
)
WRONG_TOKEN = Problem(
    problems.WRONG_TOKEN,
    "send the right one as `Authorization: Bearer TOKEN`",
    headers={"WWW-Authenticate": 'Bearer realm="mmsearch", error="invalid_token"'},
)
MANY_GUESSES = Problem(
    problems.MANY_GUESSES,
    "wait until they are answered",
    headers={"Retry-After": str(round(WRONG_S))},
)


def refuse_host(host: str) -> Problem:
    """Returns the problem of a host name that this server does not answer to."""
    return Problem(
        problems.WRONG_HOST,
        f"this server does not answer to {host[:100]!r}; whoever runs it can allow the name when "
        f"it is started",
    )


def refuse_size(max_bytes: int) -> Problem:
    """Returns the problem of a body that is larger than it may be."""
    return Problem(problems.TOO_LARGE, f"its body may have {max_bytes} bytes")

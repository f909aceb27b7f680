"""Why a request is refused before the application sees it, as problem details (RFC 9457)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mmsearch.server.guard.tokens import WRONG_S

MEDIA_TYPE = "application/problem+json"
PROBLEM = "urn:mmsearch:problem:"
HEAD_BYTES = 32 * 1024
HEAD_FIELDS = 100
TARGET_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not passed on; `name` is the last word of the problem's type (RFC 9457)."""

    status: int
    name: str
    title: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def body(self) -> bytes:
        """What is answered."""
        shown = {
            "type": PROBLEM + self.name,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        return json.dumps(shown).encode()


NO_HOST = Refusal(
    400, "no-host", "The request names no host", "a request carries one Host header, well formed"
)
NO_PATH = Refusal(
    400, "no-path", "The request asks for no path", "what is asked for begins with a slash"
)
LONG_TARGET = Refusal(
    414, "long-target", "The address is too long", f"it may have {TARGET_BYTES} bytes"
)
LARGE_HEAD = Refusal(
    431,
    "large-head",
    "The request's head is too large",
    f"it may have {HEAD_FIELDS} fields of {HEAD_BYTES} bytes together",
)
OTHER_SITE = Refusal(
    403,
    "other-site",
    "A page of another site may not ask this",
    "a browser says that the request comes from a page of another site",
)
NO_TOKEN = Refusal(
    401,
    "no-token",
    "This server asks for a token",
    "send it as `Authorization: Bearer TOKEN`",
    (("WWW-Authenticate", 'Bearer realm="mmsearch"'),),
)
WRONG_TOKEN = Refusal(
    401,
    "wrong-token",
    "This is not the token of this server",
    "send the right one as `Authorization: Bearer TOKEN`",
    (("WWW-Authenticate", 'Bearer realm="mmsearch", error="invalid_token"'),),
)
MANY_GUESSES = Refusal(
    429,
    "many-guesses",
    "Too many wrong tokens came from this address",
    "wait until they are answered",
    (("Retry-After", str(round(WRONG_S))),),
)


def wrong_host(host: str) -> Refusal:
    """What is told to who asked for a name that this server does not answer to."""
    detail = (
        f"this server does not answer to {host[:100]!r}; whoever runs it can allow the name when "
        f"it is started"
    )
    return Refusal(421, "wrong-host", "The request is for another host", detail)


def too_large(most_bytes: int) -> Refusal:
    """What is told to who sends more than may be sent."""
    return Refusal(
        413, "too-large", "The request is too large", f"its body may have {most_bytes} bytes"
    )

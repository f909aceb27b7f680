"""Stands before an application: who may ask it for what, and what browsers do with answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mmsearch.server.guard.hosts import is_allowed, is_loopback
from mmsearch.server.guard.refusals import (
    HEAD_BYTES,
    HEAD_FIELDS,
    LARGE_HEAD,
    LONG_TARGET,
    MANY_GUESSES,
    MEDIA_TYPE,
    NO_HOST,
    NO_PATH,
    NO_TOKEN,
    OTHER_SITE,
    TARGET_BYTES,
    WRONG_TOKEN,
    Refusal,
    too_large,
    wrong_host,
)
from mmsearch.server.guard.tokens import Guesses, Token

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = ("/healthz", "/readyz")
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
_READING = ("GET", "HEAD")
_JSON = (b"application/json", b"application/problem+json")
Headers = list[tuple[bytes, bytes]]


def _ignore(name: str) -> None:
    del name


class Guard:
    """ASGI middleware, for HTTP and websockets, that lets through only what an app should see.

    - `hosts`: the values of `Host` that are answered to, as `hosts.allowed_hosts` gives them.
    - A page of another site reads nothing and changes nothing: `Origin` must be the host that was
      asked for, or one of `origins` (as `https://example.org`); nothing of CORS is sent.
    - `token`: what every request must carry as a bearer, but for reading `open_paths`.
    - A body of more than `max_body_bytes` is refused as soon as it is known to be.
    - Headers tell browsers to take an answer for what it says it is, and to keep it to this site;
      `policy` is the Content-Security-Policy of answers that have none.

    `on_refused` hears the name of each refusal, as in `wrong-host`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: frozenset[str],
        token: str | None = None,
        max_body_bytes: int = 1024**2,
        open_paths: Iterable[str] = OPEN_PATHS,
        origins: frozenset[str] = frozenset(),
        policy: str = API_POLICY,
        on_refused: Callable[[str], None] = _ignore,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._token = None if token is None else Token(token)
        self._max_body_bytes = max_body_bytes
        self._open_paths = frozenset(open_paths)
        self._origins = origins
        self._on_refused = on_refused
        self._headers: Headers = [
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"x-frame-options", b"DENY"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"content-security-policy", policy.encode()),
        ]
        self._guesses = Guesses()

    @property
    def guesses(self) -> int:
        """How many wrong tokens came so far."""
        return self._guesses.count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope) or await self._token_refusal(scope)
        if refusal is not None:
            await self._refuse(refusal, scope, send)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await self._pass_on(scope, receive, send)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers: Headers = scope["headers"]
        if len(headers) > HEAD_FIELDS or sum(map(_size, headers)) > HEAD_BYTES:
            return LARGE_HEAD
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > TARGET_BYTES:
            return LONG_TARGET
        hosts = _values(headers, b"host")
        if len(hosts) != 1 or not hosts[0]:
            return NO_HOST
        host = hosts[0].decode("latin-1").lower()
        if not is_allowed(host, self._hosts):
            return wrong_host(host)
        if not scope["path"].startswith("/"):
            return NO_PATH
        if not self._is_same_site(scope, host):
            return OTHER_SITE
        lengths = _values(headers, b"content-length")
        if lengths and self._is_too_long(lengths[0]):
            return too_large(self._max_body_bytes)
        return None

    def _is_same_site(self, scope: Scope, host: str) -> bool:
        """Whether no page of another site has part in the request, as far as a browser tells.

        The rules for what is read are those of https://web.dev/articles/fetch-metadata: a link
        may lead here, a picture, a script or a frame of another site may not be taken from here.
        """
        headers: Headers = scope["headers"]
        origins = [value.decode("latin-1").lower() for value in _values(headers, b"origin")]
        if origins and all(origin in self._origins for origin in origins):
            return True
        if not all(self._is_own(origin, host) for origin in origins):
            return False
        if set(_values(headers, b"sec-fetch-site")) <= {b"same-origin", b"none"}:
            return True
        if scope["type"] == "websocket":
            return bool(origins)
        return (
            scope["method"] in _READING
            and _values(headers, b"sec-fetch-mode") == [b"navigate"]
            and _values(headers, b"sec-fetch-dest") == [b"document"]
        )

    def _is_too_long(self, length: bytes) -> bool:
        digits = length.lstrip(b"0")
        most = str(self._max_body_bytes).encode()
        return (len(digits), digits) > (len(most), most)  # of any length, without a conversion

    def _is_own(self, origin: str, host: str) -> bool:
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and (
            parts.netloc == host
            # A proxy may ask for another name than the page has, but for none of this machine:
            # other programs have ports here.
            or (parts.netloc in self._hosts and not is_loopback(parts.netloc))
        )

    async def _token_refusal(self, scope: Scope) -> Refusal | None:
        if self._token is None:
            return None
        if scope["path"] in self._open_paths and scope.get("method") in ("GET", "HEAD"):
            return None
        shown = _values(scope["headers"], b"authorization")
        if not shown:
            return NO_TOKEN
        address = (scope.get("client") or ("",))[0]
        if self._guesses.are_too_many(address):
            return MANY_GUESSES
        if len(shown) == 1 and self._token.is_shown_by(shown[0]):
            return None
        await self._guesses.wrong(address)
        return WRONG_TOKEN

    async def _refuse(self, refusal: Refusal, scope: Scope, send: Send) -> None:
        self._on_refused(refusal.name)
        kind = "http.response"
        if scope["type"] == "websocket":
            kind = "websocket.http.response"
            if kind not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1008})
                return
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(refusal.body)).encode()),
            *((name.lower().encode(), value.encode()) for name, value in refusal.headers),
        ]
        start = {"type": f"{kind}.start", "status": refusal.status}
        await send({**start, "headers": self._guarded(headers)})
        await send({"type": f"{kind}.body", "body": refusal.body})

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        received_bytes = 0
        has_started = False

        async def bounded() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            # The rest of a body that is too large is not waited for: to the app, the client left.
            return message if not is_too_large() else {"type": "http.disconnect"}

        def is_too_large() -> bool:
            return received_bytes > self._max_body_bytes

        async def guarded(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                if is_too_large():
                    return
                has_started = True
                message = {**message, "headers": self._guarded(message.get("headers", ()))}
            if has_started:
                await send(message)

        try:
            await self._app(scope, bounded, guarded)
        except Exception:
            if has_started or not is_too_large():
                raise
        if is_too_large() and not has_started:
            await self._refuse(too_large(self._max_body_bytes), scope, send)

    def _guarded(self, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        """The headers of an answer, without the server's name, with those that it lacks."""
        kept = [(name, value) for name, value in headers if name.lower() != b"server"]
        names = {name.lower() for name, _ in kept}
        if b"cache-control" not in names and any(
            value.lower().startswith(_JSON) for value in _values(kept, b"content-type")
        ):
            kept.append((b"cache-control", b"no-store"))
        return kept + [one for one in self._headers if one[0] not in names]


def _values(headers: Any, name: bytes) -> list[bytes]:
    return [value.strip() for key, value in headers if key.lower() == name]


def _size(header: tuple[bytes, bytes]) -> int:
    return len(header[0]) + len(header[1]) + 4  # with its colon, space and line end

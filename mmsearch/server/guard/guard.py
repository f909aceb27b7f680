"""Guards an application: checks hosts, origins, tokens, sizes; sets security headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mmsearch.server.guard.hosts import is_allowed_host, is_loopback
from mmsearch.server.guard.refusals import (
    HEAD_BYTES,
    HEAD_FIELDS,
    LARGE_HEAD,
    LONG_TARGET,
    MANY_GUESSES,
    NO_HOST,
    NO_PATH,
    NO_TOKEN,
    OTHER_SITE,
    TARGET_BYTES,
    WRONG_TOKEN,
    refuse_host,
    refuse_size,
)
from mmsearch.server.guard.tokens import AccessToken, GuessLimiter
from mmsearch.server.problems import MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = ("/healthz", "/readyz")
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
_READ_METHODS = ("GET", "HEAD")
_JSON = (b"application/json", b"application/problem+json")
Headers = list[tuple[bytes, bytes]]


def _ignore(name: str) -> None:
    del name


class Guard:
    """ASGI middleware for HTTP and websockets that passes on only admissible requests.

    - `hosts`: the values of `Host` that are answered to, as `hosts.allowed_hosts` gives them.
    - A page of another site reads nothing and changes nothing: `Origin` must be the host that was
      asked for, or one of `origins` (as `https://example.org`); nothing of CORS is sent.
    - `token`: what every request must carry as a bearer, but for reading `open_paths`.
    - A body of more than `max_body_bytes` is refused as soon as it is known to be.
    - Headers tell browsers to take an answer for what it says it is, and to keep it to this site;
      `policy` is the Content-Security-Policy of answers that have none.

    `on_refused` is called with the name of each refusal, such as `wrong-host`.
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
        self._token = None if token is None else AccessToken(token)
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
        self._limiter = GuessLimiter()

    @property
    def wrong_token_count(self) -> int:
        """The number of wrong tokens that came so far."""
        return self._limiter.wrong_count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        problem = self._check_request(scope) or await self._check_token(scope)
        if problem is not None:
            await self._refuse(problem, scope, send)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await self._pass_on(scope, receive, send)

    def _check_request(self, scope: Scope) -> Problem | None:
        headers: Headers = scope["headers"]
        if len(headers) > HEAD_FIELDS or sum(map(_measure_header, headers)) > HEAD_BYTES:
            return LARGE_HEAD
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > TARGET_BYTES:
            return LONG_TARGET
        hosts = _list_values(headers, b"host")
        if len(hosts) != 1 or not hosts[0]:
            return NO_HOST
        host = hosts[0].decode("latin-1").lower()
        if not is_allowed_host(host, self._hosts):
            return refuse_host(host)
        if not scope["path"].startswith("/"):
            return NO_PATH
        if not self._is_same_site(scope, host):
            return OTHER_SITE
        lengths = _list_values(headers, b"content-length")
        if lengths and self._exceeds_body_limit(lengths[0]):
            return refuse_size(self._max_body_bytes)
        return None

    def _is_same_site(self, scope: Scope, host: str) -> bool:
        """Returns True unless a browser says that a page of another site sends the request.

        The rules for what is read are those of https://web.dev/articles/fetch-metadata: a link
        may lead here, a picture, a script or a frame of another site may not be taken from here.
        """
        headers: Headers = scope["headers"]
        origins = [value.decode("latin-1").lower() for value in _list_values(headers, b"origin")]
        if origins and all(origin in self._origins for origin in origins):
            return True
        if not all(self._is_own_origin(origin, host) for origin in origins):
            return False
        if set(_list_values(headers, b"sec-fetch-site")) <= {b"same-origin", b"none"}:
            return True
        if scope["type"] == "websocket":
            return bool(origins)
        return (
            scope["method"] in _READ_METHODS
            and _list_values(headers, b"sec-fetch-mode") == [b"navigate"]
            and _list_values(headers, b"sec-fetch-dest") == [b"document"]
        )

    def _exceeds_body_limit(self, length: bytes) -> bool:
        digits = length.lstrip(b"0")
        limit = str(self._max_body_bytes).encode()
        return (len(digits), digits) > (len(limit), limit)  # of any length, without a conversion

    def _is_own_origin(self, origin: str, host: str) -> bool:
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

    async def _check_token(self, scope: Scope) -> Problem | None:
        if self._token is None:
            return None
        if scope["path"] in self._open_paths and scope.get("method") in _READ_METHODS:
            return None
        credentials = _list_values(scope["headers"], b"authorization")
        if not credentials:
            return NO_TOKEN
        address = (scope.get("client") or ("",))[0]
        if self._limiter.is_blocked(address):
            return MANY_GUESSES
        if len(credentials) == 1 and self._token.matches(credentials[0]):
            return None
        await self._limiter.delay_answer(address)
        return WRONG_TOKEN

    async def _refuse(self, problem: Problem, scope: Scope, send: Send) -> None:
        self._on_refused(problem.type.name)
        kind = "http.response"
        if scope["type"] == "websocket":
            kind = "websocket.http.response"
            if kind not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1008})
                return
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(problem.body)).encode()),
            *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
        ]
        start = {"type": f"{kind}.start", "status": problem.type.status}
        await send({**start, "headers": self._secure(headers)})
        await send({"type": f"{kind}.body", "body": problem.body})

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        received_bytes = 0
        has_started = False

        async def receive_bounded() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            # The rest of a body that is too large is not waited for: to the app, the client left.
            return message if not is_too_large() else {"type": "http.disconnect"}

        def is_too_large() -> bool:
            return received_bytes > self._max_body_bytes

        async def send_secured(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                if is_too_large():
                    return
                has_started = True
                message = {**message, "headers": self._secure(message.get("headers", ()))}
            if has_started:
                await send(message)

        try:
            await self._app(scope, receive_bounded, send_secured)
        except Exception:
            if has_started or not is_too_large():
                raise
        if is_too_large() and not has_started:
            await self._refuse(refuse_size(self._max_body_bytes), scope, send)

    def _secure(self, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Returns the headers of an answer without the server's name, with security headers."""
        kept = [(name, value) for name, value in headers if name.lower() != b"server"]
        names = {name.lower() for name, _ in kept}
        if b"cache-control" not in names and any(
            value.lower().startswith(_JSON) for value in _list_values(kept, b"content-type")
        ):
            kept.append((b"cache-control", b"no-store"))
        return kept + [header for header in self._headers if header[0] not in names]


def _list_values(headers: Any, name: bytes) -> list[bytes]:
    return [value.strip() for key, value in headers if key.lower() == name]


def _measure_header(header: tuple[bytes, bytes]) -> int:
    return len(header[0]) + len(header[1]) + 4  # with its colon, space and line end

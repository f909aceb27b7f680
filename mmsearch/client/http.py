"""Sends requests over HTTP and reads their JSON, bounded in time and size, without redirects."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from mmsearch.client.address import ServerAddress
from mmsearch.errors import ConfigError, MmsearchError, QueryError, StoreError

CONNECT_S = 5.0
ANSWER_BYTES = 64 * 1024**2
CHUNK = 1 << 16
DETAIL_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request: its parts in their order, and their size together."""

    media_type: str
    parts: Iterable[bytes]
    size_bytes: int

    @property
    def is_repeatable(self) -> bool:
        """Tests if it can be sent once more."""
        return isinstance(self.parts, tuple)


class ServerProblem(Exception):
    """A server answers that something is wrong; `name` is the last word of the problem's type."""

    def __init__(self, status: int, name: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.detail = detail


@dataclass(slots=True)
class ServerConnection:
    """A connection to a server, kept open between requests; for one thread."""

    address: ServerAddress
    token: str | None = field(default=None, repr=False)
    timeout_s: float = 60.0
    _connection: http.client.HTTPConnection | None = field(default=None, init=False, repr=False)
    _prefix: str = field(default="", init=False)

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, method: str, path: str, body: Body | None = None) -> Any:
        """Sends a request and reads the JSON of its answer.

        Raises ServerProblem for an answer that is a problem, StoreError for none in time or one
        that is not of mmsearch.
        """
        until_s = time.monotonic() + self.timeout_s
        try:
            with closing(self._send(method, path, body)) as answer:
                content = self._read(answer, until_s)
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise StoreError(self._explain_failure(exc)) from exc
        except BaseException:
            self.close()
            raise
        if answer.will_close:
            self.close()
        return self._parse(answer, content)

    def _send(self, method: str, path: str, body: Body | None) -> http.client.HTTPResponse:
        is_kept = self._connection is not None
        connection = self._connection or self._connect()
        self._connection = connection
        target = f"{self._prefix}{self.address.path}{path}"
        try:
            _write_request(connection, method, target, self._build_headers(body), body)
            return connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            if not is_kept or not (body is None or body.is_repeatable):
                raise
        # A server may close what was not used for a while: once more, on a connection of its own.
        self.close()
        return self._send(method, path, body)

    def _connect(self) -> http.client.HTTPConnection:
        address, proxy = self.address, self.address.proxy()
        peer = proxy or address
        self._prefix = ""
        connection: http.client.HTTPConnection
        if address.scheme == "https":
            connection = http.client.HTTPSConnection(peer.host, peer.port, timeout=CONNECT_S)
            if proxy is not None:
                connection.set_tunnel(address.host, address.port)
        else:
            connection = http.client.HTTPConnection(peer.host, peer.port, timeout=CONNECT_S)
            if proxy is not None:
                self._prefix = f"http://{address.authority}"
        connection.connect()
        connection.sock.settimeout(self.timeout_s)
        return connection

    def _build_headers(self, body: Body | None) -> dict[str, str]:
        headers = {
            "Host": self.address.authority,
            "Accept": "application/json",
            "User-Agent": "mmsearch",
        }
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers |= {"Content-Type": body.media_type, "Content-Length": str(body.size_bytes)}
        return headers

    def _read(self, answer: http.client.HTTPResponse, until_s: float) -> bytes:
        content = bytearray()
        while chunk := answer.read1(CHUNK):
            content += chunk
            if len(content) > ANSWER_BYTES:
                raise StoreError(f"{self.address} answers more than {ANSWER_BYTES:,} bytes")
            if time.monotonic() > until_s:
                raise TimeoutError
        return bytes(content)

    def _parse(self, answer: http.client.HTTPResponse, content: bytes) -> Any:
        status = answer.status
        if 300 <= status < 400:
            raise StoreError(
                f"{self.address} leads elsewhere ({status}), and is not followed: name where "
                f"mmsearch is served"
            )
        kind = _make_printable(answer.headers.get_content_type())
        is_problem = status >= 400
        if kind != ("application/problem+json" if is_problem else "application/json"):
            raise StoreError(f"{self.address} answers {status} {kind}: no mmsearch is served there")
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as exc:
            raise StoreError(f"{self.address} answers what is no JSON") from exc
        if is_problem:
            raise _read_problem(status, value if isinstance(value, dict) else {})
        return value

    def _explain_failure(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"{self.address} does not answer in {self.timeout_s:g} s: try again later"
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return (
            f"{self.address} cannot be asked: {reason}; start it with `mmsearch serve`, or search "
            f"without --server and MMSEARCH_SERVER"
        )


def _write_request(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: Body | None,
) -> None:
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    try:
        connection.endheaders()
        for part in body.parts if body is not None else ():
            connection.send(part)
    except (BrokenPipeError, ConnectionResetError):
        if body is None:
            raise
        # The server refused before the end: its answer, if it can still be read, gives the reason.


def _read_problem(status: int, members: Mapping[str, Any]) -> ServerProblem:
    """Reads problem details (RFC 9457)."""
    detail = members.get("detail") or members.get("title") or f"it answers {status}"
    name = str(members.get("type", "")).rpartition(":")[2]
    return ServerProblem(status, name, _make_printable(str(detail)))


def _make_printable(text: str) -> str:
    """Makes a text of a server fit for a terminal; lines stay lines."""
    return "".join(
        char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}"
        for char in text[:DETAIL_CHARS]
    )


def to_error(problem: ServerProblem, address: ServerAddress) -> MmsearchError:
    """Turns a problem into the error that a library on this machine would raise for it."""
    message = f"{address}: {problem.detail}"
    match problem.status:
        case _ if problem.name in ("bad-query", "bad-media", "invalid-request"):
            return QueryError(problem.detail)
        case 413:
            return QueryError(message)
        case 401:
            return ConfigError(f"{message}: set MMSEARCH_TOKEN, or name a --token-file")
        case 403 | 404 | 405 | 421:
            return ConfigError(message)
        case 429 | 503 | 504:
            return StoreError(f"{message}; try again in a while")
    return StoreError(message)

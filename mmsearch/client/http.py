"""One request and its answer, over HTTP: bounded in time and in size, and led nowhere else."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from mmsearch.client.address import Address
from mmsearch.errors import ConfigError, MmsearchError, QueryError, StoreError

CONNECT_S = 5.0
ANSWER_BYTES = 64 * 1024**2
CHUNK = 1 << 16
SAID_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: its parts one after another, and their bytes together."""

    media_type: str
    parts: Iterable[bytes]
    size_bytes: int

    @property
    def is_at_hand(self) -> bool:
        """Whether it can be sent once more."""
        return isinstance(self.parts, tuple)


class ServerProblem(Exception):
    """A server answers that something is wrong; `name` is the last word of the problem's type."""

    def __init__(self, status: int, name: str, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.name = name
        self.said = said


@dataclass(slots=True)
class Exchange:
    """A connection to a server, kept open from one request to the next; for one thread."""

    address: Address
    token: str | None = field(default=None, repr=False)
    timeout_s: float = 60.0
    _connection: http.client.HTTPConnection | None = field(default=None, init=False, repr=False)
    _prefix: str = field(default="", init=False)

    def close(self) -> None:
        """Let go of the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, method: str, path: str, body: Body | None = None) -> Any:
        """The JSON that a server answers.

        Raises ServerProblem where it answers a problem, StoreError where none answers in time, or
        something that no mmsearch server says.
        """
        until_s = time.monotonic() + self.timeout_s
        try:
            with closing(self._answer(method, path, body)) as answer:
                content = self._content(answer, until_s)
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise StoreError(self._unreached(exc)) from exc
        except BaseException:
            self.close()
            raise
        if answer.will_close:
            self.close()
        return self._understood(answer, content)

    def _answer(self, method: str, path: str, body: Body | None) -> http.client.HTTPResponse:
        is_kept = self._connection is not None
        connection = self._connection or self._connect()
        self._connection = connection
        target = f"{self._prefix}{self.address.path}{path}"
        try:
            _send(connection, method, target, self._headers(body), body)
            return connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            if not is_kept or not (body is None or body.is_at_hand):
                raise
        # A server may close what was not used for a while: once more, on a connection of its own.
        self.close()
        return self._answer(method, path, body)

    def _connect(self) -> http.client.HTTPConnection:
        address, proxy = self.address, self.address.proxy()
        at = proxy or address
        self._prefix = ""
        connection: http.client.HTTPConnection
        if address.scheme == "https":
            connection = http.client.HTTPSConnection(at.host, at.port, timeout=CONNECT_S)
            if proxy is not None:
                connection.set_tunnel(address.host, address.port)
        else:
            connection = http.client.HTTPConnection(at.host, at.port, timeout=CONNECT_S)
            if proxy is not None:
                self._prefix = f"http://{address.authority}"
        connection.connect()
        connection.sock.settimeout(self.timeout_s)
        return connection

    def _headers(self, body: Body | None) -> dict[str, str]:
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

    def _content(self, answer: http.client.HTTPResponse, until_s: float) -> bytes:
        found = bytearray()
        while chunk := answer.read1(CHUNK):
            found += chunk
            if len(found) > ANSWER_BYTES:
                raise StoreError(f"{self.address} answers more than {ANSWER_BYTES:,} bytes")
            if time.monotonic() > until_s:
                raise TimeoutError
        return bytes(found)

    def _understood(self, answer: http.client.HTTPResponse, content: bytes) -> Any:
        status = answer.status
        if 300 <= status < 400:
            raise StoreError(
                f"{self.address} leads elsewhere ({status}), and is not followed: name where "
                f"mmsearch is served"
            )
        kind = _shown(answer.headers.get_content_type())
        is_problem = status >= 400
        if kind != ("application/problem+json" if is_problem else "application/json"):
            raise StoreError(f"{self.address} answers {status} {kind}: no mmsearch is served there")
        try:
            told = json.loads(content)
        except (ValueError, RecursionError) as exc:
            raise StoreError(f"{self.address} answers what is no JSON") from exc
        if is_problem:
            raise _problem(status, told if isinstance(told, dict) else {})
        return told

    def _unreached(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"{self.address} does not answer in {self.timeout_s:g} s: try again later"
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return (
            f"{self.address} cannot be asked: {reason}; start it with `mmsearch serve`, or search "
            f"without --server and MMSEARCH_SERVER"
        )


def _send(
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
        # It had seen enough: why, its answer says, where it still can be read.


def _problem(status: int, told: Mapping[str, Any]) -> ServerProblem:
    """What a server says is wrong (RFC 9457)."""
    said = told.get("detail") or told.get("title") or f"it answers {status}"
    name = str(told.get("type", "")).rpartition(":")[2]
    return ServerProblem(status, name, _shown(str(said)))


def _shown(said: str) -> str:
    """What a server says, fit for a terminal; lines stay lines."""
    return "".join(
        char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}"
        for char in said[:SAID_CHARS]
    )


def as_error(problem: ServerProblem, address: Address) -> MmsearchError:
    """A problem as the error that a library on this machine would raise for it."""
    said = problem.said
    match problem.status:
        case _ if problem.name in ("bad-query", "bad-media", "invalid-request"):
            return QueryError(said)
        case 413:
            return QueryError(f"{address}: {said}")
        case 401:
            return ConfigError(f"{address}: {said}: set MMSEARCH_TOKEN, or name a --token-file")
        case 403 | 404 | 405 | 421:
            return ConfigError(f"{address}: {said}")
        case 429 | 503 | 504:
            return StoreError(f"{address}: {said}; try again in a while")
    return StoreError(f"{address}: {said}")

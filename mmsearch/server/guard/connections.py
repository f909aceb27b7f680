"""HTTP/1.1 connections that no client can hold for long: deadlines, and a bound on how many."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from mmsearch.server.guard.refusals import MEDIA_TYPE, Refusal


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server bears.

    - `connections`: open at once; with one more, the one that waits longest for a request is
      closed, and where none does, the new one.
    - `head_s`: from a connection, or the first byte of a further request, to the end of its head.
    - `body_s`: for a body, and a second more for every `body_bytes_per_s` that have come.
    - `drain_s`, `drain_bytes`: how long and how much of the rest of a body is still taken that is
      answered already, for clients that read only when they have sent all.
    - `idle_s`: between requests. `stall_s`: without a byte of an answer being taken.
    - `stop_s`: from a signal to the end of what is being answered.
    - `message_bytes`: of a message on a websocket.
    """

    connections: int = 512
    head_s: float = 10.0
    body_s: float = 60.0
    body_bytes_per_s: int = 64 * 1024
    drain_s: float = 2.0
    drain_bytes: int = 8 * 1024**2
    idle_s: int = 15
    stall_s: float = 60.0
    stop_s: int = 10
    message_bytes: int = 16 * 1024**2


BUSY = Refusal(
    503,
    "busy",
    "Too many connections are open",
    "try again in a moment",
    (("Retry-After", "1"),),
)
NO_HTTP = Refusal(400, "no-http", "This is no HTTP request", "it cannot be read")
LARGE_HEAD = Refusal(431, "large-head", "The request's head is too large", "make it shorter")
TOO_SLOW = Refusal(
    408, "slow-request", "The request came too slowly", "send it faster, or in smaller parts"
)


class Phase(Enum):
    """What a connection waits for."""

    HEAD = "the head of a request"
    KEPT = "another request"
    BODY = "the body of a request"
    ANSWER = "the application"
    DRAIN = "the rest of a body that nobody needs"
    OVER = "nothing: it is closed, or a websocket"


class Door:
    """What the connections of a server share; `enter` makes the protocol of a new one."""

    def __init__(self, limits: Limits, *, on_refused: Callable[[str], None] | None = None) -> None:
        self.limits = limits
        self.waiting: dict[Connection, None] = {}
        self._on_refused = on_refused

    def enter(self, **given: Any) -> Connection:
        """For uvicorn: its keywords for a protocol."""
        return Connection(self, **given)

    def has_room(self, open_connections: int) -> bool:
        """Whether one more may come; closes the one that has waited longest to make room."""
        if open_connections < self.limits.connections:
            return True
        oldest = next(iter(self.waiting), None)
        if oldest is None:
            return False
        self.tell("crowded-out")
        oldest.abort()
        return True

    def tell(self, name: str) -> None:
        """Say that a connection was ended, and why."""
        if self._on_refused is not None:
            self._on_refused(name)


class Connection(H11Protocol):
    """uvicorn's protocol, with deadlines."""

    def __init__(self, door: Door, **given: Any) -> None:
        super().__init__(**given)
        self._door = door
        self._limits = door.limits
        self._is_let_in = False
        self._phase = Phase.OVER
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._received_bytes = 0
        self._phase_began = (0.0, 0)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, or turn it away."""
        if not self._door.has_room(len(self.connections)):
            self._door.tell(BUSY.name)
            transport.write(_raw(BUSY))
            transport.close()
            return
        # A byte that is not taken is noticed: see pause_writing.
        transport.set_write_buffer_limits(high=0)
        self._is_let_in = True
        super().connection_made(transport)
        self._enter(Phase.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._enter(Phase.OVER)
        self._unstall()
        if self._is_let_in:
            super().connection_lost(exc)
            self._unset_keepalive_if_required()

    def abort(self) -> None:
        """End it at once, whatever was still to be sent."""
        self._enter(Phase.OVER)
        self.connections.discard(self)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if not self._is_let_in or self.transport.is_closing():
            return
        self._received_bytes += len(data)
        drained_bytes = self._received_bytes - self._phase_began[1]
        if self._phase is Phase.DRAIN and drained_bytes > self._limits.drain_bytes:
            self.transport.close()
            return
        super().data_received(data)
        if self._phase is Phase.KEPT:
            self._enter(Phase.HEAD)

    def handle_events(self) -> None:
        """Take what has come as far as it goes."""
        try:
            super().handle_events()
        except Exception as exc:  # whatever a client has sent, it ends its connection alone
            self.logger.debug("A connection is cut: %r", exc)
            self._cut(NO_HTTP)
            return
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._look()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, and close."""
        del msg
        # uvicorn calls this while it handles the error of h11, which knows the better status.
        hint = getattr(sys.exc_info()[1], "error_status_hint", HTTPStatus.BAD_REQUEST)
        too_large = hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        self._cut(LARGE_HEAD if too_large else NO_HTTP)

    def shutdown(self) -> None:
        """Close it, once what is being answered is."""
        with contextlib.suppress(h11.LocalProtocolError):
            super().shutdown()
            return
        self.transport.close()

    def pause_writing(self) -> None:
        """Bytes of an answer wait to be taken: not for ever."""
        super().pause_writing()
        self._stalled = self._stalled or self.loop.call_later(self._limits.stall_s, self._stall)

    def resume_writing(self) -> None:
        """They were."""
        super().resume_writing()
        self._unstall()

    def _stall(self) -> None:
        self._door.tell("slow-reader")
        self.abort()

    def _unstall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _look(self) -> None:
        """See what the connection waits for now."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._enter(Phase.OVER)
            return
        theirs = self.conn.their_state
        if theirs is h11.SEND_BODY:
            self._enter(Phase.DRAIN if self.conn.our_state is h11.DONE else Phase.BODY)
        elif theirs is not h11.IDLE:
            self._enter(Phase.ANSWER)
        elif self._phase is not Phase.HEAD:
            self._enter(Phase.KEPT)

    def _enter(self, phase: Phase) -> None:
        if phase is self._phase:
            return
        self._phase = phase
        self._door.waiting.pop(self, None)
        if phase in (Phase.HEAD, Phase.KEPT):
            self._door.waiting[self] = None
        self._phase_began = (time.monotonic(), self._received_bytes)
        after_s = {
            Phase.HEAD: self._limits.head_s,
            Phase.BODY: self._limits.body_s,
            Phase.DRAIN: self._limits.drain_s,
        }.get(phase)
        self._set_deadline(after_s)

    def _set_deadline(self, after_s: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if after_s is None else self.loop.call_later(after_s, self._is_due)

    def _is_due(self) -> None:
        self._deadline = None
        if self._phase is Phase.DRAIN:
            self.transport.close()
        elif self._phase is Phase.BODY and (more_s := self._body_has_s()) > 0:
            self._set_deadline(more_s)
        elif self._phase is Phase.HEAD and not self._received_bytes:
            self._door.tell(TOO_SLOW.name)
            self.abort()  # nothing was asked: nothing is answered
        else:
            self._cut(TOO_SLOW)

    def _body_has_s(self) -> float:
        """How much longer the body may take."""
        if self.flow.read_paused:
            return self._limits.body_s / 4  # the application is slow, not the client
        began_s, began_bytes = self._phase_began
        earned_s = (self._received_bytes - began_bytes) / self._limits.body_bytes_per_s
        return began_s + self._limits.body_s + earned_s - time.monotonic()

    def _cut(self, refusal: Refusal) -> None:
        """Answer with a refusal where no answer has begun, and close."""
        self._door.tell(refusal.name)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.abort()
                return
        if self._phase is not Phase.DRAIN:
            self.transport.write(_raw(refusal))
        self.transport.close()
        self._enter(Phase.OVER)


def _raw(refusal: Refusal) -> bytes:
    """An answer where there is no application to give one."""
    status = HTTPStatus(refusal.status)
    fields = [
        ("Content-Type", MEDIA_TYPE),
        ("Content-Length", str(len(refusal.body))),
        ("Connection", "close"),
        ("X-Content-Type-Options", "nosniff"),
        *refusal.headers,
    ]
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{head}\r\n".encode() + refusal.body

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

from mmsearch.server import problems
from mmsearch.server.problems import MEDIA_TYPE, Problem


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits that a server sets to its connections.

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


BUSY = Problem(problems.MANY_CONNECTIONS, "try again in a moment", headers={"Retry-After": "1"})
NO_HTTP = Problem(problems.NO_HTTP, "it cannot be read")
LARGE_HEAD = Problem(problems.LARGE_HEAD, "make it shorter")
TOO_SLOW = Problem(problems.SLOW_REQUEST, "send it faster, or in smaller parts")


class ConnectionPhase(Enum):
    """The thing that a connection waits for."""

    HEAD = "the head of a request"
    KEPT = "another request"
    BODY = "the body of a request"
    ANSWER = "the application"
    DRAIN = "the rest of a body that nobody needs"
    OVER = "nothing: it is closed, or a websocket"


class ConnectionRegistry:
    """The state that the connections of a server share; makes a protocol for each of them."""

    def __init__(
        self, limits: ConnectionLimits, *, on_refused: Callable[[str], None] | None = None
    ) -> None:
        self.limits = limits
        self.waiting: dict[Connection, None] = {}
        self._on_refused = on_refused

    def create_connection(self, **options: Any) -> Connection:
        """Makes the protocol of a new connection from the options that uvicorn passes."""
        return Connection(self, **options)

    def make_room(self, open_connections: int) -> bool:
        """Returns True if one more may come; closes the one that has waited longest if need be."""
        if open_connections < self.limits.connections:
            return True
        oldest = next(iter(self.waiting), None)
        if oldest is None:
            return False
        self.report_refusal("crowded-out")
        oldest.abort()
        return True

    def report_refusal(self, name: str) -> None:
        """Reports the reason why a connection was ended."""
        if self._on_refused is not None:
            self._on_refused(name)


class Connection(H11Protocol):
    """uvicorn's protocol, with deadlines."""

    def __init__(self, registry: ConnectionRegistry, **options: Any) -> None:
        super().__init__(**options)
        self._registry = registry
        self._limits = registry.limits
        self._is_admitted = False
        self._phase = ConnectionPhase.OVER
        self._deadline: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._received_bytes = 0
        self._phase_began = (0.0, 0)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admits the connection, or refuses it."""
        if not self._registry.make_room(len(self.connections)):
            self._registry.report_refusal(BUSY.type.name)
            transport.write(_format_response(BUSY))
            transport.close()
            return
        # So that `pause_writing` is called for any byte that the client does not take.
        transport.set_write_buffer_limits(high=0)
        self._is_admitted = True
        super().connection_made(transport)
        self._set_phase(ConnectionPhase.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancels the timers of the connection."""
        self._set_phase(ConnectionPhase.OVER)
        self._cancel_stall_timer()
        if self._is_admitted:
            super().connection_lost(exc)
            self._unset_keepalive_if_required()

    def abort(self) -> None:
        """Ends the connection at once, whatever was still to be sent."""
        self._set_phase(ConnectionPhase.OVER)
        self.connections.discard(self)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Passes bytes on, and bounds those that nobody needs."""
        if not self._is_admitted or self.transport.is_closing():
            return
        self._received_bytes += len(data)
        drained_bytes = self._received_bytes - self._phase_began[1]
        if self._phase is ConnectionPhase.DRAIN and drained_bytes > self._limits.drain_bytes:
            self.transport.close()
            return
        super().data_received(data)
        if self._phase is ConnectionPhase.KEPT:
            self._set_phase(ConnectionPhase.HEAD)

    def handle_events(self) -> None:
        """Handles the events of the bytes that have come."""
        try:
            super().handle_events()
        except Exception as exc:  # whatever a client has sent, it ends its connection alone
            self.logger.debug("A connection is cut: %r", exc)
            self._refuse(NO_HTTP)
            return
        self._update_phase()

    def on_response_complete(self) -> None:
        """Waits for the next request."""
        super().on_response_complete()
        self._update_phase()

    def send_400_response(self, msg: str) -> None:
        """Answers bytes that are no HTTP, and closes."""
        del msg
        # uvicorn calls this while it handles the error of h11, which knows the better status.
        hint = getattr(sys.exc_info()[1], "error_status_hint", HTTPStatus.BAD_REQUEST)
        too_large = hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        self._refuse(LARGE_HEAD if too_large else NO_HTTP)

    def shutdown(self) -> None:
        """Closes the connection after the answer that is being sent."""
        with contextlib.suppress(h11.LocalProtocolError):
            super().shutdown()
            return
        self.transport.close()

    def pause_writing(self) -> None:
        """Starts the time that a client has to take the bytes of an answer."""
        super().pause_writing()
        self._stall_timer = self._stall_timer or self.loop.call_later(
            self._limits.stall_s, self._abort_stalled
        )

    def resume_writing(self) -> None:
        """Stops the time that `pause_writing` started."""
        super().resume_writing()
        self._cancel_stall_timer()

    def _abort_stalled(self) -> None:
        self._registry.report_refusal("slow-reader")
        self.abort()

    def _cancel_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _update_phase(self) -> None:
        """Sets the phase by the states of h11."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._set_phase(ConnectionPhase.OVER)
            return
        client_state = self.conn.their_state
        if client_state is h11.SEND_BODY:
            self._set_phase(
                ConnectionPhase.DRAIN if self.conn.our_state is h11.DONE else ConnectionPhase.BODY
            )
        elif client_state is not h11.IDLE:
            self._set_phase(ConnectionPhase.ANSWER)
        elif self._phase is not ConnectionPhase.HEAD:
            self._set_phase(ConnectionPhase.KEPT)

    def _set_phase(self, phase: ConnectionPhase) -> None:
        if phase is self._phase:
            return
        self._phase = phase
        self._registry.waiting.pop(self, None)
        if phase in (ConnectionPhase.HEAD, ConnectionPhase.KEPT):
            self._registry.waiting[self] = None
        self._phase_began = (time.monotonic(), self._received_bytes)
        deadlines_s = {
            ConnectionPhase.HEAD: self._limits.head_s,
            ConnectionPhase.BODY: self._limits.body_s,
            ConnectionPhase.DRAIN: self._limits.drain_s,
        }
        self._set_deadline(deadlines_s.get(phase))

    def _set_deadline(self, after_s: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = (
            None if after_s is None else self.loop.call_later(after_s, self._on_deadline)
        )

    def _on_deadline(self) -> None:
        self._deadline = None
        if self._phase is ConnectionPhase.DRAIN:
            self.transport.close()
        elif self._phase is ConnectionPhase.BODY and (remaining_s := self._remaining_body_s()) > 0:
            self._set_deadline(remaining_s)
        elif self._phase is ConnectionPhase.HEAD and not self._received_bytes:
            self._registry.report_refusal(TOO_SLOW.type.name)
            self.abort()  # nothing was asked: nothing is answered
        else:
            self._refuse(TOO_SLOW)

    def _remaining_body_s(self) -> float:
        """Returns the seconds that the body may still take."""
        if self.flow.read_paused:
            return self._limits.body_s / 4  # the application is slow, not the client
        began_s, began_bytes = self._phase_began
        earned_s = (self._received_bytes - began_bytes) / self._limits.body_bytes_per_s
        return began_s + self._limits.body_s + earned_s - time.monotonic()

    def _refuse(self, problem: Problem) -> None:
        """Answers with a problem where no answer has begun, and closes."""
        self._registry.report_refusal(problem.type.name)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.abort()
                return
        if self._phase is not ConnectionPhase.DRAIN:
            self.transport.write(_format_response(problem))
        self.transport.close()
        self._set_phase(ConnectionPhase.OVER)


def _format_response(problem: Problem) -> bytes:
    """Formats an answer where there is no application to give one."""
    status, body = HTTPStatus(problem.type.status), problem.body
    fields = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "Connection": "close",
        "X-Content-Type-Options": "nosniff",
        **problem.headers,
    }
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{head}\r\n".encode() + body

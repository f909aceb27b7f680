"""Runs an application as a server, until the process is told to stop."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from mmsearch.errors import ConfigError, MmsearchError
from mmsearch.server.guard.connections import ConnectionLimits, ConnectionRegistry
from mmsearch.server.guard.hosts import format_url, is_loopback

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

STOPPING = "mmsearch.stopping"
"""Key in `extensions` of a scope: a function that tells if the server is being stopped, for answers
that would go on for ever."""
BACKLOG = 128
OWN_DESCRIPTORS = 256
"""For the library, files that are sent and processes; the rest may be connections."""
ACCEPTED_AHEAD = 4 * BACKLOG
"""Connections that may be open for a moment before they are counted and refused."""
MIN_CONNECTIONS = 16
ENDS_S = 60.0
"""The time after a signal in which the process ends, whatever does not stop."""
ENDS_AT_ONCE_S = 1.0
EXIT_INTERRUPTED = 130
DEFAULT_LIMITS = ConnectionLimits()


def serve(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    has_token: bool = False,
    limits: ConnectionLimits = DEFAULT_LIMITS,
    on_bound: Callable[[str], None] = lambda _url: None,
    on_refused: Callable[[str], None] | None = None,
) -> None:
    """Serves an application at an address, until SIGINT or SIGTERM; a second one ends it at once.

    `has_token`: the application asks every caller for a token (see
    `mmsearch.server.guard.guard.Guard`); without one only this machine may reach it. `on_bound` is
    called with the URL once it answers there; `on_refused` with the names of reasons why
    connections were ended. To be called in the main thread; another one handles no signals.

    Raises ConfigError for an address that others can reach without a token, is taken or is none of
    this machine, and the errors of the application on its start.
    """
    with bind(host, port, has_token=has_token) as bound:
        registry = ConnectionRegistry(_fit_to_descriptors(limits), on_refused=on_refused)
        served = _LifecycleApp(app)
        config = uvicorn.Config(
            served,
            http=registry.create_connection,  # type: ignore[arg-type]  # it is only called
            loop="asyncio",
            lifespan="on",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,  # anybody can send them
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=limits.idle_s,
            timeout_graceful_shutdown=limits.stop_s,
            ws_max_size=limits.message_bytes,
        )
        server = _Server(config, lambda: on_bound(format_url(host, bound.getsockname()[1])))
        served.is_stopping = lambda: server.should_exit
        try:
            server.run(sockets=[bound])
        except SystemExit:
            if served.failure is not None:
                raise served.failure from None
            raise
        if served.failure is not None:
            raise served.failure


def bind(host: str, port: int, *, has_token: bool) -> socket.socket:
    """Opens a socket that is bound to an address; raises ConfigError, see `serve`."""
    family, address = _resolve(host, port)
    if not (has_token or is_loopback(address[0])):
        raise ConfigError(
            f"others can reach {host}, and nothing would keep them out: leave --host out, or, "
            f"where there is a --token-file, set a token with it or with MMSEARCH_TOKEN"
        )
    # Where the protocol is not named, asyncio leaves TCP_NODELAY off, and answers wait for 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `::` is all addresses, those of IPv4 too.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
    except OSError as exc:
        bound.close()
        raise ConfigError(_explain_bind_error(host, port, exc)) from exc
    return bound


def _resolve(host: str, port: int) -> tuple[int, tuple[Any, ...]]:
    name = "127.0.0.1" if host.lower() == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        addresses = socket.getaddrinfo(
            name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except (OSError, UnicodeError, OverflowError) as exc:
        raise ConfigError(f"{host}:{port} is no address: leave --host out for 127.0.0.1") from exc
    return addresses[0][0], addresses[0][4]


def _explain_bind_error(host: str, port: int, error: OSError) -> str:
    prefix = f"{host}:{port} cannot be listened at: "
    if error.errno == errno.EADDRINUSE:
        return f"{prefix}another program does; name another --port, or 0 for any that is free"
    if error.errno == errno.EACCES:
        return f"{prefix}ports below 1024 are the administrator's; name another --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{prefix}it is no address of this machine; leave --host out for 127.0.0.1"
    return f"{prefix}{error.strerror or error}"


def _fit_to_descriptors(limits: ConnectionLimits) -> ConnectionLimits:
    """Lowers limits to the open files that the process may have, after raising that number."""
    import resource  # here: Windows has none, and nothing else needs it

    needed = limits.connections + OWN_DESCRIPTORS + ACCEPTED_AHEAD
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    if soft == resource.RLIM_INFINITY:
        return limits
    room = max(MIN_CONNECTIONS, soft - OWN_DESCRIPTORS - ACCEPTED_AHEAD)
    return replace(limits, connections=min(limits.connections, room))


class _LifecycleApp:
    """An application that can see when the server stops, and whose errors on its start are kept."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.is_stopping: Callable[[], bool] = lambda: False
        self.failure: MmsearchError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            scope["extensions"] = {**scope.get("extensions", {}), STOPPING: self.is_stopping}
            await self._app(scope, receive, send)
            return

        has_sent = False

        async def send_quietly(message: Message) -> None:
            nonlocal has_sent
            has_sent = True
            # Its text is a traceback, which uvicorn would print.
            await send({**message, "message": ""} if "message" in message else message)

        try:
            await self._app(scope, receive, send_quietly)
        except MmsearchError as exc:
            self.failure = exc
            if not has_sent:
                await send({"type": "lifespan.startup.failed", "message": ""})


class _Server(uvicorn.Server):
    """uvicorn's server, with signals that mean the same wherever it runs."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._exit_timer: threading.Timer | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handles signals without raising them again, so that callers may clean up."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        caught = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in caught}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self._exit_timer is not None:
                self._exit_timer.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stops the server; on the second signal ends the process."""
        del sig, frame
        self.force_exit = self.should_exit
        self.should_exit = True
        if self._exit_timer is not None:
            self._exit_timer.cancel()
        self._exit_timer = threading.Timer(
            ENDS_AT_ONCE_S if self.force_exit else ENDS_S, _exit_process
        )
        self._exit_timer.daemon = True
        self._exit_timer.start()


def _exit_process() -> None:
    os._exit(EXIT_INTERRUPTED)

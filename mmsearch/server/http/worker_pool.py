"""Runs blocking work in a bounded pool of threads: so much at once, so much waiting, so long."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_all
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

MAX_RETRY_S = 60
_FORGOTTEN = 0.1
"""How much the last run counts for the time that a run is expected to take."""


class Refused(Exception):
    """There was no room, or no time, to begin; trying again helps. `retry_after_s` says when."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Full(Refused):
    """As many wait already as may."""


class Late(Refused):
    """The time was over before its turn came."""


class Stopping(Refused):
    """The pool is being closed."""


class TooSlow(Exception):
    """The work took longer than it may; it was told to stop, and its result is dropped."""


class Abandoned(Exception):
    """Nobody waits for the result any more."""


class Observer(Protocol):
    """Who is told how the pool does; called from the event loop and from the pool's threads."""

    def began(self, waited_s: float) -> None:
        """A run began after it had waited so long."""
        ...

    def ended(self) -> None:
        """A run ended."""
        ...

    def refused(self, reason: str) -> None:
        """A run was refused: "full", "late" or "stopping"."""
        ...


class Ticket:
    """What a run holds: it may ask whether to go on."""

    def __init__(self, timeout_s: float) -> None:
        self._stopped = threading.Event()
        self._deadline = time.monotonic() + timeout_s
        self._since = time.monotonic()

    def is_stopped(self) -> bool:
        """Whether nobody waits for the result, or its time is over."""
        return self._stopped.is_set() or time.monotonic() > self._deadline

    def stop(self) -> None:
        """Tell the run that nobody waits for it."""
        self._stopped.set()

    @property
    def age_s(self) -> float:
        """How long ago it was handed out."""
        return time.monotonic() - self._since


class Engine:
    """A pool of `threads`; at most `queue` more wait, and each has `timeout_s` from its beginning.

    Work is a function of its `Ticket`. What cannot be interrupted keeps its thread until it is
    done, so that there are never more than `threads` at work, whoever gave up.
    """

    def __init__(
        self,
        name: str,
        *,
        threads: int,
        queue: int,
        timeout_s: float,
        observer: Observer | None = None,
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"mmsearch-{name}")
        self._threads = threads
        self._most = threads + queue
        self._timeout_s = timeout_s
        self._observer = observer
        self._lock = threading.Lock()
        self._live: dict[Future[Any], Ticket] = {}
        self._usual_s = 0.05
        self._is_closed = False

    @property
    def live(self) -> int:
        """How many runs are at work or wait."""
        return len(self._live)

    async def run(self, work: Callable[[Ticket], T], *, gone: Callable[[], Awaitable[object]]) -> T:
        """What `work` gives; `gone` is awaited beside it, and ends when the caller leaves.

        Raises Full, Late or Stopping where it did not begin, TooSlow, Abandoned, and what the work
        raises.
        """
        ticket = Ticket(self._timeout_s)
        submitted = self._submit(work, ticket)
        result = asyncio.wrap_future(submitted)
        result.add_done_callback(_retrieved)
        leaving = asyncio.ensure_future(gone())
        try:
            await asyncio.wait(
                (result, leaving),
                timeout=self._timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if result.cancelled():  # by `close`
                self._tell_refused("stopping")
                raise Stopping(1)
            if result.done():
                return result.result()
            if leaving.done():
                raise Abandoned
            if submitted.cancel():
                self._tell_refused("late")
                raise Late(self._retry_after_s())
            raise TooSlow
        finally:
            leaving.cancel()
            if not submitted.done():
                ticket.stop()
                submitted.cancel()

    def _submit(self, work: Callable[[Ticket], T], ticket: Ticket) -> Future[T]:
        with self._lock:
            if self._is_closed:
                self._tell_refused("stopping")
                raise Stopping(1)
            if len(self._live) >= self._most:
                self._tell_refused("full")
                raise Full(self._retry_after_s())
            submitted = self._pool.submit(self._run, work, ticket)
            self._live[submitted] = ticket
        submitted.add_done_callback(self._forget)
        return submitted

    def _run(self, work: Callable[[Ticket], T], ticket: Ticket) -> T:
        if self._observer is not None:
            self._observer.began(ticket.age_s)
        began = time.monotonic()
        try:
            return work(ticket)
        finally:
            took_s = time.monotonic() - began
            self._usual_s += _FORGOTTEN * (took_s - self._usual_s)
            if self._observer is not None:
                self._observer.ended()

    def _forget(self, done: Future[Any]) -> None:
        with self._lock:
            self._live.pop(done, None)

    def _retry_after_s(self) -> int:
        """When there is likely to be room: what waits, at the pace of the last runs."""
        expected_s = self._usual_s * len(self._live) / self._threads
        return max(1, min(MAX_RETRY_S, math.ceil(expected_s)))

    def _tell_refused(self, reason: str) -> None:
        if self._observer is not None:
            self._observer.refused(reason)

    def close(self, within_s: float = 10.0) -> None:
        """Let nothing in, drop what waits, tell what runs to stop, and wait for it so long."""
        with self._lock:
            self._is_closed = True
            live = dict(self._live)
        for submitted, ticket in live.items():
            ticket.stop()
            submitted.cancel()
        wait_for_all([one for one in live if not one.done()], within_s)
        self._pool.shutdown(wait=False, cancel_futures=True)


def _retrieved(result: asyncio.Future[Any]) -> None:
    """An error that nobody waits for any more is no error."""
    if not result.cancelled():
        result.exception()

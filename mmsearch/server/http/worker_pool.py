"""Runs blocking work in a pool of threads, with bounds on its queue and its time."""

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
_SMOOTHING = 0.1
"""Weight of the last run in the exponential average of their times."""


class PoolRefusal(Exception):
    """Raised where work could not begin; it is worth trying again after `retry_after_s`."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class QueueFull(PoolRefusal):
    """Raised where as much work waits as may."""


class QueueTimeout(PoolRefusal):
    """Raised where the time of work was over before its turn came."""


class PoolClosing(PoolRefusal):
    """Raised while the pool is being closed."""


class WorkTimeout(Exception):
    """Raised where work took too long; it is told to stop, and its result is dropped."""


class ClientGone(Exception):
    """Raised where nobody waits for the result any more."""


class PoolObserver(Protocol):
    """Records the runs of a pool; called from the event loop and from the pool's threads."""

    def record_start(self, waited_s: float) -> None:
        """Records a run that begins after it has waited."""
        ...

    def record_end(self) -> None:
        """Records a run that has ended."""
        ...

    def record_refusal(self, reason: str) -> None:
        """Records a refused run, for the reason "full", "late" or "stopping"."""
        ...


class CancellationToken:
    """Tells a run if it should go on."""

    def __init__(self, timeout_s: float) -> None:
        self._stopped = threading.Event()
        self._deadline = time.monotonic() + timeout_s
        self._created_s = time.monotonic()

    def is_stopped(self) -> bool:
        """Returns True where nobody waits for the result, or its time is over."""
        return self._stopped.is_set() or time.monotonic() > self._deadline

    def stop(self) -> None:
        """Tells the run that nobody waits for it."""
        self._stopped.set()

    @property
    def age_s(self) -> float:
        """The time since the token was made."""
        return time.monotonic() - self._created_s


class WorkerPool:
    """A pool of `threads` with `queue` more runs that may wait, each of at most `timeout_s`.

    Work is a function of its CancellationToken. Work that cannot be interrupted keeps its thread
    until it is done, so that never more than `threads` run.
    """

    def __init__(
        self,
        name: str,
        *,
        threads: int,
        queue: int,
        timeout_s: float,
        observer: PoolObserver | None = None,
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"mmsearch-{name}")
        self._threads = threads
        self._max_pending = threads + queue
        self._timeout_s = timeout_s
        self._observer = observer
        self._lock = threading.Lock()
        self._pending: dict[Future[Any], CancellationToken] = {}
        self._average_s = 0.05
        self._is_closed = False

    @property
    def pending_count(self) -> int:
        """The number of runs that are at work or wait."""
        return len(self._pending)

    async def run(
        self,
        work: Callable[[CancellationToken], T],
        *,
        wait_for_disconnect: Callable[[], Awaitable[object]],
    ) -> T:
        """Runs `work` until it ends, its time is over, or `wait_for_disconnect` returns.

        Raises QueueFull, QueueTimeout or PoolClosing where work did not begin, WorkTimeout,
        ClientGone, and the errors of the work.
        """
        token = CancellationToken(self._timeout_s)
        submitted = self._submit(work, token)
        result = asyncio.wrap_future(submitted)
        result.add_done_callback(_retrieve_error)
        disconnect = asyncio.ensure_future(wait_for_disconnect())
        try:
            await asyncio.wait(
                (result, disconnect),
                timeout=self._timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if result.cancelled():  # by `close`
                self._record_refusal("stopping")
                raise PoolClosing(1)
            if result.done():
                return result.result()
            if disconnect.done():
                raise ClientGone
            if submitted.cancel():
                self._record_refusal("late")
                raise QueueTimeout(self._retry_after_s())
            raise WorkTimeout
        finally:
            disconnect.cancel()
            if not submitted.done():
                token.stop()
                submitted.cancel()

    def _submit(
        self, work: Callable[[CancellationToken], T], token: CancellationToken
    ) -> Future[T]:
        with self._lock:
            if self._is_closed:
                self._record_refusal("stopping")
                raise PoolClosing(1)
            if len(self._pending) >= self._max_pending:
                self._record_refusal("full")
                raise QueueFull(self._retry_after_s())
            submitted = self._pool.submit(self._run, work, token)
            self._pending[submitted] = token
        submitted.add_done_callback(self._remove_pending)
        return submitted

    def _run(self, work: Callable[[CancellationToken], T], token: CancellationToken) -> T:
        if self._observer is not None:
            self._observer.record_start(token.age_s)
        began = time.monotonic()
        try:
            return work(token)
        finally:
            took_s = time.monotonic() - began
            self._average_s += _SMOOTHING * (took_s - self._average_s)
            if self._observer is not None:
                self._observer.record_end()

    def _remove_pending(self, done: Future[Any]) -> None:
        with self._lock:
            self._pending.pop(done, None)

    def _retry_after_s(self) -> int:
        """Estimates when there is room: the waiting runs, at the average of their times."""
        expected_s = self._average_s * len(self._pending) / self._threads
        return max(1, min(MAX_RETRY_S, math.ceil(expected_s)))

    def _record_refusal(self, reason: str) -> None:
        if self._observer is not None:
            self._observer.record_refusal(reason)

    def close(self, within_s: float = 10.0) -> None:
        """Drops waiting work, tells running work to stop, and waits `within_s` for it."""
        with self._lock:
            self._is_closed = True
            pending = dict(self._pending)
        for submitted, token in pending.items():
            token.stop()
            submitted.cancel()
        wait_for_all([run for run in pending if not run.done()], within_s)
        self._pool.shutdown(wait=False, cancel_futures=True)


def _retrieve_error(result: asyncio.Future[Any]) -> None:
    """Marks an error as retrieved, so that asyncio does not report it."""
    if not result.cancelled():
        result.exception()

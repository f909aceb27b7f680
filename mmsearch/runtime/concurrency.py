"""Lazy values and background calls, safe to use from many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar, cast

T = TypeVar("T")
POOL_THREADS = 8


class LazyValues:
    """Values by name, each computed once by the first thread that asks for it.

    Each has a lock of its own, so that different ones are computed side by side and may use each
    other. (`functools.cached_property` lets two threads compute the same value.)
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._locks: dict[str, threading.RLock] = {}
        self._guard = threading.Lock()

    def get(self, name: str, compute: Callable[[], T]) -> T:
        """Returns the value of that name; computes it first if it is missing."""
        if name not in self.values:
            with self._guard:
                lock = self._locks.setdefault(name, threading.RLock())
            with lock:
                if name not in self.values:
                    self.values[name] = compute()
        return cast("T", self.values[name])


class ConcurrencyGauge:
    """Counts the threads that are in a section; entering it gives their number."""

    def __init__(self) -> None:
        self._count = 0
        self._guard = threading.Lock()

    def __enter__(self) -> int:
        with self._guard:
            self._count += 1
            return self._count

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._count -= 1


@lru_cache(maxsize=1)
def _get_pool() -> ThreadPoolExecutor:
    # More threads than processors: most calls wait for a disk or for another library.
    return ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="background")


def submit(function: Callable[[], T]) -> Future[T]:
    """Calls a function in one of a few threads that are kept; it must not wait for another call.

    For calls of milliseconds: `run_in_thread` takes a tenth of one to start its thread.
    """
    return _get_pool().submit(function)


def _run_into(future: Future[T], function: Callable[[], T]) -> None:
    try:
        future.set_result(function())
    except BaseException as exc:  # raised by future.result()
        future.set_exception(exc)


def run_in_thread(function: Callable[[], T]) -> Future[T]:
    """Calls a function in a thread of its own, which keeps no process from ending."""
    future: Future[T] = Future()
    threading.Thread(target=_run_into, args=(future, function), daemon=True).start()
    return future


def run_uninterrupted(function: Callable[[], T]) -> T:
    """Runs a function to its end in a thread that no Ctrl-C reaches, and raises it afterwards.

    Signals are delivered to the main thread alone, and there they can hit between any two steps.
    """
    future: Future[T] = Future()
    turn = threading.Lock()

    def run() -> None:
        if turn.acquire(blocking=False):  # else a second thread, started after an interrupt
            _run_into(future, function)

    interrupt: KeyboardInterrupt | None = None
    while not future.done():
        try:
            threading.Thread(target=run, daemon=True).start()
            future.exception()
        except KeyboardInterrupt as exc:
            interrupt = exc
    if interrupt is not None and future.exception() is None:
        raise interrupt
    return future.result()

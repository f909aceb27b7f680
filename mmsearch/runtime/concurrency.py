"""What several threads share: things that are made once, and things made aside."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar, cast

T = TypeVar("T")
ASIDE = 8


class Once:
    """Things by their names, each made by whoever wants it first.

    A lock for each, so that different ones are made side by side, and one that wants another while
    it is made may have it. (`functools.cached_property` lets two threads make the same thing.)
    """

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}
        self._locks: dict[str, threading.RLock] = {}
        self._guard = threading.Lock()

    def get(self, name: str, make: Callable[[], T]) -> T:
        """The thing of that name, made now where it is not there yet."""
        if name not in self.made:
            with self._guard:
                lock = self._locks.setdefault(name, threading.RLock())
            with lock:
                if name not in self.made:
                    self.made[name] = make()
        return cast("T", self.made[name])


class Crowd:
    """Counts those who do something at a time; who comes in is told how many they are then."""

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
def _pool() -> ThreadPoolExecutor:
    # More than processors: most of what is done aside waits for a disk or for another library.
    return ThreadPoolExecutor(ASIDE, thread_name_prefix="aside")


def aside(make: Callable[[], T]) -> Future[T]:
    """What `make` gives, made in one of a few threads that are kept; it must not wait for another.

    For what takes milliseconds: `started` takes a tenth of one to make its thread.
    """
    return _pool().submit(make)


def started(make: Callable[[], T]) -> Future[T]:
    """What `make` gives, made in a thread of its own, which keeps no process from ending."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(make())
        except BaseException as exc:  # told where the result is wanted
            future.set_exception(exc)

    threading.Thread(target=run, daemon=True).start()
    return future


def uninterrupted(make: Callable[[], T]) -> T:
    """Runs `make` to its end in a thread that no Ctrl-C reaches; one that comes is raised then.

    Signals are delivered to the main thread alone, and there they can hit between any two steps.
    """
    future: Future[T] = Future()
    turn = threading.Lock()

    def run() -> None:
        if turn.acquire(blocking=False):  # a second thread, started after an interrupt
            try:
                future.set_result(make())
            except BaseException as exc:  # raised below
                future.set_exception(exc)

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

"""A pool of threads, each with a decoder process, that start on demand and end when idle."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from mmsearch.errors import MmsearchError
from mmsearch.media.isolation import Decoder

T = TypeVar("T")
IDLE_S = 60.0
"""The idle time after which a decoder process is ended."""
DEADLINE_S = 30.0
"""The most time that one preview may take."""
WAITING = 1000
"""The most tasks that may wait; further ones are refused."""


class Busy(MmsearchError):
    """Too many previews wait to be made: ask again in a moment."""


class PreviewWorkers(Generic[T]):
    """At most `count` threads that do tasks in order."""

    def __init__(self, count: int, *, idle_s: float = IDLE_S) -> None:
        self._count = max(1, count)
        self._idle_s = idle_s
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Callable[[Decoder], T], Future[T]]] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._is_closed = False

    def submit(self, work: Callable[[Decoder], T]) -> Future[T]:
        """Submits `work`, to be called with a decoder that stops after `DEADLINE_S`.

        Raises Busy where `WAITING` tasks wait already, and after `close`.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._is_closed or len(self._waiting) >= WAITING:
                raise Busy("too many previews are waited for: ask again in a moment")
            self._waiting.append((work, future))
            if self._idle >= len(self._waiting):
                self._changed.notify()
            elif len(self._threads) < self._count:
                thread = threading.Thread(target=self._run_thread, daemon=True, name="previews")
                self._threads.add(thread)
                thread.start()
        return future

    def close(self) -> None:
        """Ends running tasks and takes no more; waiting ones raise Busy."""
        with self._changed:
            self._is_closed = True
            waiting, self._waiting = self._waiting, deque()
            threads = list(self._threads)
            self._changed.notify_all()
        for _, future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(Busy("previews are not made any more"))
        for thread in threads:
            thread.join()

    def _run_thread(self) -> None:
        clock = _Deadline(lambda: self._is_closed)
        with Decoder(is_stopped=clock.is_over) as decoder:
            while (task := self._next_task()) is not None:
                clock.start()
                _run_task(*task, decoder)
                del task  # so that no image is kept alive until the next task

    def _next_task(self) -> tuple[Callable[[Decoder], T], Future[T]] | None:
        """Waits for the next task; None when this thread is to end."""
        with self._changed:
            deadline = time.monotonic() + self._idle_s
            while not self._waiting and not self._is_closed:
                self._idle += 1
                self._changed.wait(deadline - time.monotonic())
                self._idle -= 1
                if time.monotonic() >= deadline:
                    break
            if self._waiting:
                return self._waiting.popleft()
            self._threads.discard(threading.current_thread())
            return None


def _run_task(work: Callable[[Decoder], T], future: Future[T], decoder: Decoder) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(work(decoder))
        except BaseException as exc:  # raised from the future
            future.set_exception(exc)


class _Deadline:
    """The deadline of a decoder."""

    def __init__(self, is_closed: Callable[[], bool]) -> None:
        self._is_closed = is_closed
        self._deadline = 0.0

    def start(self) -> None:
        self._deadline = time.monotonic() + DEADLINE_S

    def is_over(self) -> bool:
        return self._is_closed() or time.monotonic() > self._deadline

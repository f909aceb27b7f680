"""A few threads, each with a decoder process, that come when there is work and go when none is."""

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
"""A decoder process that had nothing to do for so long is ended."""
DEADLINE_S = 30.0
"""No preview may take longer, whatever its decoder hands over meanwhile."""
WAITING = 1000
"""How many may wait; whoever comes then is told to come again."""


class Busy(MmsearchError):
    """As many previews wait to be made as may: ask again in a moment."""


class Workers(Generic[T]):
    """At most `count` threads that do what is asked for in the order in which it was asked for."""

    def __init__(self, count: int, *, idle_s: float = IDLE_S) -> None:
        self._count = max(1, count)
        self._idle_s = idle_s
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Callable[[Decoder], T], Future[T]]] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._is_closed = False

    def ask(self, work: Callable[[Decoder], T]) -> Future[T]:
        """What `work` will give, called with a decoder that stops after `DEADLINE_S`.

        Raises Busy where too much waits already, and where these are closed.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._is_closed or len(self._waiting) >= WAITING:
                raise Busy("too many previews are waited for: ask again in a moment")
            self._waiting.append((work, future))
            if self._idle >= len(self._waiting):
                self._changed.notify()
            elif len(self._threads) < self._count:
                thread = threading.Thread(target=self._work, daemon=True, name="previews")
                self._threads.add(thread)
                thread.start()
        return future

    def close(self) -> None:
        """End what goes on, and take nothing more; what waits is told Busy."""
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

    def _work(self) -> None:
        clock = _Clock(lambda: self._is_closed)
        with Decoder(is_stopped=clock.is_over) as decoder:
            while (asked := self._next()) is not None:
                clock.start()
                _do(*asked, decoder)
                del asked  # not to keep a picture alive until somebody asks for another

    def _next(self) -> tuple[Callable[[Decoder], T], Future[T]] | None:
        """What to do now, waited for; None when this thread is to end."""
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


def _do(work: Callable[[Decoder], T], future: Future[T], decoder: Decoder) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(work(decoder))
        except BaseException as exc:  # told where the result is wanted
            future.set_exception(exc)


class _Clock:
    """Says when a decoder has had its time."""

    def __init__(self, is_closed: Callable[[], bool]) -> None:
        self._is_closed = is_closed
        self._deadline = 0.0

    def start(self) -> None:
        self._deadline = time.monotonic() + DEADLINE_S

    def is_over(self) -> bool:
        return self._is_closed() or time.monotonic() > self._deadline

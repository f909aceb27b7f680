"""What waits for the encoder: bounded in bytes, taken in batches."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Waiting(Generic[_T]):
    """A queue whose bound is memory: what waits takes at most `limit_bytes`, or is one thing.

    Many threads put, one takes.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._things: deque[tuple[_T, int]] = deque()
        self._changed = threading.Condition()

    def put(self, thing: _T, size_bytes: int, timeout_s: float) -> bool:
        """Whether there was room for it in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(size_bytes), timeout_s):
                return False
            self._things.append((thing, size_bytes))
            self._held_bytes += size_bytes
            self._changed.notify_all()
            return True

    def take(self, most: int, timeout_s: float) -> list[_T]:
        """What is there, in order, at most so many; empty where nothing came in time."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._things), timeout_s)
            taken = [self._things.popleft() for _ in range(min(most, len(self._things)))]
            self._held_bytes -= sum(size for _, size in taken)
            self._changed.notify_all()
            return [thing for thing, _ in taken]

    def _has_room(self, size_bytes: int) -> bool:
        return not self._things or self._held_bytes + size_bytes <= self._limit_bytes

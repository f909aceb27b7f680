"""A queue of encoder work, bounded in bytes and taken in batches."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

_T = TypeVar("_T")


class BatchQueue(Generic[_T]):
    """A queue with a bound in memory: it holds at most `limit_bytes`, or one larger item.

    Many threads put, one takes.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._items: deque[tuple[_T, int]] = deque()
        self._changed = threading.Condition()

    def put(self, item: _T, size_bytes: int, timeout_s: float) -> bool:
        """Returns True if there was room for the item in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(size_bytes), timeout_s):
                return False
            self._items.append((item, size_bytes))
            self._held_bytes += size_bytes
            self._changed.notify_all()
            return True

    def take(self, limit: int, timeout_s: float) -> list[_T]:
        """Returns at most `limit` items in order; empty where none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items), timeout_s)
            taken = [self._items.popleft() for _ in range(min(limit, len(self._items)))]
            self._held_bytes -= sum(size for _, size in taken)
            self._changed.notify_all()
            return [item for item, _ in taken]

    def _has_room(self, size_bytes: int) -> bool:
        return not self._items or self._held_bytes + size_bytes <= self._limit_bytes

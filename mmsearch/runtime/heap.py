"""Keeps the heap of a long-running server small."""

from __future__ import annotations

import contextlib
import ctypes
import os

_M_ARENA_MAX = -8  # malloc.h of the GNU C library
ARENAS = 2


def limit_malloc_arenas() -> bool:
    """Limits malloc to two arenas for all threads; returns True if it was done.

    The GNU C library creates up to eight for each processor and does not give back what many
    threads leave free in them: a server of eight clients beside an index that is always rebuilt
    grew by 49 MB in eight minutes, and by 16 with two (`python -m benchmarks.http_load --soak`).
    Call it before threads are started. `MALLOC_ARENA_MAX` takes precedence; other C libraries have
    no arenas. See mallopt(3).
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return False
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS))
    return False

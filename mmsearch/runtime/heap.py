"""How a process that serves for days keeps its memory."""

from __future__ import annotations

import contextlib
import ctypes
import os

_M_ARENA_MAX = -8  # malloc.h of the GNU C library
ARENAS = 2


def share_heap() -> bool:
    """Let all threads of this process share two heaps; returns whether it was done.

    The GNU C library gives up to eight for each processor, and what many threads leave free in
    them is not given back: a server of eight clients beside an index that is always made anew grew
    by 49 MB in eight minutes, and by 16 with two heaps (`python -m benchmarks.http_load --soak`).
    Only before threads are started. What `MALLOC_ARENA_MAX` says goes; other libraries have no
    such thing. See mallopt(3).
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return False
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS))
    return False

"""The heaps of a process that serves."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

HEAPS = """
import re, threading
from mmsearch.runtime.heap import limit_malloc_arenas
print(limit_malloc_arenas())
kept, gate = [], threading.Barrier(9)
def work():
    kept.append([bytearray(3000) for _ in range(50)])
    gate.wait()
    gate.wait()
for _ in range(8):
    threading.Thread(target=work).start()
gate.wait()
# A heap of threads begins at a multiple of 64 MB; what it may grow into lies behind it, closed.
maps = [line.split()[:2] for line in open("/proc/self/maps")]
maps = [(*(int(end, 16) for end in span.split("-")), may) for span, may in maps]
size = 64 << 20
print(sum(
    begin % size == 0 and may == "rw-p" and (end, begin + size, "---p") == after
    for (begin, end, may), after in zip(maps, maps[1:])
))
gate.wait()
"""


def heaps(**env: str) -> tuple[str, int]:
    """Whether the heap was shared, and how many heaps of threads there are then."""
    known = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    done = subprocess.run(
        [sys.executable, "-c", HEAPS], capture_output=True, text=True, check=True, env=known | env
    )
    said, count = done.stdout.split()
    return said, int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_many_threads_share_two_heaps() -> None:
    assert heaps(MALLOC_ARENA_MAX="8")[1] > 2
    said, count = heaps()
    assert said == "True"
    assert count <= 1  # the other is that of the process


def test_what_the_environment_says_goes() -> None:
    assert heaps(MALLOC_ARENA_MAX="3")[0] == "False"

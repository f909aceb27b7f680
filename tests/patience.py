"""Waits for states: no test passes or fails by how quick a machine is."""

from __future__ import annotations

import time
from collections.abc import Callable

HANG_S = 120.0
"""Bounds what hangs; nothing that works comes near it, on a busy machine either."""


def wait_until(is_so: Callable[[], object], *, poll_s: float = 0.01) -> None:
    """Returns when something is so; fails where it never is."""
    deadline = time.monotonic() + HANG_S
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(poll_s)

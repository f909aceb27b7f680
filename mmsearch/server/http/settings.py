"""Settings of the HTTP server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mmsearch.config import cpu_count
from mmsearch.media.base import Limits

MIB = 1024**2
UPLOAD_BYTES = 64 * MIB
UPLOAD_LIMITS = Limits(
    pixels=100_000_000,
    file_bytes=UPLOAD_BYTES,
    text_bytes=8 * MIB,
    text_chars=100_000,
    pages=50,
    duration_s=60.0,
    stall_s=10.0,
    memory_bytes=1024 * MIB,
    contents=2_000,
)
"""Limits of decoding an uploaded file: of a longer recording the first minute is read, of a longer
text the first hundred thousand characters."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings by which a library is served.

    Every request must carry `token`, if there is one. Nothing is indexed without `allow_write`,
    and then only files below `roots`. `threads` searches run at once and `queue` more may wait;
    each may take `timeout_s`, waiting included. `slow_threads` and `slow_queue` are the same for
    encoding and counting on request. One upload may have `max_upload_bytes`, and is decoded within
    `upload_limits`.
    """

    library: Path
    token: str | None = field(default=None, repr=False)
    allow_write: bool = False
    roots: tuple[Path, ...] = ()
    threads: int = field(default_factory=lambda: choose_thread_count(cpu_count()))
    queue: int = 128
    slow_threads: int = 1
    slow_queue: int = 32
    timeout_s: float = 30.0
    max_upload_bytes: int = UPLOAD_BYTES
    upload_limits: Limits = UPLOAD_LIMITS

    @property
    def max_body_bytes(self) -> int:
        """The most bytes of any body, with the headers of its parts."""
        return self.max_upload_bytes + 2 * MIB


def choose_thread_count(processors: int) -> int:
    """Returns the default number of searches that run at once."""
    return max(2, min(16, processors + 1))

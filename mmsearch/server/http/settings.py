"""What a server is started with."""

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
"""What is decoded of a file that is sent to be searched by: of a longer recording the first minute,
of a longer text the first hundred thousand characters."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a library is served.

    `token` is what every request must carry, None for none. Nothing is written to the library
    without `allow_write`, and then only what lies below `roots` is indexed. `threads` searches run
    at once and `queue` more may wait; each may take `timeout_s`, waiting included. The same holds
    for `slow_threads` and `slow_queue`, for what is encoded or counted on request. One upload may
    have `max_upload_bytes`; what is in it is decoded within `upload_limits`.
    """

    library: Path
    token: str | None = field(default=None, repr=False)
    allow_write: bool = False
    roots: tuple[Path, ...] = ()
    threads: int = field(default_factory=lambda: usual_threads(cpu_count()))
    queue: int = 128
    slow_threads: int = 1
    slow_queue: int = 32
    timeout_s: float = 30.0
    max_upload_bytes: int = UPLOAD_BYTES
    upload_limits: Limits = UPLOAD_LIMITS

    @property
    def max_body_bytes(self) -> int:
        """What any request may have, with what holds its parts together."""
        return self.max_upload_bytes + 2 * MIB


def usual_threads(processors: int) -> int:
    """How many searches run at once where nothing is said."""
    return max(2, min(16, processors + 1))

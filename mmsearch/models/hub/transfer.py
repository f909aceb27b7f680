"""Fetches one file over HTTP, resuming where an earlier try was cut off."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsearch.errors import ModelError
from mmsearch.models.hub.repository import BUSY, http_error_class, import_client

TRIES = 5
"""In a row that bring nothing."""
PAUSE_S = 0.5
"""After the first of them; each further pause is twice as long."""
GAIN_BYTES = 64 << 10
STALL_S = 60.0
"""A transfer that brings less than GAIN_BYTES in this time is given up, whatever trickles."""


class Stalled(ModelError):
    """A transfer goes on, but brings nothing."""


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """The address and size of a file. `timeout_s` is for each answer and each piece of data."""

    url: str
    size_bytes: int
    headers: Mapping[str, str]
    timeout_s: float


def fetch(remote: RemoteUrl, part: Path, on_bytes: Callable[[int], None]) -> None:
    """Brings a partial file to its full size; its content is taken as the start of the file.

    `on_bytes` is told how many bytes are there. When this ends in an error or an interrupt, what
    has arrived stays in `part` for the next time. Raises what huggingface_hub raises, and Stalled.
    """
    from huggingface_hub.errors import HfHubHTTPError

    gain = _StallGuard(remote)
    fruitless = restarts = 0

    def arrived(size: int) -> None:
        gain.check(size)
        on_bytes(size)

    while (before := file_size(part)) != remote.size_bytes:
        failure: Exception = ModelError(f"{remote.url} ended early")
        try:
            _request_rest(remote, part, arrived)
        except HfHubHTTPError as exc:
            if exc.response.status_code not in BUSY:
                raise
            failure = exc
        except http_error_class() as exc:  # cut off, refused, timed out
            failure = exc
        after = file_size(part)
        gain.check(after)
        restarts += after < before
        fruitless = fruitless + 1 if after <= before else 0
        if TRIES in (fruitless, restarts):
            raise failure
        if after != remote.size_bytes:
            time.sleep(PAUSE_S * 2**fruitless)
    part.touch()


def _request_rest(remote: RemoteUrl, part: Path, arrived: Callable[[int], None]) -> None:
    """Appends the content of one request, or begins again where it cannot be resumed."""
    hub = import_client()

    start = file_size(part)
    # Compressed, a part of a file could not be continued.
    headers = {**remote.headers, "accept-encoding": "identity"}
    if start > remote.size_bytes:
        part.unlink()
        start = 0
    if start:
        headers["range"] = f"bytes={start}-"
    # The client's session follows redirects, and tells the token to no other host.
    with hub.get_session().stream(
        "GET", remote.url, headers=headers, timeout=remote.timeout_s, follow_redirects=True
    ) as response:
        if response.status_code >= 400:
            response.read()  # the error's message is made of it
        if start and response.status_code == 416:  # what was begun is longer than what is there
            part.unlink()
            return
        hub.utils.hf_raise_for_status(response)
        is_rest = (
            start > 0 and response.status_code == 206 and _parse_range_start(response) == start
        )
        if start and not is_rest:
            part.unlink()
        size = start if is_rest else 0
        with part.open("ab") as stream:
            for piece in response.iter_bytes():
                taken = piece[: remote.size_bytes - size]
                stream.write(taken)
                size += len(taken)
                arrived(size)
                if len(taken) < len(piece):
                    return  # longer than was said: its hash will tell


def _parse_range_start(response: Any) -> int:
    """Parses the start of a part: `Content-Range: bytes 100-199/200`."""
    text = response.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0]
    return int(text) if text.isdigit() else -1


def file_size(path: Path) -> int:
    """Returns the size of a file in bytes; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class _StallGuard:
    """Raises Stalled where a transfer brings too little for too long."""

    def __init__(self, remote: RemoteUrl) -> None:
        self._remote = remote
        self._size = -GAIN_BYTES
        self._since_s = time.monotonic()

    def check(self, size: int) -> None:
        now_s = time.monotonic()
        if size >= self._size + GAIN_BYTES or size < self._size:
            self._size, self._since_s = size, now_s
        elif now_s - self._since_s > STALL_S:
            raise Stalled(
                f"{self._remote.url} brought less than {GAIN_BYTES >> 10} KiB in {STALL_S:.0f} s"
            )

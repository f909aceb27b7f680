"""`mmsearch index` in a process of its own: what it prints, and how it is stopped."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

LINE_BYTES = 1 << 16
TOLD_BYTES = 1 << 13
CHUNK = 1 << 16
TICK_S = 0.2
NICENESS = 10
"""Searches come first."""


class Run:
    """A command that prints JSON lines, from its start to its end."""

    def __init__(
        self, command: Sequence[str], *, is_cancelled: Callable[[], bool], grace_s: float
    ) -> None:
        self._command = list(command)
        self._is_cancelled = is_cancelled
        self._grace_s = grace_s
        self.code = 0
        self.told = ""

    def events(self) -> Iterator[list[dict[str, Any]]]:
        """The objects that it prints, as they come, until it has ended.

        Then `code` is its exit code, below zero for a signal, and `told` the end of what it wrote
        to standard error. A run that is cancelled is interrupted, and killed `grace_s` later.
        Raises OSError where it cannot be started.
        """
        process = subprocess.Popen(  # noqa: S603 - a list, no shell; paths come after `--`
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for this process, which then interrupts its jobs
        )
        told = bytearray()
        lines = Lines()
        try:
            _make_nice(process.pid)
            for name, chunk in self._output(process):
                if name == "stderr":
                    told += chunk
                    del told[:-TOLD_BYTES]
                elif events := [found for line in lines.feed(chunk) if (found := _event(line))]:
                    yield events
            self.code = process.wait()
            self.told = told.decode("utf-8", "replace")
        finally:
            if process.poll() is None:
                _kill(process)
                process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def _output(self, process: subprocess.Popen[bytes]) -> Iterator[tuple[str, bytes]]:
        kill_at_s: float | None = None
        with selectors.DefaultSelector() as waiting:
            for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
                if stream is not None:
                    waiting.register(stream, selectors.EVENT_READ, name)
            while True:
                # Asked before reading: what it printed before its end is read all the same.
                has_ended = process.poll() is not None
                ready = waiting.select(0 if has_ended else TICK_S)
                for key, _ in ready:
                    if chunk := os.read(key.fd, CHUNK):
                        yield key.data, chunk
                    else:
                        waiting.unregister(key.fileobj)
                if has_ended and not ready:
                    return
                if self._is_cancelled() and kill_at_s is None:
                    kill_at_s = time.monotonic() + self._grace_s
                    process.send_signal(signal.SIGINT)
                elif kill_at_s is not None and time.monotonic() > kill_at_s:
                    _kill(process)


class Lines:
    """Cuts a stream into lines; one of more than LINE_BYTES is passed over."""

    def __init__(self) -> None:
        self._begun = bytearray()
        self._is_too_long = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are whole with this chunk, without their ends."""
        *whole, rest = (bytes(self._begun) + chunk).split(b"\n")
        if whole and self._is_too_long:
            del whole[0]
            self._is_too_long = False
        self._is_too_long = self._is_too_long or len(rest) > LINE_BYTES
        self._begun = bytearray() if self._is_too_long else bytearray(rest)
        return [line for line in whole if len(line) <= LINE_BYTES]


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _environment() -> dict[str, str]:
    """That of this process without its secret, and the same paths to import from."""
    given = {key: value for key, value in os.environ.items() if key != "MMSEARCH_TOKEN"}
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**given, "PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"}


def _make_nice(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and those that it has started."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)

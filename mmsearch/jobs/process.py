"""Runs `mmsearch index` in a process of its own and reads the lines that it prints."""

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
STDERR_BYTES = 1 << 13
CHUNK = 1 << 16
TICK_S = 0.2
NICENESS = 10
"""Searches come first."""


class JobProcess:
    """A command that prints JSON lines, from its start to its end."""

    def __init__(
        self, command: Sequence[str], *, is_cancelled: Callable[[], bool], grace_s: float
    ) -> None:
        self._command = list(command)
        self._is_cancelled = is_cancelled
        self._grace_s = grace_s
        self.code = 0
        self.stderr_tail = ""

    def events(self) -> Iterator[list[dict[str, Any]]]:
        """Yields the objects that it prints, until it has ended.

        Then `code` is its exit code, below zero for a signal, and `stderr_tail` the end of its
        standard error. A run that is cancelled is interrupted, and killed `grace_s` later.
        Raises OSError where it cannot be started.
        """
        process = subprocess.Popen(  # noqa: S603 - a list, no shell; paths come after `--`
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_build_environment(),
            start_new_session=True,  # Ctrl-C is for this process, which then interrupts its jobs
        )
        stderr_tail = bytearray()
        lines = LineSplitter()
        try:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
            for name, chunk in self._output(process):
                if name == "stderr":
                    stderr_tail += chunk
                    del stderr_tail[:-STDERR_BYTES]
                elif events := [
                    event for line in lines.feed(chunk) if (event := _parse_event(line))
                ]:
                    yield events
            self.code = process.wait()
            self.stderr_tail = stderr_tail.decode("utf-8", "replace")
        finally:
            if process.poll() is None:
                _kill_tree(process)
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
                    _kill_tree(process)


class LineSplitter:
    """Splits a stream into lines; one of more than LINE_BYTES is dropped."""

    def __init__(self) -> None:
        self._begun = bytearray()
        self._is_too_long = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Returns the lines that end in this chunk, without their ends."""
        *lines, rest = (bytes(self._begun) + chunk).split(b"\n")
        if lines and self._is_too_long:
            del lines[0]
            self._is_too_long = False
        self._is_too_long = self._is_too_long or len(rest) > LINE_BYTES
        self._begun = bytearray() if self._is_too_long else bytearray(rest)
        return [line for line in lines if len(line) <= LINE_BYTES]


def _parse_event(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _build_environment() -> dict[str, str]:
    """Copies the environment of this process without its secret, with the same import paths."""
    variables = {key: value for key, value in os.environ.items() if key != "MMSEARCH_TOKEN"}
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**variables, "PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"}


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and those that it has started."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)

"""Decodes files in a separate process, so that a crash or hang costs one file only."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from mmsearch.errors import SKIPPABLE, DecodeError, PluginError
from mmsearch.media import codec
from mmsearch.media.base import Content, LoadOptions
from mmsearch.runtime.closing import Closing

READ_BYTES = 1 << 20
TICK_S = 0.2


class CancelledError(Exception):
    """The caller asked to stop decoding."""


class _Stalled(Exception):
    """The decoder sent nothing for too long."""


class Decoder(Closing):
    """A decoder process, started with the first file and again after each that broke it.

    Not thread-safe: each thread needs its own.
    """

    def __init__(self, *, is_stopped: Callable[[], bool] = lambda: False) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = is_stopped
        self._buffer = bytearray()

    def close(self) -> None:
        """Ends the process at once."""
        process, self._process = self._process, None
        self._buffer.clear()
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        process.wait()

    def load(self, path: Path, options: LoadOptions) -> Generator[Content]:
        """Yields the contents of a file, as `mmsearch.media.registry.load` does.

        Raises UnsupportedMedia, MediaTooLarge or DecodeError (also for a crash, or if nothing
        comes for `limits.stall_s`); CancelledError if the caller asked to stop; PluginError if a
        decoding package is not installed, which is no fault of the file.
        """
        is_done = False
        try:
            self._send(path, options)
            while True:
                message = self._receive(options.limits.stall_s)
                if message is None:
                    raise DecodeError(path, self._describe_exit())
                header, body = message
                if header["is"] == "end":
                    is_done = True
                    return
                if header["is"] == "broken":
                    raise PluginError(f"decoding does not work here: {header['reason']}")
                if header["is"] == "failed":
                    is_done = True
                    raise SKIPPABLE[header["error"]](
                        path, header["reason"], needs=str(header.get("needs", ""))
                    )
                yield codec.unpack(header, body)
        except _Stalled as exc:
            reason = f"its decoder did nothing for {options.limits.stall_s:g} s and was stopped"
            raise DecodeError(path, reason) from exc
        except (ValueError, TypeError, KeyError, BrokenPipeError) as exc:
            raise DecodeError(path, f"its decoder broke down ({exc})") from exc
        finally:
            if not is_done:  # the remaining messages of this file must not be read
                self.close()

    def _send(self, path: Path, options: LoadOptions) -> None:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mmsearch.media.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **_build_worker_environment()},
            )
        if self._process.stdin is None:
            raise BrokenPipeError
        request = {"path": os.fsencode(path).hex(), "options": codec.pack_options(options)}
        codec.write_message(self._process.stdin, request)

    def _receive(self, stall_s: float) -> tuple[dict[str, Any], bytes] | None:
        deadline = time.monotonic() + stall_s
        return codec.read_message(lambda size: self._read(size, deadline))

    def _read(self, size: int, deadline: float) -> bytes:
        if self._process is None or self._process.stdout is None:
            return b""
        descriptor = self._process.stdout.fileno()
        waiting = select.poll()  # select() takes no descriptor above 1023
        waiting.register(descriptor, select.POLLIN | select.POLLHUP)
        while len(self._buffer) < size:
            if self._is_stopped():
                raise CancelledError
            if not waiting.poll(1000 * TICK_S):
                if time.monotonic() > deadline:
                    raise _Stalled
                continue
            chunk = os.read(descriptor, max(READ_BYTES, size - len(self._buffer)))
            if not chunk:
                break
            self._buffer += chunk
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _describe_exit(self) -> str:
        if self._process is None:
            return "its decoder was stopped"
        code = self._process.wait()
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"its decoder crashed ({signal.Signals(-code).name})"
        return f"its decoder ended with code {code}"


def _build_worker_environment() -> dict[str, str]:
    """Returns variables for one numerical thread (processes are the parallelism), same paths."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": paths}

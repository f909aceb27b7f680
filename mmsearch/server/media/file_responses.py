"""Sends a range of an opened file, piece by piece, and closes the file whatever happens."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from mmsearch.library.assets import OpenFile
    from mmsearch.server.media.ranges import ByteRange

logger = logging.getLogger(__name__)

PIECE_BYTES = 256 << 10
PATIENCE_S = 300.0
"""The time after which a client that takes nothing is left: a paused player asks again."""


class FileRangeResponse:
    """An ASGI response that reads a range of a file in the threads of `pool`, as it is taken.

    It ends where the client leaves, and is broken off where the file is changed meanwhile.
    """

    def __init__(
        self,
        file: OpenFile,
        byte_range: ByteRange,
        pool: Executor,
        *,
        status: int,
        headers: Mapping[str, str],
    ) -> None:
        self._file = file
        self._byte_range = byte_range
        self._pool = pool
        self._status = status
        self._headers = {**headers, "content-length": str(byte_range.end - byte_range.start)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response, and closes the file."""
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in self._headers.items()
        ]
        start = {"type": "http.response.start", "status": self._status, "headers": headers}
        with self._file.stream:
            if scope["method"] == "HEAD":
                await send(start)
                await send({"type": "http.response.body"})
                return
            async with anyio.create_task_group() as tasks:

                async def cancel_on_disconnect() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    tasks.cancel_scope.cancel()

                tasks.start_soon(cancel_on_disconnect)
                await send(start)
                await self._send_body(send)
                tasks.cancel_scope.cancel()

    async def _send_body(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        at, end = self._byte_range.start, self._byte_range.end
        while at < end:
            count = min(PIECE_BYTES, end - at)
            # A cancelled wait does not end the read, and the file must be open as long as it lasts.
            reading = loop.run_in_executor(self._pool, self._read, at, count)
            try:
                piece = await asyncio.shield(reading)
            except asyncio.CancelledError:
                with anyio.CancelScope(shield=True):
                    await asyncio.wait([reading])
                raise
            if not piece:
                logger.info("a file was changed while it was sent: %s", self._file.path)
                return
            at += len(piece)
            with anyio.move_on_after(PATIENCE_S) as waiting:
                await send({"type": "http.response.body", "body": piece, "more_body": at < end})
            if waiting.cancelled_caught:
                return

    def _read(self, at: int, count: int) -> bytes:
        """Reads a piece; returns nothing where the file was changed since it was opened."""
        descriptor = self._file.stream.fileno()
        try:
            piece = os.pread(descriptor, count, at)
            info = os.fstat(descriptor)
        except OSError:
            return b""
        state = (info.st_size, info.st_mtime_ns)
        return piece if state == (self._file.size_bytes, self._file.mtime_ns) else b""

"""Sends a part of an opened file, piece by piece, and closes it whatever happens."""

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
    from mmsearch.server.media.ranges import Part

logger = logging.getLogger(__name__)

PIECE_BYTES = 256 << 10
PATIENCE_S = 300.0
"""A client that takes nothing for so long is left: a player that was paused asks again."""


class FilePart:
    """An answer of ASGI. The file is read in the threads of `pool`, no more than is taken.

    It ends where the client leaves, and is broken off where the file is changed meanwhile.
    """

    def __init__(
        self,
        opened: OpenFile,
        part: Part,
        pool: Executor,
        *,
        status: int,
        headers: Mapping[str, str],
    ) -> None:
        self._opened = opened
        self._part = part
        self._pool = pool
        self._status = status
        self._headers = {**headers, "content-length": str(part.end - part.start)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in self._headers.items()
        ]
        start = {"type": "http.response.start", "status": self._status, "headers": headers}
        with self._opened.stream:
            if scope["method"] == "HEAD":
                await send(start)
                await send({"type": "http.response.body"})
                return
            async with anyio.create_task_group() as both:

                async def leave() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    both.cancel_scope.cancel()

                both.start_soon(leave)
                await send(start)
                await self._send_body(send)
                both.cancel_scope.cancel()

    async def _send_body(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        at, end = self._part.start, self._part.end
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
                logger.info("a file was changed while it was sent: %s", self._opened.path)
                return
            at += len(piece)
            with anyio.move_on_after(PATIENCE_S) as waiting:
                await send({"type": "http.response.body", "body": piece, "more_body": at < end})
            if waiting.cancelled_caught:
                return

    def _read(self, at: int, count: int) -> bytes:
        """A piece of the file; nothing where it is not the file any more that was opened."""
        descriptor = self._opened.stream.fileno()
        try:
            piece = os.pread(descriptor, count, at)
            info = os.fstat(descriptor)
        except OSError:
            return b""
        is_same = (info.st_size, info.st_mtime_ns) == (
            self._opened.size_bytes,
            self._opened.mtime_ns,
        )
        return piece if is_same else b""

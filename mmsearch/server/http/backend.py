"""What all handlers share: the library, open and warm, and the pools that work with it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from mmsearch.errors import MmsearchError
from mmsearch.jobs import Jobs
from mmsearch.library.examples import Decoding
from mmsearch.media.base import LoadOptions
from mmsearch.media.isolation import Decoder
from mmsearch.previews import Previews
from mmsearch.server.http import worker_pool
from mmsearch.server.http.spool import Spool
from mmsearch.server.http.worker_pool import Engine, Observer, Ticket

if TYPE_CHECKING:
    from starlette.requests import Request

    from mmsearch.library.library import Library
    from mmsearch.server.http.settings import Settings

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Backend:
    """One for each application, made when it starts.

    `quick` runs searches by words; `slow` what decodes, encodes or counts on request, so that it
    never keeps a search waiting. `tried` is set when warming up has ended, `ready` when it went
    well.
    """

    def __init__(
        self, settings: Settings, library: Library, observer: Observer | None = None
    ) -> None:
        self.settings = settings
        self.library = library
        self.previews = Previews(library)
        self.jobs = Jobs(library.location, roots=settings.roots)
        self.ready = threading.Event()
        self.tried = threading.Event()
        self.quick = Engine(
            "search",
            threads=settings.threads,
            queue=settings.queue,
            timeout_s=settings.timeout_s,
            observer=observer,
        )
        self.slow = Engine(
            "slow",
            threads=settings.slow_threads,
            queue=settings.slow_queue,
            timeout_s=settings.timeout_s,
        )
        self._decoders = _Decoders()
        self._receiving = 0
        self._spool = Spool()

    @classmethod
    def of(cls, request: Request) -> Backend:
        """That of the application that a request goes to."""
        return cast("Backend", request.app.state.backend)

    def warm_up(self) -> None:
        """Load what a search needs; what is missing is told where it is asked for."""
        try:
            self.library.warm_up()
            self.ready.set()
        except MmsearchError as exc:
            logger.warning("the library could not be warmed up: %s", exc)
        finally:
            self.tried.set()

    async def search(self, request: Request, work: Callable[[Ticket], T]) -> T:
        """What work gives that takes milliseconds."""
        return await self.quick.run(work, gone=partial(left, request))

    async def labour(self, request: Request, work: Callable[[Ticket], T]) -> T:
        """What work gives that may take seconds."""
        return await self.slow.run(work, gone=partial(left, request))

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """A private folder for the files of one request, gone when it is answered.

        Raises engine.Full where as many requests with files are here as may be.
        """
        if self._receiving >= self.settings.slow_threads + self.settings.slow_queue:
            raise worker_pool.Full(1)
        self._receiving += 1
        try:
            with tempfile.TemporaryDirectory(dir=self._spool.path) as name:
                yield Path(name)
        finally:
            self._receiving -= 1

    def decoding(self, ticket: Ticket) -> Decoding:
        """How files that came with a request are decoded: apart, by a process of this thread."""
        limits = replace(self.settings.upload_limits, file_bytes=self.settings.max_upload_bytes)
        kept = self._decoders.of_thread()
        kept.ticket = ticket
        return Decoding(LoadOptions(limits=limits), ticket.is_stopped, kept.decoder)

    def close(self, within_s: float = 10.0) -> None:
        """Stop what runs and clear away; the library stays open."""
        self.quick.close(within_s)
        self.slow.close(within_s)
        self._decoders.close()
        self.previews.close()
        self.jobs.close()
        self._spool.close()


class _Kept:
    """A decoder, and the run that it decodes for."""

    def __init__(self) -> None:
        self.ticket: Ticket | None = None
        self.decoder = Decoder(is_stopped=self._is_stopped)

    def _is_stopped(self) -> bool:
        return self.ticket is not None and self.ticket.is_stopped()


class _Decoders:
    """A decoder for each thread, whose process starts with its first file: a third of a second."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._all: list[_Kept] = []

    def of_thread(self) -> _Kept:
        found: _Kept | None = getattr(self._here, "kept", None)
        if found is None:
            found = self._here.kept = _Kept()
            self._all.append(found)
        return found

    def close(self) -> None:
        for kept in self._all:
            kept.decoder.close()


async def left(request: Request) -> None:
    """Returns when the client has left; to be awaited once the body is read."""
    while (await request.receive())["type"] != "http.disconnect":
        await asyncio.sleep(0)

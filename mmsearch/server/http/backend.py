"""The state that all handlers share: the library, open and warm, and its worker pools."""

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
from mmsearch.server.http.worker_pool import CancellationToken, PoolObserver, WorkerPool

if TYPE_CHECKING:
    from starlette.requests import Request

    from mmsearch.library.library import Library
    from mmsearch.server.http.settings import ServerSettings

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Backend:
    """The library of an application, with its pools, previews and jobs; made when it starts.

    `quick` runs searches by words; `slow` runs work that decodes, encodes or counts on request, so
    that no search waits for it.
    """

    def __init__(
        self, settings: ServerSettings, library: Library, observer: PoolObserver | None = None
    ) -> None:
        self.settings = settings
        self.library = library
        self.previews = Previews(library)
        self.jobs = Jobs(library.location, roots=settings.roots)
        self.warm_up_succeeded = threading.Event()
        self.warm_up_ended = threading.Event()
        self.quick = WorkerPool(
            "search",
            threads=settings.threads,
            queue=settings.queue,
            timeout_s=settings.timeout_s,
            observer=observer,
        )
        self.slow = WorkerPool(
            "slow",
            threads=settings.slow_threads,
            queue=settings.slow_queue,
            timeout_s=settings.timeout_s,
        )
        self._decoders = _ThreadDecoders()
        self._receiving = 0
        self._spool = Spool()

    @classmethod
    def get(cls, request: Request) -> Backend:
        """Returns the backend of the application that a request goes to."""
        return cast("Backend", request.app.state.backend)

    def warm_up(self) -> None:
        """Loads the models and tables of a search; each search reports what is missing."""
        try:
            self.library.warm_up()
            self.warm_up_succeeded.set()
        except MmsearchError as exc:
            logger.warning("the library could not be warmed up: %s", exc)
        finally:
            self.warm_up_ended.set()

    async def run_quick(self, request: Request, work: Callable[[CancellationToken], T]) -> T:
        """Runs work that takes milliseconds."""
        return await self.quick.run(work, wait_for_disconnect=partial(wait_for_disconnect, request))

    async def run_slow(self, request: Request, work: Callable[[CancellationToken], T]) -> T:
        """Runs work that may take seconds."""
        return await self.slow.run(work, wait_for_disconnect=partial(wait_for_disconnect, request))

    @contextlib.contextmanager
    def open_upload_folder(self) -> Iterator[Path]:
        """Makes a private folder for the files of a request, which is removed with its answer.

        Raises QueueFull where as many requests with files are being received as may be.
        """
        if self._receiving >= self.settings.slow_threads + self.settings.slow_queue:
            raise worker_pool.QueueFull(1)
        self._receiving += 1
        try:
            with tempfile.TemporaryDirectory(dir=self._spool.path) as name:
                yield Path(name)
        finally:
            self._receiving -= 1

    def create_decoding(self, token: CancellationToken) -> Decoding:
        """Returns the options of decoding uploaded files, by a process of this thread."""
        limits = replace(self.settings.upload_limits, file_bytes=self.settings.max_upload_bytes)
        worker = self._decoders.get_for_thread()
        worker.token = token
        return Decoding(LoadOptions(limits=limits), token.is_stopped, worker.decoder)

    def close(self, within_s: float = 10.0) -> None:
        """Stops pools, decoders, previews and jobs; the library stays open."""
        self.quick.close(within_s)
        self.slow.close(within_s)
        self._decoders.close()
        self.previews.close()
        self.jobs.close()
        self._spool.close()


class _ThreadDecoder:
    """The decoder of a thread, with the token of the run that it decodes for."""

    def __init__(self) -> None:
        self.token: CancellationToken | None = None
        self.decoder = Decoder(is_stopped=self._is_stopped)

    def _is_stopped(self) -> bool:
        return self.token is not None and self.token.is_stopped()


class _ThreadDecoders:
    """A decoder for each thread, whose process starts with its first file: a third of a second."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._all: list[_ThreadDecoder] = []

    def get_for_thread(self) -> _ThreadDecoder:
        if not hasattr(self._local, "worker"):
            self._local.worker = _ThreadDecoder()
            self._all.append(self._local.worker)
        worker: _ThreadDecoder = self._local.worker
        return worker

    def close(self) -> None:
        for worker in self._all:
            worker.decoder.close()


async def wait_for_disconnect(request: Request) -> None:
    """Waits until the client has left; to be awaited once the body is read."""
    while (await request.receive())["type"] != "http.disconnect":
        await asyncio.sleep(0)
